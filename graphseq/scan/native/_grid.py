"""The scan on grids on the C++ kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphseq.scan import torch_backend
from graphseq.scan.grid import Grid
from graphseq.scan.native import _library
from graphseq.scan.native._library import dense, like, strided
from graphseq.scan.native._linear import _num_head_axes
from graphseq.scan.native._operator import Operator, Pass, like_decay_and_states, like_source


def grid_scan(decay: Tensor, source: Tensor, topology: Grid) -> Tensor:
    """See :func:`graphseq.scan.linear_scan`."""
    return _scan(_sharing(decay, source), source, topology.reversed)


def _sharing(decay: Tensor, source: Tensor) -> Tensor:
    """Decays whose shared axes are the last ones; others, which the kernels do not have, are expanded."""
    heads = _num_heads(decay)
    if decay.shape[5 : 5 + heads] == source.shape[4 : 4 + heads]:
        return decay
    return decay.expand(*decay.shape[:5], *source.shape[4 : 4 + heads], *decay.shape[5 + heads :])


def _num_heads(decay: Tensor) -> int:
    """Channel axes up to the last one of a size other than 1: the channels behind them share a decay."""
    return max(_num_head_axes(decay) - 5, 0)


def _sizes(decay: Tensor, source: Tensor) -> dict[str, int]:
    heads = _num_heads(decay)
    return {"heads": math.prod(decay.shape[5 : 5 + heads]), "width": math.prod(source.shape[4 + heads :])}


def _cells(source: Tensor, reversed: bool) -> _library.GridCells:
    _, batch, rows, columns = source.shape[:4]
    return _library.GridCells(
        batch=batch, rows=rows, columns=columns, reversed=reversed, threads=torch.get_num_threads()
    )


def _forward(decay: Tensor, source: Tensor, reversed: bool) -> Tensor:
    states = like(source)
    if not states.numel():
        return states
    sizes = _sizes(decay, source)
    decay, decay_strides = strided(decay, 5)
    source, source_strides = strided(source, 4)
    _library.call(
        _library.GridScan(
            decay=decay.data_ptr(),
            source=source.data_ptr(),
            states=states.data_ptr(),
            **sizes,
            decay_strides=decay_strides,
            source_strides=source_strides,
            cells=_cells(source, reversed),
            dtype=_library.DTYPES[source.dtype],
        )
    )
    return states


def _backward(grad: Tensor, decay: Tensor, states: Tensor, reversed: bool) -> tuple[Tensor, Tensor]:
    grad_decay, grad_source = like(decay), like(states)
    if not states.numel():
        return grad_decay.zero_(), grad_source
    sizes = _sizes(decay, states)
    decay, decay_strides = strided(decay, 5)
    grad, grad_strides = strided(grad, 4)
    states = dense(states)
    _library.call(
        _library.GridScanBackward(
            decay=decay.data_ptr(),
            states=states.data_ptr(),
            grad=grad.data_ptr(),
            grad_decay=grad_decay.data_ptr(),
            grad_source=grad_source.data_ptr(),
            **sizes,
            decay_strides=decay_strides,
            grad_strides=grad_strides,
            cells=_cells(states, reversed),
            dtype=_library.DTYPES[states.dtype],
        )
    )
    return grad_decay, grad_source


def _in_pytorch(decay: Tensor, source: Tensor, reversed: bool) -> Tensor:
    _, batch, height, width = source.shape[:4]
    return torch_backend.grid_scan(decay, source, Grid(height, width, batch, device=source.device, reversed=reversed))


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    decay, _, ctx.reversed = inputs
    ctx.save_for_backward(decay, output)


def _gradient(ctx: Any, backward: Callable, grad: Tensor) -> tuple[Tensor | None, ...]:
    decay, states = ctx.saved_tensors
    return (*backward(grad, decay, states, ctx.reversed), None)


def _differentiable_backward(grad: Tensor, decay: Tensor, states: Tensor, reversed: bool) -> tuple[Tensor, Tensor]:
    r"""The gradient as a scan in the other direction, for when it is differentiated again.

    In that direction a cell hands :math:`m^i = \sum_j \bar a^{ij} g^j` to the cell that its state :math:`i` came from,
    where :math:`g^j` is the gradient of its own state :math:`j`: what it was given, plus :math:`m^j` of the cell that
    state :math:`j` enters. So the messages are the states of a scan with both axes of the decays exchanged.
    """
    # Decays at the border are no part of it.
    used = torch.stack([_put(_entered(decay[i], i, reversed), decay[i], i, reversed) for i in (0, 1)])
    leaving = used.conj()
    messages = _scan(leaving.transpose(0, 1), (leaving * grad).sum(1), not reversed)
    given = [_put(_entered(messages[i : i + 1], i, reversed), grad[i : i + 1], i, not reversed) for i in (0, 1)]
    grad_source = grad + torch.cat(given)
    grad_decay = []
    for i in (0, 1):
        arriving = _entered(states[i : i + 1], i, not reversed)
        product = _entered(grad_source, i, reversed) * arriving.conj()
        shape = _entered(decay[i], i, reversed).shape
        grad_decay.append(_put(product.sum_to_size(shape), decay[i], i, reversed))
    return torch.stack(grad_decay), grad_source


def _entered(tensor: Tensor, state: int, reversed: bool) -> Tensor:
    """The cells of ``[…, B, H, W, *channels]`` that ``state`` enters; on the reversed grid those that it leaves."""
    axis = 3 - state
    length = tensor.shape[axis]
    return tensor.narrow(axis, 0 if reversed else min(1, length), max(length - 1, 0))


def _put(part: Tensor, whole: Tensor, state: int, reversed: bool) -> Tensor:
    """``part`` in the cells that :func:`_entered` takes, and zero in the others of ``whole``."""
    axis = 3 - state
    missing = whole.shape[axis] - part.shape[axis]
    return pad(part, [0, 0] * (whole.dim() - 1 - axis) + ([0, missing] if reversed else [missing, 0]))


_scan = Operator(
    "grid_scan",
    Pass(
        "(Tensor decay, Tensor source, bool reversed) -> Tensor",
        kernel=_forward,
        anywhere=_in_pytorch,
        shapes=like_source,
    ),
    # The gradients of decay and source.
    Pass(
        "(Tensor grad, Tensor decay, Tensor states, bool reversed) -> (Tensor, Tensor)",
        kernel=_backward,
        anywhere=_differentiable_backward,
        shapes=like_decay_and_states,
    ),
    save=_save,
    gradient=_gradient,
    differentiable=_differentiable_backward,
)
