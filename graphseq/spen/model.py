"""SPEN: a whole model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.nn.inits import reset
from torch_geometric.utils import scatter

from graphseq.data.validate import validate_graph
from graphseq.nn.heads import Pool
from graphseq.spen.ego import EGO_KEYS, ego_networks
from graphseq.spen.features import PairFeatures
from graphseq.spen.group import Aggregation, Group, MarkedRoot, RootStabiliser, Symmetric
from graphseq.spen.injection import INJECTIONS, Inject
from graphseq.spen.layer import Combine, SPENLayer, Widths
from graphseq.spen.nets import EgoNetworks, check_bounds
from graphseq.spen.readout import InvariantReadout

Root = Literal["none", "mark", "full"]

_GROUPS: dict[str, type[Group]] = {"none": Symmetric, "mark": MarkedRoot, "full": RootStabiliser}

SIZES = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
"""Lower bounds of size buckets that serve most graphs."""


class SPEN(nn.Module):
    r"""Subgraph permutation equivariant network (Mitton & Murray-Smith 2023) on the ego network of every node.

    :class:`PairFeatures`, a stack of :class:`SPENLayer`, :class:`InvariantReadout` on each network, the mean over the
    networks of a graph, and an MLP. With tensors of orders 1 and 2 it is at most as strong as the 3-WL test, whatever
    its hops, depth or root: strongly regular graphs of equal parameters look equal to it. See :func:`separates`.

    Args:
        in_channels: number of real node features; for integer features, the categories of each column.
        out_channels: number of outputs.
        edge_channels: as ``in_channels``, for edges; ``None`` without edge features.
        level: ``"graph"``, or ``"node"``, where a node's answer is that of its network.
        channels: width of what each map makes; the state is twice as wide under ``combine="concat"``.
        layers: equivariant layers, the last of which is the readout.
        hops: of the ego networks, where data bring none from :class:`AddEgoNetworks`.
        max_size: as ``hops``, see :func:`ego_networks`.
        buckets: lower bounds of the sizes that share weights, see :class:`EgoNetworks` and :func:`size_bounds`.
        root: ``"none"`` (paper) for maps that commute with all permutations of a network, ``"mark"`` with a bias that
            tells the root apart, ``"full"`` for all maps that keep the root (52 operations instead of 15).
        inject: ``"mean"`` (paper) or ``"sum"``, see :class:`MeanInjection` and :class:`SumInjection`.
        aggr: whether sums inside a network are divided by its size: ``"mean"`` (paper) or ``"sum"``.
        inner: maps in a row in each layer before injection.
        combine: ``"concat"`` (paper) or ``"sum"``.
        norm: whether there is a GraphNorm after each layer.
        read_nodes: whether node features are read.
        pool: how the networks of a graph are pooled.
        head_channels: hidden widths of the MLP.
        dropout: in the MLP.
        max_pairs: pairs of networks that are worked on at a time; beyond, networks are worked off in parts that the
            backward pass computes again.
        validate: also search features for NaN on every call.

    :meth:`forward` takes ``ego_index`` and ``ego_size``, which :class:`AddEgoNetworks` stores; without them they are
    found in each call.

    Example:
        >>> model = SPEN(3, 2, channels=8, layers=2)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> model(torch.randn(4, 3), edge_index, torch.tensor([0, 0, 0, 1])).shape
        torch.Size([2, 2])
    """

    needs = EGO_KEYS
    """Further keys of ``Data`` that :meth:`forward` takes as keywords."""

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        *,
        edge_channels: int | Sequence[int] | None = None,
        level: str = "graph",
        channels: int = 32,
        layers: int = 4,
        hops: int = 1,
        max_size: int | None = None,
        buckets: Sequence[int] = SIZES,
        root: Root = "mark",
        inject: Inject = "mean",
        aggr: Aggregation = "mean",
        inner: int = 1,
        combine: Combine = "concat",
        norm: bool = True,
        read_nodes: bool = True,
        pool: Pool = "mean",
        head_channels: Sequence[int] = (256, 128),
        dropout: float = 0.5,
        max_pairs: int | None = None,
        validate: bool = False,
    ) -> None:
        super().__init__()
        if level not in ("node", "graph"):
            raise ValueError(f"level must be 'node' or 'graph', got {level!r}")
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        if root not in _GROUPS:
            raise ValueError(f"root must be 'none', 'mark' or 'full', got {root!r}")
        if inject not in INJECTIONS:
            raise ValueError(f"inject must be 'mean' or 'sum', got {inject!r}")
        check_bounds(buckets)
        self.level, self.hops, self.max_size, self.pool = level, hops, max_size, pool
        self.buckets, self.max_pairs, self.validate = tuple(buckets), max_pairs, validate
        group = _GROUPS[root](aggr)  # type: ignore[call-arg]
        self.features = PairFeatures(in_channels, edge_channels, channels=channels, read_nodes=read_nodes)
        self.layers = nn.ModuleList()
        width = Widths(self.features.out_channels, 0)
        for _ in range(layers - 1):
            layer = SPENLayer(
                width,
                channels,
                buckets=len(self.buckets),
                group=group,
                injection=INJECTIONS[inject](),
                inner=inner,
                combine=combine,
                norm=norm,
            )
            self.layers.append(layer)
            width = layer.out_channels
        self.readout = InvariantReadout(width, channels, buckets=len(self.buckets), group=group)
        sizes = [self.readout.out_channels, *head_channels, out_channels]
        self.head = MLP(sizes, norm=None, dropout=[dropout] * len(head_channels) + [0.0])
        self._start_head()

    def reset_parameters(self) -> None:
        for part in (self.features.nodes, self.features.edges, *self.layers, self.readout):
            reset(part)
        self._start_head()

    def forward(
        self,
        x: Tensor,
        edge_index: Int[Tensor, "2 edges"],
        batch: Int[Tensor, " nodes"] | None = None,
        edge_attr: Tensor | None = None,
        *,
        batch_size: int | None = None,
        ego_index: Int[Tensor, " members"] | None = None,
        ego_size: Int[Tensor, " nodes"] | None = None,
    ) -> Float[Tensor, "rows out"]:
        """Predict.

        Args:
            x: node features.
            edge_index: edges; without both directions of each, the pairs' state is not symmetric, and need not be.
            batch: graph of each node, sorted; one graph without it.
            edge_attr: edge features.
            batch_size: number of graphs, if graphs without nodes may stand at the end.
            ego_index: members of each node's network.
            ego_size: their number.

        Returns:
            One row a node or a graph.

        Raises:
            ValueError: if shapes or dtypes do not fit, an edge names a node that is not there, networks do not fit the
                nodes or, under ``validate``, a feature is NaN or infinite.
        """
        validate_graph(x, edge_index, batch, edge_attr, finite=self.validate)
        if batch is None:
            batch, batch_size = edge_index.new_zeros(x.shape[0]), 1
        elif batch_size is None:
            batch_size = int(batch[-1]) + 1 if batch.numel() else 0
        elif batch.numel() and not torch.compiler.is_compiling() and int(batch[-1]) >= batch_size:
            raise ValueError(f"batch must hold numbers in [0, {batch_size}), got {int(batch[-1])} at its end")
        nets = self.networks(edge_index, x.shape[0], ego_index, ego_size)
        pair, node = self.features(x, edge_index, edge_attr, nets), None
        for layer in self.layers:
            pair, node = layer(pair, node, nets, batch, batch_size)
        h = self.readout(pair, node, nets)
        if self.level == "graph":
            h = scatter(h, batch, dim=0, dim_size=batch_size, reduce=self.pool)
        return self.head(h)

    def networks(
        self, edge_index: Tensor, num_nodes: int, ego_index: Tensor | None = None, ego_size: Tensor | None = None
    ) -> EgoNetworks:
        """The ego networks as the layers take them: as given, or found here."""
        if (ego_index is None) != (ego_size is None):
            given, missing = ("ego_index", "ego_size") if ego_size is None else ("ego_size", "ego_index")
            raise ValueError(f"{missing} must be given together with {given}, got None")
        if ego_index is None or ego_size is None:
            ego_index, ego_size = ego_networks(edge_index, num_nodes, self.hops, self.max_size)
        for argument, tensor in (("ego_index", ego_index), ("ego_size", ego_size)):
            if tensor.dtype is not torch.int64:
                raise TypeError(f"{argument} must have dtype torch.int64, got {tensor.dtype}")
        if ego_size.numel() != num_nodes:
            raise ValueError(f"ego_size must have one entry for each of {num_nodes} nodes, got {ego_size.numel()}")
        return EgoNetworks(ego_index, ego_size, self.buckets, self.max_pairs)

    def _start_head(self) -> None:
        for linear in self.head.lins:
            nn.init.xavier_normal_(linear.weight)
            nn.init.constant_(linear.bias, 0.1)


def size_bounds(sizes: Int[Tensor, " networks"], rare: int = 1) -> tuple[int, ...]:
    """Lower bounds of buckets for networks like these: each size its own, from the second on if it is not rare.

    Sizes are to be those of the *training* graphs. A size that none of them has shares the weights of the next smaller.

    Args:
        sizes: of networks.
        rare: a size with fewer networks than this shares the weights of the next smaller one.

    Raises:
        ValueError: if there is no size.

    Example:
        >>> size_bounds(torch.tensor([2, 3, 3, 3, 4, 9, 9]), rare=2)
        (2, 3, 9)
    """
    if sizes.numel() == 0:
        raise ValueError("sizes must hold at least one size, got none")
    values, counts = sizes.unique(return_counts=True)
    kept = values[1:][counts[1:] >= rare]
    return (int(values[0]), *map(int, kept))
