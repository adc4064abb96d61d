"""The linear scan on Triton, with derivatives of any order."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphseq.scan.topology import Ragged

_STEPS = 32
_MOST_CHANNELS = 32


def linear_scan(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    """See :func:`graphseq.scan.linear_scan`."""
    return _LinearScan.apply(decay, source, initial, topology)


class _LinearScan(torch.autograd.Function):
    """The gradient of a scan is the scan in the other direction, so one kernel serves every order of derivative."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, source: Tensor, initial: Tensor | None, topology: Ragged) -> Tensor:
        states = _launch(decay, source, topology, initial)
        ctx.topology = topology
        ctx.save_for_backward(decay, initial, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        decay, initial, states = ctx.saved_tensors
        topology: Ragged = ctx.topology
        back = 1 if topology.reversed else -1
        # A state passes its gradient on through the decay of the state that it feeds. Rolled across a segment's end
        # that is another segment's, but there the scan starts, and does not read it.
        grad_source = linear_scan(decay.roll(back, 0), grad, topology.reverse(), None)
        first, occupied = topology.first, topology.occupied
        grad_decay = grad_initial = None
        if ctx.needs_input_grad[0]:
            before_first = torch.zeros_like(states[first]) if initial is None else initial[occupied]
            arriving = states.roll(-back, 0).index_copy(0, first, before_first)
            # Where nothing arrives the decay was not read, whatever the gradient is there.
            leaving = grad_source.index_fill(0, first, 0) if initial is None else grad_source
            grad_decay = (leaving * arriving).sum_to_size(decay.shape)
        if initial is not None and ctx.needs_input_grad[2]:
            grad_initial = torch.zeros_like(initial).index_copy(0, occupied, decay[first] * grad_source[first])
        return grad_decay, grad_source, grad_initial, None


def _launch(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    from graphseq.scan.triton import _linear_kernel

    states = torch.empty_like(source, memory_format=torch.contiguous_format)
    if states.numel() == 0:
        return states
    rows, channels = source.shape[0], math.prod(source.shape[1:])
    shared, width = _sharing(decay, source)
    decays, sources = shared.reshape(rows, channels // width), source.reshape(rows, channels)
    block = min(_MOST_CHANNELS, 1 << (channels - 1).bit_length())
    with torch.cuda.device_of(source):
        _linear_kernel.linear_scan[topology.num_segments, -(-channels // block)](
            decays,
            sources,
            None if initial is None else initial.contiguous(),
            states,
            topology.ptr.contiguous(),
            channels,
            width,
            *decays.stride(),
            *sources.stride(),
            REVERSED=topology.reversed,
            STEPS=_STEPS,
            CHANNELS=block,
            enable_fp_fusion=True,
        )
    return states


def _sharing(decay: Tensor, source: Tensor) -> tuple[Tensor, int]:
    """Decays whose shared axes are the last ones, and how many channels share each; other shared axes are expanded."""
    axes = decay.dim()
    while axes > 1 and decay.shape[axes - 1] == 1:
        axes -= 1
    return decay.expand(*source.shape[:axes], *decay.shape[axes:]), math.prod(source.shape[axes:])
