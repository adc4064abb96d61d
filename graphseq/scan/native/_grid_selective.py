"""The selective scan on grids on the C++ kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphseq.scan import torch_backend
from graphseq.scan.grid import Grid
from graphseq.scan.native import _library
from graphseq.scan.native._library import address, dense, like, strided
from graphseq.scan.native._operator import Operator, Pass, or_empty

_INPUTS = "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? exchange, bool reversed"


def grid_selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    exchange: Tensor | None,
    topology: Grid,
) -> Tensor:
    """See :func:`graphseq.scan.grid_selective_scan`."""
    out, _, _ = _scan(u, delta, A, B, C, D, exchange, topology.reversed)
    return out


def _arguments(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    exchange: Tensor | None,
    reversed: bool,
) -> tuple[dict[str, Any], list[Any]]:
    """The fields of GridSelectiveInputs, and the tensors that must live as long as they are used."""
    # u has no axis of states.
    (u, of_u), (delta, of_delta), (B, of_B), (C, of_C) = strided(u, 3), strided(delta, 4), strided(B, 4), strided(C, 4)
    exchange, of_exchange = (None, ()) if exchange is None else strided(exchange, 4)
    A, D = dense(A), dense(D)
    batch, rows, columns, channels = u.shape
    fields = {
        "u": _cell_array(u, (0, *of_u)),
        "delta": _cell_array(delta, of_delta),
        "exchange": _cell_array(exchange, of_exchange),
        "B": _cell_array(B, of_B),
        "C": _cell_array(C, of_C),
        "A": A.data_ptr(),
        "D": address(D),
        "channels": channels,
        "size": B.shape[5],
        "groups": B.shape[4],
        "cells": _library.GridCells(
            batch=batch, rows=rows, columns=columns, reversed=reversed, threads=torch.get_num_threads()
        ),
        "dtype": _library.DTYPES[A.dtype],
    }
    return fields, [u, delta, A, B, C, D, exchange]


def _cell_array(tensor: Tensor | None, strides: tuple[int, ...]) -> _library.CellArray:
    return _library.CellArray(data=address(tensor), strides=strides)


def _forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    out, upper, left = _outputs(*inputs)
    if not out.numel() or not inputs[3].shape[5]:
        return out.copy_(_skip(*inputs)), upper, left
    fields, _alive = _arguments(*inputs[:-1])
    _library.call(
        _library.GridSelectiveScan(
            **fields,
            out=out.data_ptr(),
            upper=upper.data_ptr() if inputs[-1] else None,
            left=left.data_ptr() if inputs[-1] else None,
        )
    )
    return out, upper, left


def _skip(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, *others: Any) -> Tensor:
    """The output without a state."""
    return u.new_zeros(u.shape) if D is None else D * u


def _outputs(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, checkpoint = others
    batch, rows, columns, channels = u.shape
    parts = 2 if A.is_complex() else 1
    bands = (rows - 1) // _library.TILE_ROWS if checkpoint and rows else 0
    strips = (columns - 1) // _library.TILE_COLUMNS if checkpoint and columns else 0
    return (
        like(u),
        u.new_empty(batch, bands, columns, B.shape[5], parts, channels),
        u.new_empty(batch, rows, strips, B.shape[5], parts, channels),
    )


def _backward(grad_out: Tensor, upper: Tensor, left: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    grads = _grads(grad_out, upper, left, *inputs)
    if not grad_out.numel() or not inputs[3].shape[5]:
        return or_empty(grad_out, _skip_gradient(grad_out, *inputs))
    fields, _alive = _arguments(*inputs)
    grad_out, of_grad_out = strided(grad_out, 3)
    of_u, of_delta, of_A, of_B, of_C, of_D, of_exchange = grads
    _library.call(
        _library.GridSelectiveScanBackward(
            **fields,
            upper=upper.data_ptr(),
            left=left.data_ptr(),
            grad_out=_cell_array(grad_out, (0, *of_grad_out)),
            grad_u=_cell_array(of_u, (0, *of_u.stride()[:3])),
            grad_delta=_cell_array(of_delta, of_delta.stride()[:4]),
            grad_exchange=_cell_array(of_exchange, of_exchange.stride()[:4]),
            grad_A=of_A.data_ptr(),
            grad_B=of_B.data_ptr(),
            grad_C=of_C.data_ptr(),
            grad_D=fields["D"] and of_D.data_ptr(),
        )
    )
    return grads


def _grads(grad_out: Tensor, upper: Tensor, left: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    u, delta, A, B, C, D, exchange, _ = inputs
    of_exchange = grad_out.new_empty(0) if exchange is None else _laid_out_as(exchange)
    of_D = grad_out.new_empty(0) if D is None else like(D)
    return _laid_out_as(u), _laid_out_as(delta), like(A), like(B), like(C), of_D, of_exchange


def _laid_out_as(tensor: Tensor) -> Tensor:
    """Uninitialised, in the same order of axes where the channels are the innermost one: what comes before the scan
    usually has the two states beside each other."""
    found = torch.empty_like(tensor)
    return found if found.stride(-1) == 1 else like(tensor)


def _skip_gradient(grad_out: Tensor, u: Tensor, *others: Any) -> list[Tensor | None]:
    delta, A, B, C, D, exchange, _ = others
    of_D = None if D is None else (grad_out * u).sum((0, 1, 2))
    zeros = [None if tensor is None else torch.zeros_like(tensor) for tensor in (delta, A, B, C, exchange)]
    return [grad_out.new_zeros(u.shape) if D is None else D * grad_out, *zeros[:4], of_D, zeros[4]]


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.reversed, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*tensors, *output[1:])


def _gradient(ctx: Any, backward: Callable, grad_out: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    *tensors, upper, left = ctx.saved_tensors
    if grad_out is None:
        return (None,) * (len(tensors) + 2)
    grads = backward(grad_out, upper, left, *tensors, ctx.reversed)
    return *(None if t is None else grad for t, grad in zip(tensors, grads, strict=True)), None, None


def _on(u: Tensor, reversed: bool) -> Grid:
    batch, height, width, _ = u.shape
    return Grid(height, width, batch, device=u.device, reversed=reversed)


def _in_pytorch(u: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    *tensors, reversed, _ = inputs
    _, upper, left = _outputs(u, *inputs)
    scan: Any = torch_backend.grid_selective_scan
    return scan(u, *tensors, _on(u, reversed)).contiguous(), upper.zero_(), left.zero_()


def _differentiable_backward(grad_out: Tensor, upper: Tensor, left: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    *tensors, reversed = inputs
    grads = torch_backend.grid_selective_scan_gradient(grad_out, tensors, _on(tensors[0], reversed))
    return or_empty(grad_out, grads)


_scan = Operator(
    "grid_selective_scan",
    # out, and if asked the states that backward starts from.
    Pass(
        f"({_INPUTS}, bool checkpoint) -> (Tensor, Tensor, Tensor)",
        kernel=_forward,
        anywhere=_in_pytorch,
        shapes=_outputs,
    ),
    # The gradients of u … exchange, an empty one for each input that is not there.
    Pass(
        f"(Tensor grad_out, Tensor upper, Tensor left, {_INPUTS}) -> ({', '.join(['Tensor'] * 7)})",
        kernel=_backward,
        anywhere=_differentiable_backward,
        shapes=_grads,
    ),
    save=_save,
    gradient=_gradient,
    differentiable=_differentiable_backward,
    keeps=True,
)
