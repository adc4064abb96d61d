"""The gated scan: source, transition, mark and direct gates around matrix states (Pöppel et al. 2025, pLSTM)."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from graphseq.scan import _check, _dispatch
from graphseq.scan.edges import LineGraph
from graphseq.scan.grid import Grid
from graphseq.scan.linear import linear_scan
from graphseq.scan.routes import Routes, composed, routes
from graphseq.scan.topology import Ragged

_WAYS = 4


def gated_scan(
    query: Float[Tensor, "*nodes heads dk"],
    key: Float[Tensor, "*nodes heads dk"],
    value: Float[Tensor, "*nodes heads dv"],
    source: Float[Tensor, "*edges heads"],
    transition: Float[Tensor, "*links heads"],
    mark: Float[Tensor, "*edges heads"],
    direct: Float[Tensor, "*nodes heads"],
    topology: Ragged | Grid | LineGraph,
) -> Float[Tensor, "*nodes heads dv"]:
    r"""Linear recurrence over the edges of a graph with outer products for input, of which only vectors are read.

    With :math:`u` the node that edge :math:`e` leaves,

    .. math::
        C_e &= \sum_{p\,:\,\operatorname{dst}(p) = u} T_{p \to e} \, C_p + S_e \, k_u v_u^\top \\
        y_n &= \sum_{e\,:\,\operatorname{dst}(e) = n} M_e \, C_e^\top q_n + D_n \, (q_n \cdot k_n) \, v_n

    for each head. Shapes on each topology are those of :func:`graphseq.plstm.plstm_scan`. On a grid, source, transition
    and mark may have one more axis in front, of size 4: the grid is then scanned in four directions, from the first
    cell, from the last row up, from the last column to the left and from the last cell, and what is read in all of them
    is added up.

    Args:
        query: what nodes ask for.
        key: under which nodes are found.
        value: what nodes hold.
        source: how much of a node enters each edge that leaves it.
        transition: how much of one edge passes into the next.
        mark: how much of an edge is read by the node that it enters.
        direct: how much of itself a node reads.
        topology: the edges.

    Returns:
        What nodes read, :math:`y_n`, in the dtype of ``query``.

    Raises:
        TypeError: if the scan does not run on ``topology``, or dtypes are not floating or differ.
        ValueError: if sizes or devices do not fit one another.

    Example:
        >>> one, half = torch.ones(3, 1, 1), torch.full((3, 1), 0.5)
        >>> gated_scan(one, one, one, half, half, half, half, Ragged(torch.tensor([0, 3]))).squeeze()
        tensor([0.5000, 0.7500, 0.8750])

    Cost: time grows with links and edges, times ``heads · dk · dv``. On grids and graphs the kernels keep the states of
    one head and one grid or component at a time for each thread, and repeat them in the backward pass; on sequences
    all states are written.
    """
    where = routes(topology)
    gates = {"source": source, "transition": transition, "mark": mark, "direct": direct}
    four_ways = isinstance(topology, Grid) and transition.dim() == len(where.gates["transition"]) + 2
    check_gated(where, query, key, value, gates, four_ways=four_ways)
    _check.tensors(topology, query=query, key=key, value=value, **gates)
    out_dtype = query.dtype
    tensors = _check.widened(query=query, key=key, value=value, **gates)
    if isinstance(topology, Ragged):
        read = composed(where, lambda decay, emitted: linear_scan(decay, emitted, topology), *tensors)
    elif isinstance(topology, Grid):
        # The kernels always have the axis of directions.
        ways = [gate if four_ways else gate[None] for gate in tensors[3:6]]
        read = _dispatch.operation("gated_grid_scan", tensors[0])(*tensors[:3], *ways, tensors[6], topology)
    else:
        read = _dispatch.operation("gated_dag_scan", tensors[0])(*tensors, topology)
    return read if read.dtype == out_dtype else read.to(out_dtype)


def check_gated(
    where: Routes, query: Tensor, key: Tensor, value: Tensor, gates: Mapping[str, Tensor], *, four_ways: bool = False
) -> None:
    """Whether all have the axes of a topology, and their sizes fit one another."""
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
        ways = [_WAYS] if four_ways and name != "direct" else []
        expected = [*ways, *where.gates[name], query.shape[-2]]
        if list(gate.shape) != expected:
            axes = ", ".join([*map(str, ways), where.names[name]])
            raise ValueError(f"{name} must have shape {expected} ({axes}, heads), got {list(gate.shape)}")
