"""Which pairs of nodes are edges, without a look at anyone's neighbours."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor
from torch_geometric.utils import cumsum, index_sort

_ODD = 0x2545F4914F6CDD1D
_LARGEST_FILTER = 28  # bits of an address: 256 MiB


class EdgeSet:
    """The edges of a graph, asked pair by pair.

    Almost all pairs that are no edge fall through a table of one byte for each hash of a joined pair. The rest are
    looked up among the sorted pairs. No list of neighbours is read, so a hub costs no more than any other node.

    Args:
        edge_index: edges.
        num_nodes: number of nodes.
    """

    def __init__(self, edge_index: Int[Tensor, "2 edges"], num_nodes: int) -> None:
        self.num_nodes, self._source = num_nodes, edge_index[0]
        smaller, larger = edge_index.amin(0), edge_index.amax(0)
        self.has_loops = bool((smaller == larger).any())
        # An edge up and an edge down between two nodes are neighbours in this order.
        key = 2 * (smaller * num_nodes + larger) + (edge_index[0] > edge_index[1])
        self._key, self._id = index_sort(key, 2 * num_nodes**2, stable=True)
        self._pair, count = torch.unique_consecutive(self._key >> 1, return_counts=True)
        self._first = cumsum(count)
        bits = min(max(10, (12 * self._pair.numel()).bit_length()), _LARGEST_FILTER)
        self._mask = (1 << bits) - 1
        self._filter = torch.zeros(1 << bits, dtype=torch.bool, device=edge_index.device)
        self._filter[self.salt(smaller) + larger & self._mask] = True

    @staticmethod
    def salt(node: Tensor) -> Tensor:
        """The smaller node of a pair, as :meth:`maybe` takes it; made once where a node is in many pairs."""
        value = node * _ODD
        return value ^ (value >> 29 & 0x7FFFFFFFF)

    def maybe(self, salted: Tensor, larger: Tensor) -> Tensor:
        """Whether pairs may be joined, one way or the other; true for each that is."""
        return self._filter.index_select(0, (salted + larger).bitwise_and_(self._mask))

    def between(self, smaller: Tensor, larger: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All edges, either way and parallel, between the two nodes of each pair.

        Returns:
            For each edge found the place of its pair, ascending; its column in ``edge_index``; whether it leads from
            the smaller node to the larger.
        """
        place, found = _search(self._pair, smaller * self.num_nodes + larger)
        pair = found.nonzero().flatten()
        first = self._first.index_select(0, place := place.index_select(0, pair))
        count = self._first.index_select(0, place + 1) - first
        # Along the edges of one pair, counting on from the first.
        first = (first - (count.cumsum(0) - count)).repeat_interleave(count)
        pair = pair.repeat_interleave(count)
        edge = self._id.index_select(0, first.add_(torch.arange(first.numel(), device=first.device)))
        return pair, edge, self._source.index_select(0, edge) == smaller.index_select(0, pair)

    def first(self, source: Tensor, target: Tensor) -> Tensor:
        """One edge from each ``source`` to its ``target``, the first of parallel ones; -1 where there is none."""
        smaller, larger = torch.minimum(source, target), torch.maximum(source, target)
        place, found = _search(self._key, 2 * (smaller * self.num_nodes + larger) + (source > target))
        edge = torch.full_like(place, -1)
        edge[found] = self._id[place[found]]
        return edge


def _search(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where each wanted key first stands among sorted ones, and whether it does."""
    if keys.numel() == 0:
        return torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
    place = torch.searchsorted(keys, wanted).clamp_(max=keys.numel() - 1)
    return place, keys[place] == wanted
