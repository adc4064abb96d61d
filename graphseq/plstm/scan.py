"""The scan of pLSTM (Pöppel et al. 2025, "pLSTM: parallelizable Linear Source Transition Mark networks")."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from graphseq.plstm.mask import Columns, GridColumns, PackedColumns, attend, is_cheaper, reach
from graphseq.scan import Grid, LineGraph, Ragged, available_backends, gated_scan
from graphseq.scan.gated import check_gated
from graphseq.scan.routes import GridRoutes, routes

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

            Both are exact. Without it, the one that takes less time.

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

    Cost: in the recurrent form time grows with links and edges, times ``heads · dk · dv``, in the other with ``heads ·
    n`` in place of it, for :math:`n` nodes in the largest graph. On a CPU the states of grids and graphs are never
    written: see :func:`graphseq.scan.gated_scan`.
    """
    gates = {"source": source, "transition": transition, "mark": mark, "direct": direct}
    check_gated(routes(topology), query, key, value, gates)
    return _scan(query, key, value, gates, topology, _columns(topology, graphs), form)


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
    gates = {"source": source, "transition": transition, "mark": mark, "direct": direct}
    check_gated(GridRoutes(topology), query, key, value, gates, four_ways=True)
    return _scan(query, key, value, gates, topology, _columns(topology, None), form)


def _scan(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gates: Mapping[str, Tensor],
    topology: Ragged | Grid | LineGraph,
    columns: Columns,
    form: str | None,
) -> Tensor:
    if (form or _cheaper(columns, query, value, gates, topology)) == "recurrent":
        return gated_scan(query, key, value, **gates, topology=topology)
    _check_form(form)
    mask = reach(columns.one_hot(query), query.shape[-2], gates, topology)
    return attend(columns, mask, query, key, value)


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


def _cheaper(
    columns: Columns, query: Tensor, value: Tensor, gates: Mapping[str, Tensor], topology: Ragged | Grid | LineGraph
) -> Form:
    nodes, state = math.prod(query.shape[:-2]), query.shape[-1] * value.shape[-1]
    ways = 4 if isinstance(topology, Grid) and gates["transition"].dim() == 7 else 1
    written = isinstance(topology, Ragged) or "native" not in available_backends() or not query.is_cpu
    return "attention" if is_cheaper(columns, nodes, state, ways=ways, written=written) else "recurrent"


def _check_form(form: str | None) -> None:
    if form not in (None, "attention"):
        raise ValueError(f"form must be 'recurrent', 'attention' or None, got {form!r}")
