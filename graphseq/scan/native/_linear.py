"""The linear scan on the C++ kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from graphseq.scan import torch_backend
from graphseq.scan.native import _library
from graphseq.scan.native._library import address, dense, like, rows, segments
from graphseq.scan.native._operator import Operator, Pass, like_source, or_empty
from graphseq.scan.topology import Ragged


def linear_scan(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    """See :func:`graphseq.scan.linear_scan`."""
    return _scan(_sharing(decay, source), source, initial, topology.ptr.contiguous(), topology.reversed)


def _sharing(decay: Tensor, source: Tensor) -> Tensor:
    """Decays whose shared axes are the last ones; others, which the kernels do not have, are expanded."""
    if decay.shape == source.shape:
        return decay
    heads = _num_head_axes(decay)
    if decay.shape[1:heads] == source.shape[1:heads]:
        return decay
    return decay.expand(*source.shape[:heads], *decay.shape[heads:])


def _num_head_axes(decay: Tensor) -> int:
    """Axes up to the last one of a size other than 1: the channels behind them share a decay."""
    axes = decay.dim()
    while axes > 1 and decay.shape[axes - 1] == 1:
        axes -= 1
    return axes


def _sizes(decay: Tensor, source: Tensor) -> tuple[int, int]:
    if decay.dim() == source.dim() == 2 and decay.shape[1] == source.shape[1]:
        return source.shape[1], 1
    axes = _num_head_axes(decay)
    return math.prod(decay.shape[1:axes]), math.prod(source.shape[axes:])


def _forward(decay: Tensor, source: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool) -> Tensor:
    states = like(source)
    if not states.numel():
        return states
    heads, width = _sizes(decay, source)
    decay, decay_stride = rows(decay)
    source, source_stride = rows(source)
    initial = dense(initial)
    _library.call(
        _library.LinearScan(
            decay=decay.data_ptr(),
            source=source.data_ptr(),
            initial=address(initial),
            states=states.data_ptr(),
            heads=heads,
            width=width,
            decay_stride=decay_stride,
            source_stride=source_stride,
            **segments(ptr, reversed),
            dtype=_library.DTYPES[source.dtype],
        )
    )
    return states


def _backward(
    grad: Tensor, decay: Tensor, states: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    heads, width = _sizes(decay, states)
    grad_decay = like(decay)
    grad_source = like(states)
    grad_initial = states.new_empty(0) if initial is None else like(initial)
    if not states.numel():
        return grad_decay.zero_(), grad_source, grad_initial.zero_()
    decay, decay_stride = rows(decay)
    grad, grad_stride = rows(grad)
    states = dense(states)
    initial = dense(initial)
    _library.call(
        _library.LinearScanBackward(
            decay=decay.data_ptr(),
            states=states.data_ptr(),
            initial=address(initial),
            grad=grad.data_ptr(),
            grad_decay=grad_decay.data_ptr(),
            grad_source=grad_source.data_ptr(),
            grad_initial=None if initial is None else grad_initial.data_ptr(),
            heads=heads,
            width=width,
            decay_stride=decay_stride,
            grad_stride=grad_stride,
            **segments(ptr, reversed),
            dtype=_library.DTYPES[states.dtype],
        )
    )
    return grad_decay, grad_source, grad_initial


def _in_pytorch(decay: Tensor, source: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool) -> Tensor:
    return torch_backend.linear_scan(decay, source, Ragged(ptr, reversed=reversed), initial)


def _like_inputs(
    grad: Tensor, decay: Tensor, states: Tensor, initial: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (0,) if initial is None else initial.shape
    return decay.new_empty(decay.shape), states.new_empty(states.shape), states.new_empty(shape)


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    decay, _, initial, ptr, ctx.reversed = inputs
    ctx.save_for_backward(decay, initial, output, ptr)


def _gradient(ctx: Any, backward: Callable, grad: Tensor) -> tuple[Tensor | None, ...]:
    decay, initial, states, ptr = ctx.saved_tensors
    grad_decay, grad_source, grad_initial = backward(grad, decay, states, initial, ptr, ctx.reversed)
    return grad_decay, grad_source, None if initial is None else grad_initial, None, None


def _differentiable_backward(
    grad: Tensor, decay: Tensor, states: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool
) -> tuple[Tensor, ...]:
    """The gradient as a scan in the other direction."""
    topology = Ragged(ptr, reversed=reversed)
    grads = torch_backend.linear_scan_gradient(linear_scan, grad, decay, states, initial, topology)
    return or_empty(grad, grads)


_scan = Operator(
    "linear_scan",
    Pass(
        "(Tensor decay, Tensor source, Tensor? initial, Tensor ptr, bool reversed) -> Tensor",
        kernel=_forward,
        anywhere=_in_pytorch,
        shapes=like_source,
    ),
    # The gradients of decay, source and initial; the last one is empty without initial.
    Pass(
        "(Tensor grad, Tensor decay, Tensor states, Tensor? initial, Tensor ptr, bool reversed)"
        " -> (Tensor, Tensor, Tensor)",
        kernel=_backward,
        anywhere=_differentiable_backward,
        shapes=_like_inputs,
    ),
    save=_save,
    gradient=_gradient,
    differentiable=_differentiable_backward,
)
