"""Selective state space scan on grids (after Behrouz et al. 2024, Chimera)."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Inexact
from torch import Tensor

from graphseq.scan import _check, _dispatch
from graphseq.scan.grid import Grid


def grid_selective_scan(
    u: Float[Tensor, "B H W d"],
    delta: Float[Tensor, "2 B H W d"],
    A: Inexact[Tensor, "2 d n"],
    B: Inexact[Tensor, "2 B H W n"] | Inexact[Tensor, "2 B H W groups n"],
    C: Inexact[Tensor, "2 B H W n"] | Inexact[Tensor, "2 B H W groups n"],
    D: Float[Tensor, " d"] | None = None,
    *,
    exchange: Float[Tensor, "2 B H W d"] | None = None,
    topology: Grid,
) -> Float[Tensor, "B H W d"]:
    r"""Selective scan on a grid with two states a cell, never held in memory.

    State 0 moves along the row and state 1 along the column, as on every :class:`Grid`. With
    :math:`e^j = \exp(\Delta^j A^j)`

    .. math::
        h^0_{h,w} &= e^0 \odot \bigl((1 - x^0) \, h^0_{h,w-1} + x^0 \, h^1_{h-1,w}\bigr) + \Delta^0 u B^0 \\
        h^1_{h,w} &= e^1 \odot \bigl(x^1 \, h^0_{h,w-1} + (1 - x^1) \, h^1_{h-1,w}\bigr) + \Delta^1 u B^1 \\
        y_{h,w} &= \operatorname{Re} \bigl(C^0 h^0_{h,w} + C^1 h^1_{h,w}\bigr) + D u

    for each channel and each of its ``n`` states, every coefficient that of cell :math:`(h, w)`. Of what arrives, the
    part :math:`x^j` comes from the other state; with parts between 0 and 1 and decays below 1 no state outgrows what
    it is fed. It is :func:`linear_scan` with these decays, read out.

    Args:
        u: input of each cell.
        delta: step along the row, step along the column.
        A: rates of both states, negative (or with a negative real part) for a state that decays.
        B: input projections; with groups, channel ``c`` belongs to group ``c // (d / groups)``.
        C: output projections, in the shape of ``B``.
        D: skip weight.
        exchange: part :math:`x^j` of state ``j`` that the other one feeds; none without it.
        topology: the grids; ``topology.reverse()`` scans each from its last cell.

    Returns:
        ``y`` in the dtype of ``u``. Half precision inputs keep a float32 state, complex rates a complex one.
        Differentiable, any number of times, in all tensors.

    Raises:
        TypeError: if a dtype is not floating (or, for ``A``, ``B`` and ``C``, complex), the dtypes differ in
            precision, or ``B`` or ``C`` is complex and ``A`` is not.
        ValueError: if sizes or devices do not fit one another.

    Example:
        >>> one, two = torch.ones(1, 1, 3, 1), torch.ones(2, 1, 1, 3, 1)
        >>> grid_selective_scan(one, two, -torch.ones(2, 1, 1), two, two, topology=Grid(1, 3)).flatten()
        tensor([2.0000, 2.3679, 2.5032])

    Cost: linear in the number of cells; backward recomputes the states from what crosses the borders of tiles of 8 by
    8 cells.
    """
    tensors = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "exchange": exchange}
    _check.topology(topology, Grid)
    _check.tensors(topology, **tensors)
    cells = (topology.batch, topology.height, topology.width)
    if u.dim() != 4:
        raise ValueError(f"u must have shape [batch, height, width, d], got {list(u.shape)}")
    channels = u.shape[3]
    _check.shape("u", u, (*cells, channels))
    for name, tensor in (("delta", delta), ("exchange", exchange)):
        if tensor is not None:
            _check.shape(name, tensor, (2, *cells, channels))
    if A.dim() != 3 or A.shape[:2] != (2, channels):
        raise ValueError(f"A must have shape [2, d, n] with d = {channels}, got {list(A.shape)}")
    if D is not None:
        _check.shape("D", D, (channels,))
    B, C = (_grouped(name, tensor, A, cells) for name, tensor in (("B", B), ("C", C)))
    if B.shape != C.shape:
        raise ValueError(f"C must have the shape of B {list(B.shape)}, got {list(C.shape)}")
    out_dtype = u.dtype
    inputs = _of_one_precision(u, delta, A, B, C, D, exchange)
    y = _dispatch.operation("grid_selective_scan", inputs[0])(*inputs, topology)
    return y if y.dtype == out_dtype else y.to(out_dtype)


def _of_one_precision(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, exchange: Tensor | None
) -> list[Any]:
    """Half precision as float32, and B and C complex where A is."""
    for name, tensor in (("u", u), ("delta", delta), ("D", D), ("exchange", exchange)):
        if tensor is not None and tensor.is_complex():
            raise TypeError(f"{name} must have a floating dtype, got {tensor.dtype}")
    u, delta, D, exchange = _check.widened(u=u, delta=delta, D=D, exchange=exchange)
    if A.is_complex():
        B, C = (x if x.is_complex() else x.to(x.dtype.to_complex()) for x in (B, C))
    A, B, C = _check.widened(A=A, B=B, C=C)
    if A.dtype.to_real() != u.dtype:
        raise TypeError(f"A must have the precision of u ({u.dtype}), got {A.dtype}")
    return [u, delta, A, B, C, D, exchange]


def _grouped(name: str, tensor: Tensor, A: Tensor, cells: tuple[int, ...]) -> Tensor:
    grouped = tensor.unsqueeze(-2) if tensor.dim() == 5 else tensor
    _, channels, size = A.shape
    lead, groups = grouped.shape[:4], grouped.shape[4] if grouped.dim() == 6 else 0
    if lead != (2, *cells) or grouped.dim() != 6 or grouped.shape[5] != size or groups == 0 or channels % groups:
        raise ValueError(
            f"{name} must have shape {[2, *cells]} and [n] or [groups, n] with n = {size} and groups a divisor of "
            f"d = {channels}, got {list(tensor.shape)}"
        )
    return grouped
