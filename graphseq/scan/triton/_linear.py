"""The linear scan on Triton, with derivatives of any order."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphseq.scan import torch_backend
from graphseq.scan._forward_mode import has_tangent
from graphseq.scan.topology import Ragged

_STEPS = 32
_MOST_CHANNELS = 32


def linear_scan(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    """See :func:`graphseq.scan.linear_scan`."""
    if has_tangent(decay, source, initial):
        return torch_backend.linear_scan(decay, source, topology, initial)
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
        of_decay = ctx.needs_input_grad[0]
        gradient = torch_backend.linear_scan_gradient
        return *gradient(linear_scan, grad, decay, states, initial, ctx.topology, of_decay), None


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
