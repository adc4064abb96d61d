"""The nodes of a graph as a scan over its edges meets them: in order, with the edges and the links at each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphseq.scan.schedule import Schedule, bounds_of, parts_of


class Crossings(NamedTuple):
    """Nodes in topological order; edges have slots, by the node that they leave.

    Attributes:
        node: the node at each place, ``[num_nodes]``.
        out_begin: slots of the edges that leave it, ``[num_nodes + 1]``.
        out_edge: the edge of each slot, ``[num_edges]``.
        in_begin: entries of the edges that enter it, ``[num_nodes + 1]``.
        in_slot: the slot of each of those entries, ``[num_edges]``.
        link_begin: entries of the links through it, ``[num_nodes + 1]``.
        link: the link of each of those entries, row by row for the edges that enter, ``[num_links]``.
        part: places between which no edge leads, about as far apart as the number of parts allows.
    """

    node: Tensor
    out_begin: Tensor
    out_edge: Tensor
    in_begin: Tensor
    in_slot: Tensor
    link_begin: Tensor
    link: Tensor
    part: Tensor

    @classmethod
    def of(cls, node_edge_index: Tensor, num_nodes: int, lines: Schedule) -> Crossings:
        """Find them for a graph whose line graph is in order already."""
        device = node_edge_index.device
        node_edge_index = node_edge_index.cpu()
        (tail, head), (earlier, later) = node_edge_index, lines.edge_index.cpu()
        node = _ordered(node_edge_index, num_nodes, lines.place.cpu())
        place = _inverse(node)
        out_edge = place[tail].argsort(stable=True)
        in_edge = place[head].argsort(stable=True)
        slot, entry = _inverse(out_edge), _inverse(in_edge)
        outs, ins = (torch.bincount(place[end], minlength=num_nodes) for end in (tail, head))
        out_begin, in_begin, link_begin = bounds_of(outs), bounds_of(ins), bounds_of(ins * outs)
        at = place[tail[later]]
        number = link_begin[at] + (entry[earlier] - in_begin[at]) * outs[at] + slot[later] - out_begin[at]
        parts = parts_of(_uncrossed(place[tail], place[head], num_nodes), num_nodes)
        found = cls(node, out_begin, out_edge, in_begin, slot[in_edge], link_begin, _inverse(number), parts)
        return found.to(device)

    def edges(self) -> tuple[Tensor, int]:
        """The ``edge_index`` of which they were made, and the number of nodes."""
        places = torch.arange(len(self.node), device=self.node.device)
        leaving, entering = (
            self.node[places.repeat_interleave(begin.diff())] for begin in (self.out_begin, self.in_begin)
        )
        tail, head = torch.empty_like(self.out_edge), torch.empty_like(self.out_edge)
        tail[self.out_edge], head[self.out_edge[self.in_slot]] = leaving, entering
        return torch.stack([tail, head]), len(self.node)

    def links(self) -> Tensor:
        """The ``link_index`` of which they were made."""
        outs = self.out_begin.diff()
        at = torch.arange(len(self.node), device=self.node.device).repeat_interleave(self.link_begin.diff())
        number = torch.arange(len(self.link), device=self.node.device) - self.link_begin[at]
        earlier = self.out_edge[self.in_slot[self.in_begin[at] + number // outs[at]]]
        later = self.out_edge[self.out_begin[at] + number % outs[at]]
        found = torch.empty(2, len(self.link), dtype=torch.long, device=self.node.device)
        found[:, self.link] = torch.stack([earlier, later])
        return found

    def to(self, device: torch.device | str) -> Crossings:
        """The same on another device."""
        return Crossings(*(tensor.to(device) for tensor in self))


def _ordered(edge_index: Tensor, num_nodes: int, place: Tensor) -> Tensor:
    """Nodes in topological order, from the order of the edges alone, without a search or a sort.

    An edge comes after all that enter the node that it leaves. So a node may stand right after the last edge that
    enters it or, if none does, right before the first that leaves it; no two nodes stand at the same edge and side.
    """
    tail, head = edge_index
    never = 2 * len(place) + 1
    after = torch.full((num_nodes,), -1).scatter_reduce(0, head, 2 * place + 2, "amax")
    before = torch.full((num_nodes,), never).scatter_reduce(0, tail, 2 * place + 1, "amin")
    stands = torch.where(after < 0, before, after)
    nodes = torch.arange(num_nodes)
    joined = stands < never
    at = torch.full((never + 1,), -1).index_copy(0, stands[joined], nodes[joined])
    return torch.cat([at[at >= 0], nodes[~joined]])


def _uncrossed(tail: Tensor, head: Tensor, num_nodes: int) -> Tensor:
    """Sizes of the smallest runs of places that no edge leads out of."""
    places = torch.arange(num_nodes)
    reach = places.scatter_reduce(0, tail, head, "amax").cummax(0).values if num_nodes else places
    ends = (reach == places).nonzero()[:, 0] + 1
    return torch.diff(ends, prepend=ends.new_zeros(1))


def _inverse(order: Tensor) -> Tensor:
    return torch.empty_like(order).index_copy_(0, order, torch.arange(len(order)))
