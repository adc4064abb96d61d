"""Stage 1 of Graph Mamba Networks: each node's tokens, far to near, become its vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphseq.graph_mamba.encoder import BiMambaEncoder, given
from graphseq.graph_mamba.token_encoder import SubgraphEncoder, TokenEncoder
from graphseq.graph_mamba.tokens import TokenBatch
from graphseq.graph_mamba.walk_batch import WalkBatch
from graphseq.nn import GraphBlock, recomputed
from graphseq.scan import Ragged
from graphseq.sequence import Mamba, SequenceLayer


class NeighbourhoodEncoder(GraphBlock):
    r"""Tokens to vectors, bidirectional Mamba along each node's tokens, and the last row (Algorithm 1, stage 1).

    .. math::
        \Phi_v &= \bigl(\phi(T_m^1(v)), \dots, \phi(T_1^s(v)), \phi(T_0(v))\bigr) \\
        h_v &= \operatorname{last}\bigl(\operatorname{BiMamba}(\Phi_v)\bigr)

    What is near comes last, so that the forward scan has seen all tokens where it is read. In training the ``s`` tokens
    of one length are shuffled. As a block of :class:`GraphMamba` it is its ``tokens``. Depths are ours.

    Nodes go through in blocks, whose activations are computed again for the gradient: memory is that of one block.

    Args:
        channels: width.
        s: tokens of each length.
        encoder: makes :math:`\phi`, called as ``encoder(channels)``: a :class:`TokenEncoder` class, or a
            :func:`functools.partial` of one.
        layers: depth of the scans.
        dropout: in the scans.
        block_size: nodes in a block.
        state_size: states per inner channel of Mamba.
        expand: inner width of Mamba over ``channels``.
        conv_size: taps of Mamba's convolution.
        block: the sequence model, and which of the three sizes it takes, see :class:`GraphMamba`.

    Raises:
        ValueError: if ``s``, ``layers`` or ``block_size`` is below 1.
    """

    recomputes = True

    def __init__(
        self,
        channels: int,
        s: int,
        *,
        encoder: Callable[[int], TokenEncoder] = SubgraphEncoder,
        layers: int = 1,
        dropout: float = 0.0,
        block_size: int = 4096,
        state_size: int | None = 16,
        expand: int | float | None = 1,
        conv_size: int | None = 4,
        block: Callable[[int], SequenceLayer] = Mamba,
    ) -> None:
        super().__init__()
        for name, value in (("s", s), ("layers", layers), ("block_size", block_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.channels, self.s, self.block_size = channels, s, block_size
        self.encoder = encoder(channels)
        self.needs = self.encoder.needs
        mamba = {"block": block, **given(state_size=state_size, expand=expand, conv_size=conv_size)}
        self.layers = nn.ModuleList(BiMambaEncoder(channels, dropout=dropout, **mamba) for _ in range(layers))

    @property
    def reads_edges(self) -> bool:
        return bool(getattr(self.encoder, "reads_edges", True))

    def reset_parameters(self) -> None:
        for layer in (self.encoder, self.layers):
            reset(layer)

    def prepare(self, structure: dict[str, Any], x: Tensor, edge_index: Tensor) -> dict[str, Any]:
        """``tokens``: as given, or read from what a transform stored."""
        stored = {key: structure[key] for key in self.needs if key in structure}
        tokens = structure.get("tokens")
        if tokens is None:
            tokens = self.encoder.read(stored, edge_index, x.shape[0])
        return {**{key: value for key, value in structure.items() if key not in stored}, "tokens": tokens}

    def variants(self, structure: dict[str, Any]) -> list[dict[str, Any]]:
        """The samplings of ``tokens``: all in evaluation, one of them in training."""
        tokens = structure["tokens"]
        if tokens.samples == 1:
            return [structure]
        chosen = torch.randint(tokens.samples, (1,)).tolist() if self.training else range(tokens.samples)
        return [{**structure, "tokens": tokens.sampling(sample)} for sample in chosen]

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        segments: Ragged,
        edge_attr: Float[Tensor, "edges channels"],
        *,
        tokens: TokenBatch | WalkBatch,
        **structure: Any,
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "edges channels"]]:
        """Replace each node's vector by that of its neighbourhood; edges stay.

        Args:
            x: nodes.
            edge_index: edges.
            segments: the graphs of the batch.
            edge_attr: edges' vectors.
            tokens: the tokens of all nodes.
            structure: what other blocks need.

        Raises:
            ValueError: if there is not the same number of tokens of each length for every node of ``x``.
        """
        nodes = x.shape[0]
        if nodes == 0:
            return x, edge_attr
        if tokens.num_roots != nodes:
            raise ValueError(f"tokens must be those of {nodes} nodes, got those of {tokens.num_roots}")
        if tokens.per_root == 0 or tokens.per_root % self.s > 1 % self.s:
            raise ValueError(
                f"tokens must be a multiple of s ({self.s}) for each node, or one more, got {tokens.per_root}"
            )
        rows = []
        for first in range(0, nodes, self.block_size):
            block = tokens.block(first, min(first + self.block_size, nodes))
            if torch.is_grad_enabled() and nodes > self.block_size:
                rows.append(recomputed(self._last_row, x, edge_attr, block, owner=self))
            else:
                rows.append(self._last_row(x, edge_attr, block))
        return torch.cat(rows), edge_attr

    def _last_row(self, x: Tensor, edge_attr: Tensor, tokens: TokenBatch | WalkBatch) -> Tensor:
        h = self.encoder(x, edge_attr, tokens)
        if self.training:
            h = self._shuffled(h)
        roots, length, _ = h.shape
        h, along = h.flatten(0, 1), Ragged.equal(roots, length, h.device)
        for layer in self.layers:
            h = layer(h, along)
        return h.view(roots, length, self.channels)[:, -1]

    def _shuffled(self, h: Tensor) -> Tensor:
        """Tokens of one length in a random order; the root, if it is there, stays last."""
        lengths = h.shape[1] // self.s
        order = torch.rand(h.shape[0], lengths, self.s, device=h.device).argsort(dim=2)
        order = order + torch.arange(0, lengths * self.s, self.s, device=h.device)[:, None]
        rest = torch.arange(lengths * self.s, h.shape[1], device=h.device).expand(h.shape[0], -1)
        order = torch.cat([order.flatten(1), rest], dim=1)
        return h.gather(1, order[:, :, None].expand_as(h))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.channels}, s={self.s}, encoder={self.encoder!r}, layers={len(self.layers)})"
        )
