"""The linear scan on the C++ kernels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphseq.scan.native import _library
from graphseq.scan.native._library import address, dense, like, rows, segments
from graphseq.scan.topology import Ragged

_ops = torch.library.Library("graphseq", "FRAGMENT")
_ops.define("linear_scan(Tensor decay, Tensor source, Tensor? initial, Tensor ptr, bool reversed) -> Tensor")
# The gradients of decay, source and initial; the last one is empty without initial.
_ops.define(
    "linear_scan_backward(Tensor grad, Tensor decay, Tensor states, Tensor? initial, Tensor ptr, bool reversed)"
    " -> (Tensor, Tensor, Tensor)"
)


def linear_scan(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    """See :func:`graphseq.scan.linear_scan`."""
    return _scan(_sharing(decay, source), source, initial, topology.ptr.contiguous(), topology.reversed)


def _scan(decay: Tensor, source: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool) -> Tensor:
    if not _library.reaches(source):
        return torch.ops.graphseq.linear_scan(decay, source, initial, ptr, reversed)
    if torch.is_grad_enabled() and (
        decay.requires_grad or source.requires_grad or (initial is not None and initial.requires_grad)
    ):
        return _LinearScan.apply(decay, source, initial, ptr, reversed)
    return _forward(decay, source, initial, ptr, reversed)


def _sharing(decay: Tensor, source: Tensor) -> Tensor:
    """Decays whose shared axes are the last ones; others, which the kernels do not have, are expanded."""
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
    axes = _num_head_axes(decay)
    return math.prod(decay.shape[1:axes]), math.prod(source.shape[axes:])


def _forward(decay: Tensor, source: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool) -> Tensor:
    states = like(source)
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


def _fake_forward(decay: Tensor, source: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool) -> Tensor:
    return source.new_empty(source.shape)


def _fake_backward(
    grad: Tensor, decay: Tensor, states: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    shape = (0,) if initial is None else initial.shape
    return decay.new_empty(decay.shape), states.new_empty(states.shape), states.new_empty(shape)


def _setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    decay, _, initial, ptr, ctx.reversed = inputs
    ctx.save_for_backward(decay, initial, output, ptr)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    decay, initial, states, ptr = ctx.saved_tensors
    if torch.is_grad_enabled():
        grads = _differentiable_backward(grad, decay, states, initial, ptr, ctx.reversed)
    elif _library.reaches(grad):
        grads = _backward(grad, decay, states, initial, ptr, ctx.reversed)
    else:
        grads = torch.ops.graphseq.linear_scan_backward(grad, decay, states, initial, ptr, ctx.reversed)
    grad_decay, grad_source, grad_initial = grads
    return grad_decay, grad_source, None if initial is None else grad_initial, None, None


def _differentiable_backward(
    grad: Tensor, decay: Tensor, states: Tensor, initial: Tensor | None, ptr: Tensor, reversed: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradient as a scan in the other direction, for when it is differentiated again."""
    topology = Ragged(ptr, reversed=reversed)
    back = 1 if reversed else -1
    # A state passes its gradient on through the decay of the state that it feeds. Rolled across a segment's end that
    # is another segment's, but there the scan starts, and does not read it.
    grad_source = _scan(decay.roll(back, 0).conj(), grad, None, ptr, not reversed)
    first, occupied = topology.first, topology.occupied
    arriving = states.roll(-back, 0)
    at_first = torch.zeros_like(states[first]) if initial is None else initial[occupied]
    arriving = arriving.index_copy(0, first, at_first)
    grad_decay = (grad_source * arriving.conj()).sum_to_size(decay.shape)
    if initial is None:
        return grad_decay, grad_source, None
    of_initial = (decay[first].conj() * grad_source[first]).sum_to_size(at_first.shape)
    return grad_decay, grad_source, torch.zeros_like(initial).index_copy(0, occupied, of_initial)


class _LinearScan(torch.autograd.Function):
    """What the operator does under autograd, without the dispatcher: a third of its cost on a small graph."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _forward(*inputs)
        _setup_context(ctx, inputs, output)
        return output

    backward = staticmethod(_gradient)


_ops.impl("linear_scan", _forward, "CPU")
_ops.impl("linear_scan_backward", _backward, "CPU")
torch.library.register_fake("graphseq::linear_scan", _fake_forward, lib=_ops)
torch.library.register_fake("graphseq::linear_scan_backward", _fake_backward, lib=_ops)
torch.library.register_autograd("graphseq::linear_scan", _gradient, setup_context=_setup_context, lib=_ops)
