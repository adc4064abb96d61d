"""One layer: extract, map on each network, inject, activate, normalise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import elu
from torch_geometric.nn.inits import reset

from graphseq.nn import recomputed
from graphseq.spen.blocks import Blocks
from graphseq.spen.group import Group, Symmetric
from graphseq.spen.incidence import Incidence
from graphseq.spen.injection import Injection, MeanInjection
from graphseq.spen.maps import EquivariantMap
from graphseq.spen.nets import EgoNetworks, Part
from graphseq.spen.norm import SortedGraphNorm

Combine = Literal["concat", "sum"]

_COMBINE: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "concat": lambda parts: torch.cat(list(parts), -1),
    "sum": lambda parts: torch.stack(list(parts)).sum(0) if len(parts) > 1 else parts[0],
}


class Widths(NamedTuple):
    """Channels of a feature that is a tensor of order 2 beside one of order 1; 0 where there is none."""

    pair: int
    node: int


class NetworkMaps(nn.Module):
    r"""All equivariant maps from a feature of orders 2 and 1 to one of orders 2 and 1, on each network.

    .. math::
        Y_2 = [L_{22} X_2 \,\|\, L_{12} X_1], \qquad Y_1 = [L_{21} X_2 \,\|\, L_{11} X_1]

    Args:
        in_channels: widths of the input.
        channels: width of what each map makes.
        buckets: number of size buckets.
        group: which permutations the maps commute with.
        combine: ``"concat"``, as in the paper, doubles the width; ``"sum"`` adds what two maps make.
    """

    def __init__(
        self, in_channels: tuple[int, int], channels: int, *, buckets: int, group: Group, combine: Combine = "concat"
    ) -> None:
        super().__init__()
        if combine not in _COMBINE:
            raise ValueError(f"combine must be 'concat' or 'sum', got {combine!r}")
        self.in_channels, self.combine = Widths(*in_channels), combine
        self.group = group

        def maps(out_order: int) -> nn.ModuleList:
            orders = zip((2, 1), self.in_channels, strict=True)
            return nn.ModuleList(
                EquivariantMap(order, out_order, width, channels, buckets=buckets, group=group)
                for order, width in orders
                if width
            )

        self.to_pair, self.to_node = maps(2), maps(1)
        width = channels * len(self.to_pair) if combine == "concat" else channels
        self.out_channels = Widths(width, width)

    def reset_parameters(self) -> None:
        reset(self.to_pair)
        reset(self.to_node)

    def forward(
        self, pair: Float[Tensor, "pairs in2"], node: Float[Tensor, "members in1"] | None, blocks: Blocks
    ) -> tuple[Float[Tensor, "pairs out"], Float[Tensor, "members out"]]:
        read = [self.group.read(2, pair, blocks)]
        if node is not None:
            read.append(self.group.read(1, node, blocks))
        join = _COMBINE[self.combine]
        new_pair, new_node = (
            join([cast(EquivariantMap, layer).spread(levels, blocks) for layer, levels in zip(maps, read, strict=True)])
            for maps in (self.to_pair, self.to_node)
        )
        return new_pair, new_node

    def averaged(
        self, pair: Float[Tensor, "pairs in2"], node: Float[Tensor, "nodes in1"] | None, incidence: Incidence
    ) -> tuple[Float[Tensor, "pairs out"], Float[Tensor, "nodes out"]]:
        """From state to state: extraction, :meth:`forward` on each network and the mean over networks, in one."""
        read = [incidence.read(2, pair)]
        if node is not None:
            read.append(incidence.read(1, node))
        join, blocks, bounds = _COMBINE[self.combine], incidence.blocks, incidence.pair_bounds

        def injected(maps: nn.ModuleList, order: int) -> Tensor:
            spread = [
                cast(EquivariantMap, layer).levels(levels, blocks, bounds)
                for layer, levels in zip(maps, read, strict=True)
            ]
            return join([incidence.inject(order, levels) for levels in spread])

        return injected(self.to_pair, 2), injected(self.to_node, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({tuple(self.in_channels)} -> {tuple(self.out_channels)}, {self.group!r})"


class SPENLayer(nn.Module):
    r"""A second-order equivariant map on every ego network (Mitton & Murray-Smith 2023).

    State lives on nodes and on pairs of nodes that share a network. Each layer reads off what lies inside each
    network, maps it by an equivariant map whose weights depend on the network's size alone, and puts it back. With
    :class:`MeanInjection`, the paper's order of steps:

    .. math::
        X_2[i, j] \leftarrow \operatorname{norm}\Bigl(\operatorname{elu}\bigl(
        \operatorname{mean}_{v : i, j \in N_k[v]} L_{m_v}(X|_{N_k[v]})_{ij}\bigr)\Bigr)

    and the same for nodes. If the networks come in several parts, each is computed again in the backward pass, so that
    memory holds the maps of one part at a time.

    Args:
        in_channels: width of the pairs' state and of the nodes' state, 0 if nodes have none yet.
        channels: width of what each map makes; the state's new width is :attr:`out_channels`.
        buckets: number of size buckets.
        group: which permutations the maps commute with: :class:`Symmetric` if not given, as in the paper,
            :class:`MarkedRoot` or :class:`RootStabiliser`.
        injection: the paper's :class:`MeanInjection` if not given, or :class:`SumInjection`.
        inner: maps in a row on each network, with the nonlinearity between, before injection; 1 in the paper.
        combine: ``"concat"`` (paper) or ``"sum"``, see :class:`NetworkMaps`.
        norm: normalise over the nodes, and over the pairs, of each graph (Cai et al. 2021).

    Example:
        >>> nets = EgoNetworks(*ego_networks(torch.tensor([[0, 1], [1, 2]]), 3))
        >>> layer = SPENLayer((2, 0), 8)
        >>> pair, node = layer(torch.randn(nets.num_pairs, 2), None, nets)
        >>> pair.shape, node.shape
        (torch.Size([9, 8]), torch.Size([3, 8]))
    """

    def __init__(
        self,
        in_channels: tuple[int, int],
        channels: int,
        *,
        buckets: int = 1,
        group: Group | None = None,
        injection: Injection | None = None,
        inner: int = 1,
        combine: Combine = "concat",
        norm: bool = True,
    ) -> None:
        super().__init__()
        if inner < 1:
            raise ValueError(f"inner must be at least 1, got {inner}")
        self.injection: Injection = MeanInjection() if injection is None else injection
        self.maps = nn.ModuleList()
        width = Widths(*in_channels)
        for _ in range(inner):
            maps = NetworkMaps(width, channels, buckets=buckets, group=group or Symmetric(), combine=combine)
            self.maps.append(maps)
            width = maps.out_channels
        self.in_channels, self.out_channels = Widths(*in_channels), width
        self.pair_norm = SortedGraphNorm(width.pair) if norm else None
        self.node_norm = SortedGraphNorm(width.node) if norm else None

    def reset_parameters(self) -> None:
        for part in (*self.maps, self.pair_norm, self.node_norm):
            reset(part)

    def forward(
        self,
        pair: Float[Tensor, "pairs in2"],
        node: Float[Tensor, "nodes in1"] | None,
        nets: EgoNetworks,
        batch: Int[Tensor, " nodes"] | None = None,
        batch_size: int | None = None,
    ) -> tuple[Float[Tensor, "pairs out"], Float[Tensor, "nodes out"]]:
        """New state of pairs and nodes.

        Args:
            pair: state of each pair of ``nets.pair_index``.
            node: state of each node.
            nets: the networks.
            batch: graph of each node; one graph without it.
            batch_size: number of graphs.

        Raises:
            ValueError: if widths or rows do not fit.
        """
        check_state(pair, node, nets, self.in_channels)
        if self._averages and Incidence.serves(pair):
            incidence = nets.incidence(cast(Symmetric, self.maps[0].group), pair.dtype)
            pair, node = (elu(mean) for mean in cast(NetworkMaps, self.maps[0]).averaged(pair, node, incidence))
        else:
            pair, node = self._network_by_network(pair, node, nets)
        if self.pair_norm is None or self.node_norm is None:
            return pair, node
        if Incidence.serves(pair):
            of_pairs, of_nodes = nets.graphs(batch, batch_size, pair.dtype)
            return self.pair_norm.over(pair, of_pairs), self.node_norm.over(node, of_nodes)
        batch = torch.zeros_like(nets.node_count) if batch is None else batch
        return self.pair_norm(pair, batch[nets.pair_index[0]], batch_size), self.node_norm(node, batch, batch_size)

    @property
    def _averages(self) -> bool:
        """Whether all up to the nonlinearity is linear, and no member of a network is told apart in reading."""
        return (
            len(self.maps) == 1
            and isinstance(self.injection, MeanInjection)
            and isinstance(self.maps[0].group, Symmetric)
        )

    def _network_by_network(self, pair: Tensor, node: Tensor | None, nets: EgoNetworks) -> tuple[Tensor, Tensor]:
        total_pair = total_node = pair.new_zeros(())
        again = torch.is_grad_enabled() and len(nets.parts) > 1
        for part in nets.parts:
            if again:
                new_pair, new_node = recomputed(self._on, pair, node, part, owner=self)
            else:
                new_pair, new_node = self._on(pair, node, part)
            total_pair = total_pair + nets.inject_pairs(new_pair, part)
            total_node = total_node + nets.inject_nodes(new_node, part)
        pair = self.injection.outside(total_pair, nets.pair_count, elu)
        return pair, self.injection.outside(total_node, nets.node_count, elu)

    def _on(self, pair: Tensor, node: Tensor | None, part: Part) -> tuple[Tensor, Tensor]:
        first, *further = self.maps
        pair, node = first(*extract(pair, node, part), part.blocks)
        for maps in further:
            pair, node = maps(elu(pair), elu(node), part.blocks)
        return self.injection.inside(pair, elu), self.injection.inside(node, elu)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({tuple(self.in_channels)} -> {tuple(self.out_channels)}, "
            f"{self.maps[0].group!r}, {self.injection!r}, inner={len(self.maps)}, norm={self.pair_norm is not None})"
        )


def extract(pair: Tensor, node: Tensor | None, part: Part) -> tuple[Tensor, Tensor | None]:
    """The state inside each network of a part."""
    return pair.index_select(0, part.pair), None if node is None else node.index_select(0, part.node)


def check_state(pair: Tensor, node: Tensor | None, nets: EgoNetworks, widths: Widths) -> None:
    """Raise ValueError unless a state has the rows of ``nets`` and these widths."""
    if list(pair.shape) != [nets.num_pairs, widths.pair]:
        raise ValueError(f"pair must have shape [{nets.num_pairs}, {widths.pair}], got {list(pair.shape)}")
    got = None if node is None else list(node.shape)
    expected = [nets.num_nodes, widths.node] if widths.node else None
    if got != expected:
        raise ValueError(f"node must have shape {expected}, got {got}")
