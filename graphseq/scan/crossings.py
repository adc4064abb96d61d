"""The nodes of a graph as a scan over its edges meets them: in order, with the edges and the links at each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from graphseq.scan.schedule import Schedule, bounds_of, parts_of


class Crossings(NamedTuple):
    """Nodes in topological order, component by component; edges have slots, by the node that they leave.

    Attributes:
        node: the node at each place, ``[num_nodes]``.
        out_begin: slots of the edges that leave it, ``[num_nodes + 1]``.
        out_edge: the edge of each slot, ``[num_edges]``.
        in_begin: entries of the edges that enter it, ``[num_nodes + 1]``.
        in_slot: the slot of each of those entries, ``[num_edges]``.
        link_begin: entries of the links through it, ``[num_nodes + 1]``.
        link: the link of each of those entries, row by row for the edges that enter, ``[num_links]``.
        part: places between which no edge leads: whole components, of about the same size together.
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
        # An edge comes later in the order than all that enter the node that it leaves.
        last = torch.zeros(num_nodes, dtype=torch.long).scatter_reduce(0, head, lines.place.cpu() + 1, "amax")
        label, components = _components(node_edge_index, num_nodes)
        node = torch.from_numpy(np.lexsort((last.numpy(), label.numpy())))
        place = _inverse(node)
        out_edge = place[tail].argsort(stable=True)
        in_edge = place[head].argsort(stable=True)
        slot, entry = _inverse(out_edge), _inverse(in_edge)
        outs, ins = (torch.bincount(place[end], minlength=num_nodes) for end in (tail, head))
        out_begin, in_begin, link_begin = bounds_of(outs), bounds_of(ins), bounds_of(ins * outs)
        at = place[tail[later]]
        number = link_begin[at] + (entry[earlier] - in_begin[at]) * outs[at] + slot[later] - out_begin[at]
        sizes = torch.bincount(label, minlength=components)
        parts = parts_of(sizes, num_nodes)
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


def _components(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, int]:
    if not num_nodes:
        return torch.empty(0, dtype=torch.long), 0
    ends = tuple(edge_index.numpy())
    ones = np.ones(edge_index.shape[1], dtype=bool)
    count, label = connected_components(coo_array((ones, ends), shape=(num_nodes, num_nodes)), directed=False)
    return torch.from_numpy(label).long(), count


def _inverse(order: Tensor) -> Tensor:
    return torch.empty_like(order).index_copy_(0, order, torch.arange(len(order)))
