"""The delta-rule scan on the C++ kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from graphseq.scan import torch_backend
from graphseq.scan.native import _library
from graphseq.scan.native._library import address, dense, like, rows, segments
from graphseq.scan.native._operator import Operator, Pass, or_empty
from graphseq.scan.topology import Ragged

_INPUTS = "Tensor q, Tensor k, Tensor v, Tensor beta, Tensor? log_decay, Tensor? initial, Tensor ptr, bool reversed"


def delta_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    topology: Ragged,
    initial: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """See :func:`graphseq.scan.delta_scan`; k, v and beta have the axis of steps."""
    if q.is_complex():
        return torch_backend.delta_scan(q, k, v, beta, log_decay, topology, initial)
    tensors = (q, k, v, beta, log_decay, initial)
    inputs = (*tensors, topology.ptr.contiguous(), topology.reversed)
    o, last, _, _ = _scan(*inputs)
    return o, last


def _arguments(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    initial: Tensor | None,
    ptr: Tensor,
    reversed: bool,
) -> tuple[dict[str, Any], list[Any]]:
    """The fields of DeltaInputs, and the tensors that must live as long as they are used."""
    (q, q_stride), (k, k_stride), (v, v_stride), (beta, beta_stride) = rows(q), rows(k), rows(v), rows(beta)
    log_decay, log_decay_stride = (None, 0) if log_decay is None else rows(log_decay)
    initial = dense(initial)
    fields = {
        "q": q.data_ptr(),
        "k": k.data_ptr(),
        "v": v.data_ptr(),
        "beta": beta.data_ptr(),
        "log_decay": address(log_decay),
        "initial": address(initial),
        "heads": k.shape[1],
        "steps": k.shape[2],
        "key_size": k.shape[3],
        "value_size": v.shape[3],
        "q_stride": q_stride,
        "k_stride": k_stride,
        "v_stride": v_stride,
        "beta_stride": beta_stride,
        "log_decay_stride": log_decay_stride,
        **segments(ptr, reversed),
        "dtype": _library.DTYPES[q.dtype],
    }
    return fields, [q, k, v, beta, log_decay, initial]


def _forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    o, last, residuals, checkpoints = _outputs(*inputs)
    fields, _alive = _arguments(*inputs[:-1])
    kept = {"residuals": residuals.data_ptr(), "checkpoints": checkpoints.data_ptr()} if inputs[-1] else {}
    _library.call(_library.DeltaScan(**fields, o=o.data_ptr(), last=last.data_ptr(), **kept))
    return o, last, residuals, checkpoints


def _outputs(q: Tensor, k: Tensor, v: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *_, ptr, _, checkpoint = others
    tokens, heads, steps, key_size = k.shape
    value_size = v.shape[3]
    chunks = (tokens - 1) // _library.DELTA_CHECKPOINT_TOKENS if checkpoint and tokens else 0
    return (
        v.new_empty(tokens, heads, value_size),
        v.new_empty(ptr.shape[0] - 1, heads, key_size, value_size),
        v.new_empty(tokens if checkpoint else 0, heads, steps, value_size),
        v.new_empty(chunks, heads, key_size, value_size),
    )


def _backward(
    grad_o: Tensor, grad_last: Tensor | None, residuals: Tensor, checkpoints: Tensor, *inputs: Any
) -> tuple[Tensor, ...]:
    grads = _grads(grad_o, grad_last, residuals, checkpoints, *inputs)
    fields, _alive = _arguments(*inputs)
    grad_o, grad_last = dense(grad_o), dense(grad_last)
    residuals, checkpoints = dense(residuals), dense(checkpoints)
    names = ("q", "k", "v", "beta", "log_decay", "initial")
    _library.call(
        _library.DeltaScanBackward(
            **fields,
            residuals=residuals.data_ptr(),
            checkpoints=checkpoints.data_ptr(),
            grad_o=grad_o.data_ptr(),
            grad_last=address(grad_last),
            **{
                f"grad_{name}": None if tensor is None else grad.data_ptr()
                for name, tensor, grad in zip(names, inputs, grads, strict=False)
            },
        )
    )
    return grads


def _grads(
    grad_o: Tensor, grad_last: Tensor | None, residuals: Tensor, checkpoints: Tensor, *inputs: Any
) -> tuple[Tensor, ...]:
    return tuple(grad_o.new_empty(0) if tensor is None else like(tensor) for tensor in inputs[:6])


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.reversed, _ = inputs
    _, _, residuals, checkpoints = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(residuals, checkpoints)
    ctx.save_for_backward(*tensors, residuals, checkpoints)


def _gradient(
    ctx: Any, backward: Callable, grad_o: Tensor | None, grad_last: Tensor | None, *_: Tensor | None
) -> tuple[Tensor | None, ...]:
    *tensors, ptr, residuals, checkpoints = ctx.saved_tensors
    inputs = (*tensors, ptr, ctx.reversed)
    if grad_o is None and grad_last is None:
        return (None,) * (len(inputs) + 1)
    v = tensors[2]
    grad_o = v.new_zeros(*v.shape[:2], v.shape[3]) if grad_o is None else grad_o
    grads = backward(grad_o, grad_last, residuals, checkpoints, *inputs)
    given = (None if tensor is None else grad for tensor, grad in zip(tensors, grads, strict=True))
    return (*given, None, None, None)


def _in_pytorch(*inputs: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *tensors, initial, ptr, reversed, _ = inputs
    scan: Any = torch_backend.delta_scan
    o, last = scan(*tensors, Ragged(ptr, reversed=reversed), initial)
    # An operator's output is none of its inputs.
    last = last.clone() if last is initial else last
    return o, last, *(kept.zero_() for kept in _outputs(*inputs)[2:])


def _differentiable_backward(
    grad_o: Tensor, grad_last: Tensor | None, residuals: Tensor, checkpoints: Tensor, *inputs: Any
) -> tuple[Tensor, ...]:
    *tensors, ptr, reversed = inputs
    grads = torch_backend.delta_scan_gradient(grad_o, grad_last, tensors, Ragged(ptr, reversed=reversed))
    return or_empty(grad_o, grads)


_scan = Operator(
    "delta_scan",
    # o, last, and if asked what backward starts from: residuals and checkpoints.
    Pass(
        f"({_INPUTS}, bool checkpoint) -> (Tensor, Tensor, Tensor, Tensor)",
        kernel=_forward,
        anywhere=_in_pytorch,
        shapes=_outputs,
    ),
    # The gradients of q … initial, an empty one for each input that is not there.
    Pass(
        f"(Tensor grad_o, Tensor? grad_last, Tensor residuals, Tensor checkpoints, {_INPUTS})"
        f" -> ({', '.join(['Tensor'] * 6)})",
        kernel=_backward,
        anywhere=_differentiable_backward,
        shapes=_grads,
    ),
    save=_save,
    gradient=_gradient,
    differentiable=_differentiable_backward,
    keeps=True,
)
