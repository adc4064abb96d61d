"""Topologies whose states are the edges of a graph: the line graph, and the incidence graph that stands in for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphseq.scan._structure import apart
from graphseq.scan.crossings import Crossings
from graphseq.scan.dag import Dag, check_links
from graphseq.scan.schedule import DagOrder, Schedule, ranges


class _EdgeStates(Dag):
    """Remembers the graph, in its own direction, of which it was made."""

    node_edge_index: Tensor
    num_nodes: int

    def _like(self, schedule: Schedule, reversed: bool) -> Dag:
        other: Any = super()._like(schedule, reversed)
        other.node_edge_index, other.num_nodes = self.node_edge_index.to(schedule.edge_index.device), self.num_nodes
        return other


class LineGraph(_EdgeStates):
    """The line graph of a directed acyclic graph: its states are the edges, and a link joins each edge to the next.

    A node with :math:`m` edges in and :math:`n` edges out makes :math:`m n` links; :class:`IncidenceGraph` has
    :math:`m + n`.

    Args:
        edge_index: edges ``[2, num_edges]``, int64.
        num_nodes: number of nodes.
        link_index: the line graph's own :attr:`link_index`, if it is known already.
        order: the line graph's :attr:`order`, if it is known already.

    Attributes:
        crossings: the nodes in order, with the edges and links at each; the same for both directions.

    Raises:
        TypeError: if ``edge_index`` is not an int64 tensor.
        ValueError: if it has another shape, names a node that is not there, or has a cycle; or if ``link_index`` or
            ``order`` is that of another graph.
    """

    @apart
    def __init__(
        self,
        edge_index: Tensor,
        num_nodes: int,
        *,
        link_index: Tensor | None = None,
        order: DagOrder | None = None,
    ) -> None:
        check_links(edge_index, num_nodes)
        self.node_edge_index, self.num_nodes = edge_index, num_nodes
        if link_index is None:
            link_index = _consecutive(edge_index, num_nodes)
        elif not _are_consecutive(link_index, edge_index, num_nodes):
            raise ValueError("link_index must belong to edge_index, got that of other edges: have they changed since?")
        super().__init__(link_index, edge_index.shape[1], order=order)
        # Made here and not when first asked for, which may be inside a function that torch.compile traces.
        self.crossings = Crossings.of(edge_index, num_nodes, self.schedule)

    def _like(self, schedule: Schedule, reversed: bool) -> Dag:
        other: Any = super()._like(schedule, reversed)
        other.crossings = self.crossings.to(schedule.edge_index.device)
        return other

    @property
    def link_index(self) -> Tensor:
        """Which pair of edges each link joins, ``[2, num_links]``; sorted by the second, then the first."""
        return self.edge_index


def line_graph(edge_index: Tensor, num_nodes: int) -> LineGraph:
    """The topology whose states are the edges of a graph, in order; see :class:`LineGraph`.

    Example:
        >>> line_graph(torch.tensor([[0, 1, 1], [1, 2, 3]]), 4).link_index
        tensor([[0, 0],
                [1, 2]])
    """
    return LineGraph(edge_index, num_nodes)


def _consecutive(edge_index: Tensor, num_nodes: int) -> Tensor:
    """All pairs (p, e) of edges with dst(p) = src(e): each edge meets every edge that enters its source."""
    source, target = edge_index
    by_target = target.argsort(stable=True)
    entering = torch.bincount(target, minlength=num_nodes)
    begin = entering.cumsum(0) - entering
    counts = entering[source]
    later = torch.arange(source.numel(), device=source.device).repeat_interleave(counts)
    return torch.stack([by_target[ranges(begin[source], counts)], later])


def _are_consecutive(link_index: Tensor, edge_index: Tensor, num_nodes: int) -> bool:
    """Whether these are such pairs, and as many."""
    source, target = edge_index
    count = torch.bincount(target, minlength=num_nodes)[source].sum()
    if link_index.shape != (2, int(count)) or not ((link_index >= 0) & (link_index < len(source))).all():
        return False
    earlier, later = link_index
    return torch.equal(target[earlier], source[later])


class IncidenceGraph(_EdgeStates):
    r"""The incidence graph of a directed acyclic graph: states on edges and on nodes, and links edge → node → edge.

    It runs a line graph's recurrence at the cost of its edges, not of its pairs of edges, where the decay from edge
    :math:`p` through node :math:`v` to edge :math:`e` is a product
    :math:`T_{p \to e} = \text{target}_p \, \text{transition}_v \, \text{source}_e`:

    .. math::
        m_v = b_v + \sum_{p\,:\,\operatorname{dst}(p) = v} \text{target}_p \, C_p, \qquad
        C_e = b_e + \text{source}_e \, \text{transition}_v \, m_v \quad (v = \operatorname{src}(e))

    States :math:`0, …, E - 1` are the edges, :math:`E, …, E + N - 1` the nodes. Link :math:`e < E` leads from edge
    :math:`e` into its target node, link :math:`E + e` from its source node into edge :math:`e`.

    Args:
        edge_index: edges ``[2, num_edges]``, int64.
        num_nodes: number of nodes.
        order: the incidence graph's :attr:`order`, if it is known already.

    Raises:
        TypeError: if ``edge_index`` is not an int64 tensor.
        ValueError: if it has another shape, names a node that is not there, or has a cycle; or if ``order`` is that of
            another graph.
    """

    @apart
    def __init__(self, edge_index: Tensor, num_nodes: int, *, order: DagOrder | None = None) -> None:
        check_links(edge_index, num_nodes)
        self.node_edge_index, self.num_nodes = edge_index, num_nodes
        edges = edge_index.shape[1]
        (source, target), edge = edge_index + edges, torch.arange(edges, device=edge_index.device)
        links = torch.stack([torch.cat([edge, source]), torch.cat([target, edge])])
        super().__init__(links, edges + num_nodes, order=order)

    def decay(self, source_gate: Tensor, transition: Tensor, target_gate: Tensor) -> Tensor:
        """The decay of each link, ``[2 * num_edges, *channels]``.

        Args:
            source_gate: of each edge, where it leaves a node, ``[num_edges, *channels]``.
            transition: of each node, ``[num_nodes, *channels]``.
            target_gate: of each edge, where it enters a node, ``[num_edges, *channels]``.
        """
        leaving = source_gate * transition[self.node_edge_index[0]]
        return torch.cat(torch.broadcast_tensors(target_gate, leaving))

    def source(self, source: Tensor) -> Tensor:
        """The input of each state, ``[num_edges + num_nodes, *channels]``, from that of each edge; nodes have none."""
        return torch.cat([source, source.new_zeros(self.num_nodes, *source.shape[1:])])


def incidence_graph(edge_index: Tensor, num_nodes: int) -> IncidenceGraph:
    """The topology whose states are the edges and the nodes of a graph; see :class:`IncidenceGraph`.

    Example:
        >>> incidence_graph(torch.tensor([[0, 1], [1, 2]]), 3).edge_index
        tensor([[0, 1, 2, 3],
                [3, 4, 0, 1]])
    """
    return IncidenceGraph(edge_index, num_nodes)
