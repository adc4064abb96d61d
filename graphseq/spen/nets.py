"""The ego networks of a batch, and the way from nodes and pairs of nodes to them and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch_geometric.utils import scatter

from graphseq.spen.blocks import Blocks
from graphseq.spen.group import Symmetric
from graphseq.spen.incidence import Incidence
from graphseq.spen.norm import Graphs


class Part(NamedTuple):
    """Networks that are worked on together."""

    blocks: Blocks
    """Their layout."""
    node: Tensor
    """Node of each member."""
    pair: Tensor
    """Number of each pair among all pairs of nodes that share a network."""
    root: Tensor
    """Node of each network."""


class EgoNetworks:
    r"""The ego networks of all nodes of a batch, ordered by size bucket.

    State of order 1 lives on the nodes. State of order 2 lives on the ``num_pairs`` ordered pairs of nodes that share
    a network, for :math:`k = 1` those within two steps of each other. A network's own tensors are read off them at
    the members and pairs of a :class:`Part` (extraction), and its results added up there again (injection).

    Args:
        index: members of each network, see :func:`ego_networks`.
        size: of each node's network.
        buckets: ascending lower bounds of sizes. A network takes the weights of the largest bound that it reaches, one
            that is smaller than all those of the first; so no size is unknown.
        max_pairs: most pairs of a part. One network never falls apart, however large; without, there is one part.

    Raises:
        ValueError: if ``size`` does not add up to the members, bounds do not ascend, ``max_pairs`` is below 1, a node
            is missing in its own network or stands there twice.

    Example:
        >>> nets = EgoNetworks(*ego_networks(torch.tensor([[0, 1], [1, 2]]), 3), buckets=(1, 3))
        >>> nets
        EgoNetworks(num_nodes=3, num_pairs=9, buckets=[2, 1], parts=1)
    """

    def __init__(
        self,
        index: Int[Tensor, " members"],
        size: Int[Tensor, " nodes"],
        buckets: Sequence[int] = (1,),
        max_pairs: int | None = None,
    ) -> None:
        if int(size.sum()) != index.numel() or bool((size < 0).any()):
            raise ValueError(f"size must add up to the {index.numel()} members of index, got {int(size.sum())}")
        check_bounds(buckets)
        if max_pairs is not None and max_pairs < 1:
            raise ValueError(f"max_pairs must be at least 1, got {max_pairs}")
        self.num_nodes, self.max_pairs = size.numel(), max_pairs
        bounds = torch.tensor(list(buckets), device=size.device)
        bucket = (torch.bucketize(size, bounds, right=True) - 1).clamp(min=0)
        self.buckets = tuple(torch.bincount(bucket, minlength=len(buckets)).tolist())
        # Networks of one bucket lie together, and in it those of one size.
        largest = int(size.max()) if self.num_nodes else 0
        self.root = (bucket * (largest + 1) + size).argsort(stable=True)
        self.size = size[self.root]
        ptr = _bounds(self.size)
        block = torch.repeat_interleave(self.size, output_size=index.numel())
        within = torch.arange(index.numel(), device=size.device) - ptr[block]
        self.member = index[_bounds(size)[self.root[block]] + within]
        at_root = (self.member == self.root[block]).nonzero().flatten()
        if not torch.equal(block[at_root], torch.arange(self.num_nodes, device=size.device)):
            raise ValueError("index must hold each node once in its own network, got a network where that is not so")
        self.blocks = Blocks(ptr, at_root, self.buckets)
        key = self.member[self.blocks.pair_row] * self.num_nodes + self.member[self.blocks.pair_col]
        key, self.by_pair = key.sort(stable=True)
        self.pairs, number, self.pair_count = key.unique_consecutive(return_inverse=True, return_counts=True)
        self.pair = torch.empty_like(number).index_copy_(0, self.by_pair, number)
        self._graphs: tuple[Tensor | None, int | None, torch.dtype, tuple[Graphs, Graphs]] | None = None
        self._incidences: dict[tuple[str, torch.dtype], Incidence] = {}

    @property
    def num_pairs(self) -> int:
        """Pairs of nodes that share a network."""
        return self.pairs.numel()

    @cached_property
    def pair_index(self) -> Tensor:
        """Both nodes of each pair, ``[2, num_pairs]``, in lexical order."""
        width = max(self.num_nodes, 1)
        return torch.stack([self.pairs // width, self.pairs % width])

    @cached_property
    def node_count(self) -> Tensor:
        """How many networks hold each node."""
        return torch.bincount(self.member, minlength=self.num_nodes)

    @cached_property
    def diagonal(self) -> Tensor:
        """Number of the pair (i, i) of each node."""
        nodes = torch.arange(self.num_nodes, device=self.pairs.device)
        return torch.searchsorted(self.pairs, nodes * (self.num_nodes + 1))

    def find(self, source: Int[Tensor, " edges"], target: Int[Tensor, " edges"]) -> tuple[Tensor, Tensor]:
        """Numbers of pairs of nodes, and which of the pairs asked for share a network at all."""
        key = source * self.num_nodes + target
        place = torch.searchsorted(self.pairs, key).clamp(max=max(self.num_pairs - 1, 0))
        found = self.pairs[place] == key if self.num_pairs else torch.zeros_like(key, dtype=torch.bool)
        return place[found], found

    @cached_property
    def parts(self) -> list[Part]:
        """All networks, a few at a time, as ``max_pairs`` allows."""
        if self.max_pairs is None or self.blocks.num_pairs <= self.max_pairs:
            return [Part(self.blocks, self.member, self.pair, self.root)]
        return [self._part(first, last) for first, last in self._cuts(self.max_pairs)]

    def incidence(self, group: Symmetric, dtype: torch.dtype) -> Incidence:
        """How these networks hang on the state, made once for all layers."""
        key = (group.aggr, dtype)
        if key not in self._incidences:
            self._incidences[key] = Incidence(self, group, dtype)
        return self._incidences[key]

    def graphs(self, batch: Tensor | None, batch_size: int | None, dtype: torch.dtype) -> tuple[Graphs, Graphs]:
        """The graphs of the pairs and of the nodes, made once for all layers."""
        if self._graphs is None or self._graphs[0] is not batch or self._graphs[1:3] != (batch_size, dtype):
            of_node = torch.zeros_like(self.node_count) if batch is None else batch
            size = batch_size or (int(of_node[-1]) + 1 if of_node.numel() else 0)
            both = (Graphs(of_node[self.pair_index[0]], size, dtype), Graphs(of_node, size, dtype))
            self._graphs = (batch, batch_size, dtype, both)
        return self._graphs[3]

    def inject_nodes(self, values: Tensor, part: Part) -> Tensor:
        """Sum of the values of a part's members on each node."""
        return scatter(values, part.node, dim=0, dim_size=self.num_nodes)

    def inject_pairs(self, values: Tensor, part: Part) -> Tensor:
        """Sum of the values of a part's pairs on each pair of nodes."""
        return scatter(values, part.pair, dim=0, dim_size=self.num_pairs)

    def _cuts(self, limit: int) -> Iterator[tuple[int, int]]:
        first, held = 0, 0
        for place, pairs in enumerate(self.size.square().tolist()):
            if held and held + pairs > limit:
                yield first, place
                first, held = place, 0
            held += pairs
        yield first, self.num_nodes

    def _part(self, first: int, last: int) -> Part:
        ptr, pair_ptr = self.blocks.ptr, self.blocks.pair_ptr
        members = slice(int(ptr[first]), int(ptr[last]))
        pairs = slice(int(pair_ptr[first]), int(pair_ptr[last]))
        ends = zip(self.buckets, accumulate(self.buckets), strict=True)
        inside = [max(0, min(last, end) - max(first, end - count)) for count, end in ends]
        blocks = Blocks(ptr[first : last + 1] - ptr[first], self.blocks.checked_root[first:last] - ptr[first], inside)
        return Part(blocks, self.member[members], self.pair[pairs], self.root[first:last])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_nodes={self.num_nodes}, num_pairs={self.num_pairs}, "
            f"buckets={list(self.buckets)}, parts={len(self.parts)})"
        )


def check_bounds(buckets: Sequence[int]) -> None:
    """Raise ValueError if lower bounds of sizes do not ascend."""
    if not buckets or buckets[0] < 1 or any(a >= b for a, b in pairwise(buckets)):
        raise ValueError(f"buckets must be ascending lower bounds from at least 1, got {list(buckets)}")


def _bounds(size: Tensor) -> Tensor:
    return torch.cat([size.new_zeros(1), size.cumsum(0)])
