"""The selective scan on Triton. The second derivative is that of the PyTorch backend's formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphseq.scan import torch_backend
from graphseq.scan._forward_mode import has_tangent
from graphseq.scan.native._library import dense, rows
from graphseq.scan.topology import Ragged

# Steps between two states that are kept for backward; it also bounds backward's scratch.
_STEPS = 32
# Elements of the state that a program holds in registers.
_STATE_ELEMENTS = 512
# Programs of backward for each block of channels; each has scratch for the states of one tile.
_MOST_PROGRAMS = 256


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    topology: Ragged,
    initial: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """See :func:`graphseq.scan.selective_scan`."""
    tensors = (u, delta, A, B, C, D, z, delta_bias, initial)
    if has_tangent(*tensors) or not A.numel():
        scan: Any = torch_backend.selective_scan
        return scan(*tensors[:-1], delta_softplus, topology, initial)
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    return _SelectiveScan.apply(*tensors, delta_softplus, topology, keep)


class _SelectiveScan(torch.autograd.Function):
    """Forward keeps one state in :data:`_STEPS`; backward computes the others again."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        *tensors, ctx.delta_softplus, ctx.topology, keep = inputs
        out, last, checkpoints = _forward(tensors, ctx.delta_softplus, ctx.topology, keep)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, checkpoints)
        return out, last

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor | None, grad_last: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, checkpoints = ctx.saved_tensors
        if grad_out is None and grad_last is None:
            return (None,) * (len(tensors) + 3)
        grad_out = torch.zeros_like(tensors[0]) if grad_out is None else grad_out
        grads: Any
        if torch.is_grad_enabled() or has_tangent(grad_out, grad_last):
            gradient = torch_backend.selective_scan_gradient
            grads = gradient(grad_out, grad_last, tensors, ctx.delta_softplus, ctx.topology)
        else:
            grads = _backward(grad_out, grad_last, checkpoints, tensors, ctx.delta_softplus, ctx.topology)
        return (*grads, None, None, None)


def _forward(
    tensors: Sequence[Any], delta_softplus: bool, topology: Ragged, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    from graphseq.scan.triton import _selective_kernel

    arguments, sizes, blocks = _arguments(tensors, delta_softplus, topology)
    u, A = arguments["u"], arguments["A"]
    out = torch.empty_like(u, memory_format=torch.contiguous_format)
    last = u.new_empty(topology.num_segments, *A.shape)
    checkpoints = u.new_empty(topology.num_states // _STEPS + topology.num_segments, *A.shape) if keep else None
    if last.numel():
        with torch.cuda.device_of(u):
            _selective_kernel.forward[topology.num_segments, blocks](
                **arguments, out=out, last=last, checkpoints=checkpoints, **sizes
            )
    return out, last, checkpoints


def _backward(
    grad_out: Tensor,
    grad_last: Tensor | None,
    checkpoints: Tensor,
    tensors: Sequence[Any],
    delta_softplus: bool,
    topology: Ragged,
) -> tuple[Tensor | None, ...]:
    from graphseq.scan.triton import _selective_kernel

    arguments, sizes, blocks = _arguments(tensors, delta_softplus, topology)
    u, A = arguments["u"], arguments["A"]
    programs = min(topology.num_segments, _MOST_PROGRAMS)

    def empty_like(name: str, *parts: int) -> Tensor | None:
        return None if arguments[name] is None else u.new_empty(*parts, *arguments[name].shape)

    grads = {
        "grad_u": empty_like("u"),
        "grad_delta": empty_like("delta"),
        "grad_A": empty_like("A", programs),
        "grad_B": empty_like("B", sizes["blocks"]),
        "grad_C": empty_like("C", sizes["blocks"]),
        "grad_D": empty_like("D", programs),
        "grad_z": empty_like("z"),
        "grad_initial": empty_like("initial"),
    }
    if topology.num_segments and A.numel():
        scratch = u.new_empty(programs * blocks * _STEPS, sizes["CHANNELS"], sizes["STATES"])
        with torch.cuda.device_of(u):
            _selective_kernel.backward[programs, blocks](
                **arguments,
                checkpoints=checkpoints,
                grad_out=dense(grad_out),
                grad_last=dense(grad_last),
                scratch=scratch,
                **grads,
                segments=topology.num_segments,
                tokens=topology.num_states,
                **sizes,
            )
    grad_u, grad_delta, *partial, grad_z, grad_initial = grads.values()
    grad_bias = None if arguments["delta_bias"] is None or grad_delta is None else grad_delta.sum(0)
    summed = (None if parts is None else parts.sum(0) for parts in partial)
    return (grad_u, grad_delta, *summed, grad_z, grad_bias, grad_initial)


def _arguments(
    tensors: Sequence[Any], delta_softplus: bool, topology: Ragged
) -> tuple[dict[str, Any], dict[str, Any], int]:
    """What both kernels take: tensors, then sizes; and the number of blocks of channels of all groups."""
    u, delta, A, B, C, D, z, delta_bias, initial = tensors
    (u, u_row), (delta, delta_row), (B, B_row), (C, C_row) = rows(u), rows(delta), rows(B), rows(C)
    z, z_row = (None, 0) if z is None else rows(z)
    groups, size = B.shape[1:]
    per_group = u.shape[1] // groups
    states = _power_of_two(size)
    channels = min(_power_of_two(per_group), max(1, _STATE_ELEMENTS // states))
    blocks = -(-per_group // channels)
    arguments = {
        "u": u,
        "delta": delta,
        "A": dense(A),
        "B": B,
        "C": C,
        "D": dense(D),
        "z": z,
        "delta_bias": dense(delta_bias),
        "initial": dense(initial),
        "ptr": topology.ptr.contiguous(),
    }
    sizes = {
        "channels": u.shape[1],
        "size": size,
        "per_group": per_group,
        "blocks": blocks,
        "u_row": u_row,
        "delta_row": delta_row,
        "z_row": z_row,
        "B_row": B_row,
        "C_row": C_row,
        "SOFTPLUS": delta_softplus,
        "REVERSED": topology.reversed,
        "STEPS": _STEPS,
        "CHANNELS": channels,
        "STATES": states,
        "enable_fp_fusion": True,
    }
    return arguments, sizes, groups * blocks


def _power_of_two(count: int) -> int:
    """The smallest one that is not smaller; Triton's blocks have such sizes."""
    return 1 << max(0, count - 1).bit_length()
