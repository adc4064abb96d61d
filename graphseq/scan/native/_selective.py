"""The selective scan on the C++ kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from graphseq.scan import torch_backend
from graphseq.scan.native import _library
from graphseq.scan.native._library import address, dense, like, rows, segments
from graphseq.scan.native._operator import Operator, Pass, or_empty
from graphseq.scan.topology import Ragged

_INPUTS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, Tensor? initial, "
    "Tensor ptr, bool reversed, bool delta_softplus"
)


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
    if u.is_complex():
        return torch_backend.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, topology, initial)
    tensors = (u, delta, A, B, C, D, z, delta_bias, initial)
    inputs = (*tensors, topology.ptr.contiguous(), topology.reversed, delta_softplus)
    out, last, _ = _scan(*inputs)
    return out, last


def _arguments(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial: Tensor | None,
    ptr: Tensor,
    reversed: bool,
    delta_softplus: bool,
) -> tuple[dict[str, Any], list[Any]]:
    """The fields of SelectiveInputs, and the tensors that must live as long as they are used."""
    (u, u_stride), (delta, delta_stride), (B, B_stride), (C, C_stride) = rows(u), rows(delta), rows(B), rows(C)
    z, z_stride = (None, 0) if z is None else rows(z)
    A, D, delta_bias, initial = dense(A), dense(D), dense(delta_bias), dense(initial)
    fields = {
        "u": u.data_ptr(),
        "delta": delta.data_ptr(),
        "A": address(A),
        "B": B.data_ptr(),
        "C": C.data_ptr(),
        "D": address(D),
        "z": address(z),
        "delta_bias": address(delta_bias),
        "initial": address(initial),
        "channels": u.shape[1],
        "size": B.shape[2],
        "groups": B.shape[1],
        "u_stride": u_stride,
        "delta_stride": delta_stride,
        "z_stride": z_stride,
        "B_stride": B_stride,
        "C_stride": C_stride,
        **segments(ptr, reversed),
        "dtype": _library.DTYPES[u.dtype],
        "softplus": delta_softplus,
    }
    return fields, [u, delta, A, B, C, D, z, delta_bias, initial]


def _forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    out, last, checkpoints = _outputs(*inputs)
    fields, _alive = _arguments(*inputs[:-1])
    _library.call(
        _library.SelectiveScan(
            **fields,
            out=out.data_ptr(),
            last=last.data_ptr(),
            checkpoints=checkpoints.data_ptr() if inputs[-1] else None,
        )
    )
    return out, last, checkpoints


def _outputs(u: Tensor, delta: Tensor, A: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, ptr, _, _, checkpoint = others
    (tokens, channels), size = u.shape, A.shape[1]
    kept = (tokens - 1) // _library.CHECKPOINT_STEPS if checkpoint and tokens else 0
    return (
        like(u),
        u.new_empty(ptr.shape[0] - 1, channels, size),
        u.new_empty(kept, size, channels),
    )


def _backward(grad_out: Tensor, grad_last: Tensor | None, checkpoints: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    grads = _grads(grad_out, grad_last, checkpoints, *inputs)
    fields, _alive = _arguments(*inputs)
    grad_out, grad_last, checkpoints = dense(grad_out), dense(grad_last), dense(checkpoints)
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial")
    _library.call(
        _library.SelectiveScanBackward(
            **fields,
            checkpoints=checkpoints.data_ptr(),
            grad_out=grad_out.data_ptr(),
            grad_last=address(grad_last),
            **{f"grad_{name}": fields[name] and grad.data_ptr() for name, grad in zip(names, grads, strict=True)},
        )
    )
    return grads


def _grads(grad_out: Tensor, grad_last: Tensor | None, checkpoints: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    return tuple(grad_out.new_empty(0) if tensor is None else like(tensor) for tensor in inputs[:9])


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.reversed, ctx.delta_softplus, _ = inputs
    checkpoints = output[2]
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(checkpoints)
    ctx.save_for_backward(*tensors, checkpoints)


def _gradient(
    ctx: Any, backward: Callable, grad_out: Tensor | None, grad_last: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    *tensors, ptr, checkpoints = ctx.saved_tensors
    inputs = (*tensors, ptr, ctx.reversed, ctx.delta_softplus)
    u = tensors[0]
    if grad_out is None and grad_last is None:
        return (None,) * (len(inputs) + 1)
    grad_out = u.new_zeros(u.shape) if grad_out is None else grad_out
    grads = backward(grad_out, grad_last, checkpoints, *inputs)
    given = (None if tensor is None else grad for tensor, grad in zip(tensors, grads, strict=True))
    return (*given, None, None, None, None)


def _in_pytorch(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    *tensors, initial, ptr, reversed, delta_softplus, _ = inputs
    scan: Any = torch_backend.selective_scan
    out, last = scan(*tensors, delta_softplus, Ragged(ptr, reversed=reversed), initial)
    # An operator's output is none of its inputs.
    last = last.clone() if last is initial else last
    return out, last, _outputs(*inputs)[2].zero_()


def _differentiable_backward(
    grad_out: Tensor, grad_last: Tensor | None, checkpoints: Tensor, *inputs: Any
) -> tuple[Tensor, ...]:
    *tensors, ptr, reversed, delta_softplus = inputs
    topology = Ragged(ptr, reversed=reversed)
    grads = torch_backend.selective_scan_gradient(grad_out, grad_last, tensors, delta_softplus, topology)
    return or_empty(grad_out, grads)


_scan = Operator(
    "selective_scan",
    # out, last, and if asked the states that backward starts from.
    Pass(
        f"({_INPUTS}, bool checkpoint) -> (Tensor, Tensor, Tensor)",
        kernel=_forward,
        anywhere=_in_pytorch,
        shapes=_outputs,
    ),
    # The gradients of u … initial, an empty one for each input that is not there.
    Pass(
        f"(Tensor grad_out, Tensor? grad_last, Tensor checkpoints, {_INPUTS}) -> ({', '.join(['Tensor'] * 9)})",
        kernel=_backward,
        anywhere=_differentiable_backward,
        shapes=_grads,
    ),
    save=_save,
    gradient=_gradient,
    differentiable=_differentiable_backward,
    keeps=True,
)
