"""The gates on directed acyclic graphs, from the vectors of nodes and edges."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.utils import scatter

from graphseq.nn.check import check_rows, check_vectors
from graphseq.plstm.gates import GateMap, Gates
from graphseq.scan import LineGraph


class _GraphGates(nn.Module):
    """Source, mark and direct by a sigmoid, and the raw transitions ``t``, linear in what meets at a link.

    The gate of an edge reads the node at its near end and the edge itself; a transition reads the node that it passes
    and both edges.
    """

    def __init__(self, channels: int, heads: int, *, start: float = -5.0, transition_std: float = 10.0) -> None:
        super().__init__()
        self.heads, self.start, self.transition_std = heads, start, transition_std
        # Source, mark, direct and transition of nodes; source, mark, transition from and to an edge.
        self.nodes = GateMap(channels, 4 * heads)
        self.edges = GateMap(channels, 4 * heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for gates in (self.nodes, self.edges):
            gates.reset_parameters()
        with torch.no_grad():
            self.nodes.bias[: 3 * self.heads] = self.start
            nn.init.normal_(self.nodes.bias[3 * self.heads :], std=self.transition_std)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_attr: Float[Tensor, "edges channels"],
        lines: LineGraph,
        keep: Bool[Tensor, " links"] | None = None,
    ) -> Gates:
        """The gates of a batch of graphs.

        Args:
            x: nodes.
            edge_attr: edges.
            lines: the line graph.
            keep: which links are part of its multitree; read in D-mode.

        Raises:
            ValueError: if ``x`` or ``edge_attr`` has another shape than ``lines`` and the width say, or another device.
            TypeError: if one of them has another dtype than the weights, or is no dense tensor.
        """
        check_vectors("x", x, self.nodes.in_features, self.nodes.weight)
        check_vectors("edge_attr", edge_attr, self.edges.in_features, self.edges.weight)
        check_rows("edge_attr", edge_attr, lines.num_states, "edges of lines")
        tail, head = lines.node_edge_index.flip(0) if lines.reversed else lines.node_edge_index
        earlier, later = lines.link_index
        at_source, at_mark, at_direct, at_link = self.nodes(x).chunk(4, dim=-1)
        edge_source, edge_mark, entering, leaving = self.edges(edge_attr).chunk(4, dim=-1)
        source = torch.sigmoid(at_source[tail] + edge_source)
        mark = torch.sigmoid(at_mark[head] + edge_mark)
        raw = at_link[tail[later]] + entering[earlier] + leaving[later]
        num_nodes = x.shape[0]
        return Gates(
            self.sources(source, tail, num_nodes),
            self.transitions(raw, lines, keep),
            self.marks(mark, head, num_nodes),
            torch.sigmoid(at_direct),
        )

    def sources(self, source: Tensor, tail: Tensor, num_nodes: int) -> Tensor:
        return source

    def marks(self, mark: Tensor, head: Tensor, num_nodes: int) -> Tensor:
        return mark

    def transitions(self, raw: Tensor, lines: LineGraph, keep: Tensor | None) -> Tensor:
        raise NotImplementedError


class ReleasedGraphPropagation(_GraphGates):
    r"""P-mode with gates as released: each source and mark for itself in :math:`[0, 1]`.

    .. math::
        T_{p \to e} = \frac{t_{p \to e}}{\alpha + \sum_{e'} |t_{p \to e'}|}, \qquad \alpha = \tfrac{1}{2}

    From edge to edge no gain exceeds 1, but from node to node gains are bounded by the degrees only.

    Args:
        channels: width of nodes and edges.
        heads: number of heads.
        start: initial logit of source, mark and direct.
        transition_std: standard deviation of the initial :math:`t`, the same for all links of a head.
    """

    offset = 0.5

    def transitions(self, raw: Tensor, lines: LineGraph, keep: Tensor | None) -> Tensor:
        group = self.shared_by(lines)
        total = scatter(raw.abs(), group, dim=0, dim_size=lines.num_states, reduce="sum")
        return raw / (self.offset + total)[group]

    def shared_by(self, lines: LineGraph) -> Tensor:
        """The edge whose links share one sum."""
        return lines.link_index[0]


class GraphPropagation(ReleasedGraphPropagation):
    r"""P-mode: what enters a node by an edge is split over the edges that leave it.

    .. math::
        T_{p \to e} = \frac{t_{p \to e}}{\alpha + \sum_{e'} |t_{p \to e'}|}, \qquad \alpha = \tfrac{1}{2}

    The sources of a node are scaled down where they add up to more than 1. Then no node gains more than 1 on any other,
    on any graph and for any parameters: along all routes together, what a node sends enters the edges of another by a
    share of at most 1.

    Args:
        channels: width of nodes and edges.
        heads: number of heads.
        start: initial logit of source, mark and direct.
        transition_std: standard deviation of the initial :math:`t`, the same for all links of a head.
    """

    def sources(self, source: Tensor, tail: Tensor, num_nodes: int) -> Tensor:
        return _shared_out(source, tail, num_nodes)


class GraphPropagationIn(ReleasedGraphPropagation):
    """P-mode, transposed: transitions are normalised over the edges that feed an edge, and marks are shared out.

    It has the same bound as :class:`GraphPropagation`.

    Args:
        channels: width of nodes and edges.
        heads: number of heads.
        start: initial logit of source, mark and direct.
        transition_std: standard deviation of the initial transitions.
    """

    def shared_by(self, lines: LineGraph) -> Tensor:
        return lines.link_index[1]

    def marks(self, mark: Tensor, head: Tensor, num_nodes: int) -> Tensor:
        return _shared_out(mark, head, num_nodes)


class ReleasedGraphDiffusion(_GraphGates):
    r"""D-mode with gates as released: :math:`T = \tanh(t)` on the multitree, each source and mark in :math:`[0, 1]`.

    Args:
        channels: width of nodes and edges.
        heads: number of heads.
        start: initial logit of source, mark and direct.
        transition_std: standard deviation of the initial :math:`t`.
    """

    def transitions(self, raw: Tensor, lines: LineGraph, keep: Tensor | None) -> Tensor:
        if keep is None:
            raise ValueError("keep must be given in D-mode: data must have passed through AddMultitree()")
        if keep.shape != (lines.num_links,):
            raise ValueError(f"keep must have shape [{lines.num_links}], one entry a link, got {list(keep.shape)}")
        return torch.tanh(raw) * keep[:, None]


class GraphDiffusion(ReleasedGraphDiffusion):
    r"""D-mode: :math:`T = \tanh(t)` on the links of a multitree, in which one path at most joins two edges.

    The sources of a node, and its marks, are scaled down where they add up to more than 1. Then no node gains more than
    1 on any other, on any graph and for any parameters.

    Args:
        channels: width of nodes and edges.
        heads: number of heads.
        start: initial logit of source, mark and direct.
        transition_std: standard deviation of the initial :math:`t`.
    """

    def sources(self, source: Tensor, tail: Tensor, num_nodes: int) -> Tensor:
        return _shared_out(source, tail, num_nodes)

    def marks(self, mark: Tensor, head: Tensor, num_nodes: int) -> Tensor:
        return _shared_out(mark, head, num_nodes)


def _shared_out(gates: Tensor, node: Tensor, num_nodes: int) -> Tensor:
    """Gates of edges that would add up to more than 1 at a node, scaled so that they add up to 1."""
    total = scatter(gates, node, dim=0, dim_size=num_nodes, reduce="sum")
    return gates / total.clamp(min=1)[node]
