"""The scan of pLSTM (Pöppel et al. 2025, "pLSTM: parallelizable Linear Source Transition Mark networks")."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.plstm.mask import Columns, GridColumns, PackedColumns, attend, is_smaller, reach
from graphseq.plstm.routes import GridRoutes, Routes, routes
from graphseq.scan import Grid, LineGraph, Ragged

Form = Literal["recurrent", "attention"]


def plstm_scan(
    query: Float[Tensor, "*nodes heads dk"],
    key: Float[Tensor, "*nodes heads dk"],
    value: Float[Tensor, "*nodes heads dv"],
    source: Float[Tensor, "*edges heads"],
    transition: Float[Tensor, "*links heads"],
    mark: Float[Tensor, "*edges heads"],
    direct: Float[Tensor, "*nodes heads"],
    topology: Ragged | Grid | LineGraph,
    *,
    graphs: Ragged | None = None,
    form: Form | None = None,
) -> Float[Tensor, "*nodes heads dv"]:
    r"""Linear recurrence over the edges of a directed acyclic graph, with a matrix for state, for each head.

    With :math:`u` the node that edge :math:`e` leaves,

    .. math::
        C_e &= \sum_{p\,:\,\operatorname{dst}(p) = u} T_{p \to e} \, C_p + S_e \, k_u v_u^\top \\
        y_n &= \sum_{e\,:\,\operatorname{dst}(e) = n} M_e \, C_e^\top q_n + D_n \, (q_n \cdot k_n) \, v_n

    A node's own value reaches it through :math:`D` alone. Scores are not scaled.

    =================================  =================  ================  ===================  ===============
    topology                           query, key, value  source and mark   transition           direct
    =================================  =================  ================  ===================  ===============
    :class:`~graphseq.scan.Ragged`     ``[T]``            ``[T]``           ``[T]``              ``[T]``
    :class:`~graphseq.scan.Grid`       ``[B, H, W]``      ``[2, B, H, W]``  ``[2, 2, B, H, W]``  ``[B, H, W]``
    :class:`~graphseq.scan.LineGraph`  ``[num_nodes]``    ``[num_edges]``   ``[num_links]``      ``[num_nodes]``
    =================================  =================  ================  ===================  ===============

    lists the leading axes; ``heads`` follows, then ``dk`` or ``dv``. Token :math:`t` of a sequence has one edge, to
    token :math:`t + 1`: ``mark[t]`` is that of the edge that enters it, ``source[t]`` of the one that leaves it, and
    ``transition[t]`` leads from the former to the latter. A cell of a grid has two edges of each kind, number 0 along
    the row and number 1 along the column, and ``transition[i, j]`` leads from edge :math:`i` that enters it to edge
    :math:`j` that leaves it. Transitions of a graph are in the order of ``topology.link_index``.

    Args:
        query: what nodes ask for.
        key: under which nodes are found.
        value: what nodes hold.
        source: how much of a node enters each edge that leaves it.
        transition: how much of one edge passes into the next.
        mark: how much of an edge is read by the node that it enters.
        direct: how much of itself a node reads.
        topology: the edges. ``topology.reverse()`` runs the same edges backwards.
        graphs: on a :class:`~graphseq.scan.LineGraph`, the bounds of the graphs of a batch among the nodes; one graph
            if not given. It does not change the result, but which form is cheaper.
        form: ``"recurrent"`` keeps a matrix ``dk × dv`` on each edge. ``"attention"`` has the recurrence add up the
            gates along all paths from :math:`m` to :math:`n` into a mask :math:`G_{nm}`, and, with
            :math:`G_{nn} = D_n`,

            .. math:: y_n = \sum_m G_{nm} \, (q_n \cdot k_m) \, v_m .

            Both are exact. Without it, the one that has less to keep.

    Returns:
        What nodes read, :math:`y_n`.

    Raises:
        TypeError: if pLSTM does not run on ``topology``.
        ValueError: if sizes do not fit ``topology`` or one another.

    Example:
        >>> one = torch.ones(3, 1, 1)
        >>> half = torch.full((3, 1), 0.5)
        >>> path = Ragged(torch.tensor([0, 3]))
        >>> plstm_scan(one, one, one, source=half, transition=half, mark=half, direct=half, topology=path).squeeze()
        tensor([0.5000, 0.7500, 0.8750])

    Cost: in the recurrent form time and memory grow with links and edges, times ``heads · dk · dv``; in the other form
    with ``heads · n`` in place of it, for :math:`n` nodes in the largest graph.
    """
    where = routes(topology)
    _check(where, query, key, value, source=source, transition=transition, mark=mark, direct=direct)
    columns = _columns(topology, graphs)
    if (form or _cheaper(columns, query, value)) == "recurrent":
        read = _recurrent(where, query, key, value, source, transition, mark)
    else:
        _check_form(form)
        mask = reach(where, columns.one_hot(query), source, transition, mark)
        read = attend(columns, mask, query, key, value)
    return read + _own(query, key, value, direct)


def plstm_scan_four_ways(
    query: Float[Tensor, "batch height width heads dk"],
    key: Float[Tensor, "batch height width heads dk"],
    value: Float[Tensor, "batch height width heads dv"],
    source: Float[Tensor, "4 2 batch height width heads"],
    transition: Float[Tensor, "4 2 2 batch height width heads"],
    mark: Float[Tensor, "4 2 batch height width heads"],
    direct: Float[Tensor, "batch height width heads"],
    topology: Grid,
    *,
    form: Form | None = None,
) -> Float[Tensor, "batch height width heads dv"]:
    r"""The sum of :func:`plstm_scan` over a grid's four directions, so that each cell hears of all others.

    Direction 0 runs as the grid does, 1 from the last row up, 2 from the last column to the left, 3 both. Gates of each
    direction are stored at the cell that they belong to; ``direct`` counts once.

    Raises:
        ValueError: if sizes do not fit ``topology`` or one another.
    """
    four = Grid(topology.height, topology.width, 4 * topology.batch, device=query.device, reversed=topology.reversed)
    gates = {"source": source, "transition": transition, "mark": mark}
    where = GridRoutes(topology)
    for name, gate in gates.items():
        _check_gate(name, gate, (4, *where.gates[name], query.shape[-2]), f"4, {where.names[name]}")
    _check(where, query, key, value, direct=direct)
    ways = GridRoutes(four)
    turned = [
        torch.cat([_turned(gate[way], way, gate.dim() - 5) for way in range(4)], gate.dim() - 5)
        for gate in gates.values()
    ]
    columns = GridColumns(topology.batch, topology.height, topology.width)
    if (form or _cheaper(columns, query, value)) == "recurrent":
        nodes = (torch.cat([_turned(x, way, 0) for way in range(4)]) for x in (query, key, value))
        read = _summed(_recurrent(ways, *nodes, *turned))
    else:
        _check_form(form)
        # Columns stay those of the cells as they were, wherever these have been turned to.
        seen = torch.cat([_turned(columns.one_hot(query), way, 0) for way in range(4)])
        mask = _summed(reach(ways, seen.repeat_interleave(topology.batch, 0), *turned))
        read = attend(columns, mask, query, key, value)
    return read + _own(query, key, value, direct)


def _recurrent(
    where: Routes, query: Tensor, key: Tensor, value: Tensor, source: Tensor, transition: Tensor, mark: Tensor
) -> Tensor:
    size = key.shape[-1], value.shape[-1]
    # Gates are applied to vectors, and products are elementwise: for matrices this small, far faster than matmul.
    emitted = (source[..., None] * where.behind(key))[..., :, None] * where.behind(value)[..., None, :]
    states = where.scan(transition, emitted.flatten(-2)).unflatten(-1, size)
    read = (where.ahead(query)[..., :, None] * states).sum(-2)
    return where.collect(mark, read)


def _own(query: Tensor, key: Tensor, value: Tensor, direct: Tensor) -> Tensor:
    return (direct * (query * key).sum(-1))[..., None] * value


def _columns(topology: Ragged | Grid | LineGraph, graphs: Ragged | None) -> Columns:
    if isinstance(topology, Grid):
        return GridColumns(topology.batch, topology.height, topology.width)
    if isinstance(topology, Ragged):
        return PackedColumns(topology)
    if graphs is None:
        return PackedColumns(Ragged.equal(1, topology.num_nodes, topology.device))
    if graphs.num_states != topology.num_nodes:
        raise ValueError(f"graphs must end at the number of nodes ({topology.num_nodes}), got {graphs.num_states}")
    return PackedColumns(graphs)


def _cheaper(columns: Columns, query: Tensor, value: Tensor) -> Form:
    nodes, state = math.prod(query.shape[:-2]), query.shape[-1] * value.shape[-1]
    return "attention" if is_smaller(columns, nodes, state) else "recurrent"


def _turned(x: Tensor, way: int, batch_axis: int) -> Tensor:
    """The grid as direction ``way`` sees it; its own inverse."""
    axes = [batch_axis + axis for bit, axis in ((1, 1), (2, 2)) if way & bit]
    return x.flip(axes) if axes else x


def _summed(read: Tensor) -> Tensor:
    """Over directions, which lie along the first axis, each turned back."""
    first, *others = (_turned(part, way, 0) for way, part in enumerate(read.chunk(4)))
    for other in others:
        first = first + other
    return first


def _check(where: Routes, query: Tensor, key: Tensor, value: Tensor, **gates: Tensor) -> None:
    nodes = len(where.nodes)
    if query.dim() != nodes + 2 or tuple(query.shape[:-2]) != where.nodes:
        raise ValueError(
            f"query must have shape [{where.names['node']}, heads, dk] with {list(where.nodes)} in front, "
            f"got {list(query.shape)}"
        )
    if key.shape != query.shape:
        raise ValueError(f"key must have the shape of query {list(query.shape)}, got {list(key.shape)}")
    if value.dim() != query.dim() or value.shape[:-1] != query.shape[:-1]:
        raise ValueError(f"value must have shape {[*query.shape[:-1]]} and dv, got {list(value.shape)}")
    for name, gate in gates.items():
        _check_gate(name, gate, (*where.gates[name], query.shape[-2]), where.names[name])


def _check_gate(name: str, gate: Tensor, expected: tuple[int, ...], axes: str) -> None:
    if tuple(gate.shape) != expected:
        raise ValueError(f"{name} must have shape {list(expected)} ({axes}, heads), got {list(gate.shape)}")


def _check_form(form: str | None) -> None:
    if form not in (None, "attention"):
        raise ValueError(f"form must be 'recurrent', 'attention' or None, got {form!r}")
