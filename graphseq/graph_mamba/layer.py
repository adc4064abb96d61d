"""The Graph Mamba layer: message passing and an ordered scan side by side."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch_geometric.utils import degree

from graphseq.graph_mamba.ordering import CanonicalTies, RandomTies, TieBreak, canonical_colour
from graphseq.nn import GraphBlock, node_norm
from graphseq.nn.check import check_pairs, check_rows, check_vectors
from graphseq.scan import Ragged


class GraphMambaLayer(GraphBlock):
    r"""Message passing and an ordered scan side by side, then a feed-forward block.

    .. math::
        x &\leftarrow x + \bigl(\operatorname{local}(x, e) - x\bigr)
            + \bigl(\pi^{-1} \operatorname{encoder}(\pi x) - x\bigr) \\
        x &\leftarrow x + \operatorname{FFN}(\operatorname{norm}(x))

    where :math:`\pi` sorts the nodes of each graph by ascending importance; both branches come with their residual and
    normalise what they read. Without ``norm_first`` the sums are normalised, as in a layer of GraphGPS (Rampášek et al.
    2022) and in Graph-Mamba (Wang et al. 2024):

    .. math::
        x_l &= \operatorname{norm}(\operatorname{local}(x, e)), \qquad
        x_g = \operatorname{norm}(\pi^{-1} \operatorname{encoder}(\pi x)) \\
        x &\leftarrow \operatorname{norm}\bigl(x_l + x_g + \operatorname{FFN}(x_l + x_g)\bigr)

    Where there is no feed-forward block, its term and the norm before it are left out.

    This is stage 2 of Graph Mamba Networks (Behrouz & Hashemi 2024, Algorithm 1), which leaves residuals and norms
    open.

    Args:
        channels: width.
        encoder: mixes the ordered nodes, called as ``encoder(x, segments)``, residual included; ``None`` leaves the
            branch out.
        local: message passing, called as ``local(x, edge_index, edge_attr)``, residual included, returning nodes and
            edges; ``None`` leaves the branch out.
        feed_forward: hidden width of the feed-forward block over ``channels``; 0 for none.
        dropout: in the feed-forward block.
        norm: ``"batch_norm"`` or ``"layer_norm"``.
        norm_first: normalise what branches read, not their sums. Then features reach the head of a model through sums
            alone, and it learns faster.
        ties: the tie rule in training.
        evaluation_ties: the tie rule in evaluation. With several orders the branch's output is averaged over them.

    Raises:
        ValueError: if ``feed_forward`` is negative, or there is neither branch.
    """

    needs = ("order_key", "tie_colour")

    def __init__(
        self,
        channels: int,
        encoder: nn.Module | None,
        local: nn.Module | None = None,
        *,
        feed_forward: int | float = 2,
        dropout: float = 0.0,
        norm: str = "batch_norm",
        norm_first: bool = True,
        ties: TieBreak | None = None,
        evaluation_ties: TieBreak | None = None,
    ) -> None:
        super().__init__()
        if feed_forward < 0:
            raise ValueError(f"feed_forward must be at least 0, got {feed_forward}")
        if encoder is None and local is None:
            raise ValueError("a layer needs an encoder or a local branch, got neither")
        self.channels = channels
        self.encoder, self.local = encoder, local
        self.ties = ties or RandomTies()
        self.evaluation_ties = evaluation_ties or CanonicalTies()
        self.norm_first = norm_first
        branch_norm = nn.Identity if norm_first else partial(node_norm, norm, channels)
        if local is not None:
            self.local_norm = branch_norm()
        if encoder is not None:
            self.global_norm = branch_norm()
        self.output_norm = node_norm(norm, channels) if feed_forward or not norm_first else nn.Identity()
        self.feed_forward = _feed_forward(channels, feed_forward, dropout) if feed_forward else None

    @property
    def reads_edges(self) -> bool:
        return self.local is not None and getattr(self.local, "reads_edges", True)

    def leave_edges(self) -> None:
        if hasattr(self.local, "leave_edges"):
            self.local.leave_edges()  # type: ignore[union-attr, operator]

    def prepare(self, structure: dict[str, Any], x: Tensor, edge_index: Tensor) -> dict[str, Any]:
        """The key by which nodes are sorted, and the colour that tells nodes of one key apart if the rule reads it.

        Of several keys, training takes one at random for all layers, and evaluation the first.

        Raises:
            ValueError: if ``order_key`` has another shape than ``[nodes]`` or ``[nodes, orders]``.
            TypeError: if it is no tensor.
        """
        if self.encoder is None:
            return structure
        order_key, tie_colour = structure.get("order_key"), structure.get("tie_colour")
        if order_key is None:
            order_key = degree(edge_index[0], x.shape[0], dtype=torch.float64)
        elif not isinstance(order_key, Tensor):
            raise TypeError(f"order_key must be a tensor, got {type(order_key).__name__}")
        elif order_key.dim() not in (1, 2) or order_key.shape[0] != x.shape[0]:
            expected = f"[{x.shape[0]}] or [{x.shape[0]}, orders]"
            raise ValueError(f"order_key must have shape {expected}, got {list(order_key.shape)}")
        elif order_key.dim() == 2:
            order_key = order_key[:, int(torch.randint(order_key.shape[1], ())) if self.training else 0]
        if tie_colour is None and self._rule.needs_colour:
            tie_colour = canonical_colour(x, edge_index)
        return {**structure, "order_key": order_key, "tie_colour": tie_colour}

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        segments: Ragged,
        edge_attr: Float[Tensor, "edges channels"] | None = None,
        *,
        order_key: Num[Tensor, " nodes"] | None = None,
        tie_colour: Int[Tensor, " nodes"] | None = None,
        **structure: Any,
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "edges channels"] | None]:
        """Mix nodes with their neighbours and along the order.

        Args:
            x: nodes.
            edge_index: edges.
            segments: the graphs of the batch.
            edge_attr: edges' vectors, for the local branch.
            order_key: importance of each node; its degree if not given.
            tie_colour: what :class:`CanonicalTies` reads; from ``x`` and the edges if not given.
            structure: what other blocks need.

        Raises:
            ValueError: if shapes or devices do not fit.
            TypeError: if an argument is no dense tensor, or has a dtype that does not fit.
        """
        check_vectors("x", x, self.channels)
        check_rows("x", x, segments.num_states, "nodes of segments")
        check_pairs("edge_index", edge_index, x)
        for argument, of_node in (("order_key", order_key), ("tie_colour", tie_colour)):
            if of_node is not None and (of_node.dim() != 1 or of_node.shape[0] != x.shape[0]):
                raise ValueError(f"{argument} must have shape [{x.shape[0]}], got {list(of_node.shape)}")
        branches = []
        if self.encoder is not None:
            key = degree(edge_index[0], x.shape[0], dtype=torch.int64) if order_key is None else order_key
            if self._rule.needs_colour and tie_colour is None:
                tie_colour = canonical_colour(x, edge_index)
            orders = self._rule.orders(key, segments, tie_colour)
            mixed = [self._in_order(self.encoder, x, order, segments) for order in orders]
            branches.append(self.global_norm(mixed[0] if len(mixed) == 1 else torch.stack(mixed).mean(0)))
        if self.local is not None:
            x_local, edge_attr = self.local(x, edge_index, edge_attr)
            branches.append(self.local_norm(x_local))
        return self._joined(x, branches), edge_attr

    def _joined(self, x: Tensor, branches: list[Tensor]) -> Tensor:
        """The branches' results as one, and the feed-forward block on it."""
        h = branches[0]
        for branch in branches[1:]:
            # Each comes with its residual, which is to be there once.
            h = h + (branch - x if self.norm_first else branch)
        if self.norm_first:
            return h if self.feed_forward is None else h + self.feed_forward(self.output_norm(h))
        return self.output_norm(h if self.feed_forward is None else h + self.feed_forward(h))

    @property
    def _rule(self) -> TieBreak:
        return self.ties if self.training else self.evaluation_ties

    @staticmethod
    def _in_order(encoder: nn.Module, x: Tensor, order: Tensor, segments: Ragged) -> Tensor:
        mixed = encoder(x[order], segments)
        return torch.empty_like(mixed).index_copy(0, order, mixed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, encoder={self.encoder!r}, local={self.local!r})"


def _feed_forward(channels: int, ratio: int | float, dropout: float) -> nn.Sequential:
    hidden = max(1, round(ratio * channels))
    return nn.Sequential(
        nn.Linear(channels, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, channels),
        nn.Dropout(dropout),
    )
