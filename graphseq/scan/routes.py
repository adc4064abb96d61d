"""What a topology is to the gated scan: edges that carry states from node to node, and how nodes reach them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphseq.scan.edges import LineGraph
from graphseq.scan.grid import Grid
from graphseq.scan.topology import Ragged


class Routes:
    """The edges of a topology, on arrays whose leading axes count nodes or edges and are followed by the heads.

    Attributes:
        nodes: sizes of the leading axes of what nodes hold.
        gates: sizes of the leading axes of source, transition, mark and direct.
        names: what these axes count, for error messages.
    """

    topology: Ragged | Grid | LineGraph
    nodes: tuple[int, ...]
    gates: dict[str, tuple[int, ...]]
    names: ClassVar[dict[str, str]]

    def used(self, source: Tensor, transition: Tensor, mark: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gates, with zeros in place of those of edges that come from nowhere or lead nowhere.

        Nothing reads these, be they NaN or infinite; multiplied by zero they would spoil the result or its gradient.
        """
        return source, transition, mark

    def behind(self, x: Tensor) -> Tensor:
        """What the node holds that each edge leaves; it may lack axes in front, or have them of size 1."""
        return x

    def ahead(self, x: Tensor) -> Tensor:
        """What the node holds that each edge enters."""
        raise NotImplementedError

    def collect(self, mark: Tensor, read: Tensor) -> Tensor:
        """The sum over the edges that enter each node of ``mark`` times ``read``, which edges hold."""
        raise NotImplementedError


class SequenceRoutes(Routes):
    """Edge ``t`` leads from token ``t`` to the next; that of a segment's last token leads nowhere."""

    names: ClassVar = dict.fromkeys(("node", "source", "transition", "mark", "direct"), "tokens")

    topology: Ragged

    def __init__(self, topology: Ragged) -> None:
        self.topology = topology
        self._first = topology.position == 0
        self.nodes = (topology.num_states,)
        self.gates = dict.fromkeys(("source", "transition", "mark", "direct"), self.nodes)
        self._step = -1 if topology.reversed else 1

    def used(self, source: Tensor, transition: Tensor, mark: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, last = self.topology.first, self.topology.last
        return source.index_fill(0, last, 0), transition.index_fill(0, last, 0), mark.index_fill(0, first, 0)

    def ahead(self, x: Tensor) -> Tensor:
        # Zero at a segment's last token: another segment's, if it is infinite, would reach this one's gradient.
        return x.roll(-self._step, 0).index_fill(0, self.topology.last, 0)

    def collect(self, mark: Tensor, read: Tensor) -> Tensor:
        first = self._first.view(-1, *[1] * (read.dim() - 1))
        return mark[..., None] * read.roll(self._step, 0).masked_fill(first, 0)


class GridRoutes(Routes):
    """Two edges leave each cell: number 0 along the row, number 1 along the column; those at the rim lead nowhere."""

    names: ClassVar = {
        "node": "batch, height, width",
        "source": "2, batch, height, width",
        "transition": "2, 2, batch, height, width",
        "mark": "2, batch, height, width",
        "direct": "batch, height, width",
    }

    topology: Grid

    def __init__(self, topology: Grid) -> None:
        self.topology = topology
        self.nodes = (topology.batch, topology.height, topology.width)
        self.gates = {
            "source": (2, *self.nodes),
            "transition": (2, 2, *self.nodes),
            "mark": (2, *self.nodes),
            "direct": self.nodes,
        }
        self._step = -1 if topology.reversed else 1

    def used(self, source: Tensor, transition: Tensor, mark: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        enters, leaves = (grid.entered[:, None, :, :, None] for grid in (self.topology, self.topology.reverse()))
        return source.where(leaves, 0), transition.where(enters[:, None] & leaves, 0), mark.where(enters, 0)

    def ahead(self, x: Tensor) -> Tensor:
        return torch.stack([_shifted(x, axis, -self._step) for axis in (2, 1)])

    def collect(self, mark: Tensor, read: Tensor) -> Tensor:
        along_row, along_column = (_shifted(read[state], axis, self._step) for state, axis in ((0, 2), (1, 1)))
        return mark[0, ..., None] * along_row + mark[1, ..., None] * along_column


class GraphRoutes(Routes):
    """The edges of a directed acyclic graph."""

    names: ClassVar = {
        "node": "num_nodes",
        "source": "num_edges",
        "transition": "num_links",
        "mark": "num_edges",
        "direct": "num_nodes",
    }

    def __init__(self, topology: LineGraph) -> None:
        self.topology = topology
        self.nodes = (topology.num_nodes,)
        edges, links = (topology.num_states,), (topology.num_links,)
        self.gates = {"source": edges, "transition": links, "mark": edges, "direct": self.nodes}
        self._tail, self._head = topology.node_edge_index.flip(0) if topology.reversed else topology.node_edge_index

    def behind(self, x: Tensor) -> Tensor:
        return x.index_select(0, self._tail)

    def ahead(self, x: Tensor) -> Tensor:
        return x.index_select(0, self._head)

    def collect(self, mark: Tensor, read: Tensor) -> Tensor:
        read = mark[..., None] * read
        return read.new_zeros(*self.nodes, *read.shape[1:]).index_add(0, self._head, read)


def routes(topology: Ragged | Grid | LineGraph) -> Routes:
    """The routes of a topology.

    Raises:
        TypeError: if the scan does not run on this kind of topology.
    """
    if isinstance(topology, Ragged):
        return SequenceRoutes(topology)
    if isinstance(topology, Grid):
        return GridRoutes(topology)
    if isinstance(topology, LineGraph):
        return GraphRoutes(topology)
    raise TypeError(
        "topology must be a Ragged, a Grid or the line graph of a directed acyclic graph (line_graph(edge_index, "
        f"num_nodes)), got a {type(topology).__name__}"
    )


def _shifted(x: Tensor, axis: int, step: int) -> Tensor:
    """One cell on along an axis, with zeros where nothing arrives."""
    length = x.shape[axis]
    if length == 0:
        return x
    kept = x.narrow(axis, 0 if step > 0 else 1, length - 1)
    return pad(kept, [0, 0] * (x.dim() - 1 - axis) + ([1, 0] if step > 0 else [0, 1]))


def composed(
    where: Routes,
    scan: Callable[[Tensor, Tensor], Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    direct: Tensor,
) -> Tensor:
    """The gated scan by a linear one, ``scan(transition, emitted)``, with the states of all edges written out."""
    source, transition, mark = where.used(source, transition, mark)
    # Gates are applied to vectors, and products are elementwise: for matrices this small, far faster than matmul.
    emitted = (source[..., None] * where.behind(key))[..., :, None] * where.behind(value)[..., None, :]
    states = scan(transition[..., None], emitted.flatten(-2)).view(emitted.shape)
    read = where.collect(mark, (where.ahead(query)[..., :, None] * states).sum(-2))
    return read + (direct * (query * key).sum(-1))[..., None] * value
