"""The causal convolution on the C++ kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from graphseq.scan import torch_backend
from graphseq.scan.native import _library
from graphseq.scan.native._library import address, dense, like, rows, segments
from graphseq.scan.native._operator import Operator, Pass
from graphseq.scan.topology import Ragged

_INPUTS = "Tensor x, Tensor weight, Tensor? bias, Tensor ptr, bool reversed, bool silu"


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, topology: Ragged) -> Tensor:
    """See :func:`graphseq.scan.causal_conv`."""
    if x.is_complex():
        return torch_backend.causal_conv(x, weight, bias, silu, topology)
    return _conv(x, weight, bias, topology.ptr.contiguous(), topology.reversed, silu)


def _arguments(
    x: Tensor, weight: Tensor, bias: Tensor | None, ptr: Tensor, reversed: bool, silu: bool
) -> tuple[dict[str, Any], list[Any]]:
    """The fields of CausalConvInputs, and the tensors that must live as long as they are used."""
    x, x_stride = rows(x)
    taps, bias = weight.flip(1).t().contiguous(), dense(bias)
    fields = {
        "x": x.data_ptr(),
        "taps": taps.data_ptr(),
        "bias": address(bias),
        "channels": x.shape[1],
        "width": weight.shape[1],
        "x_stride": x_stride,
        **segments(ptr, reversed),
        "dtype": _library.DTYPES[x.dtype],
        "silu": silu,
    }
    return fields, [x, taps, bias]


def _forward(x: Tensor, *others: Any) -> Tensor:
    out = like(x)
    fields, _alive = _arguments(x, *others)
    _library.call(_library.CausalConv(**fields, out=out.data_ptr()))
    return out


def _backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, weight = inputs[:2]
    grad_x = like(x)
    grad_taps = x.new_empty(weight.shape[1] + 1, weight.shape[0])
    fields, _alive = _arguments(*inputs)
    grad, grad_stride = rows(grad)
    _library.call(
        _library.CausalConvBackward(
            **fields,
            grad=grad.data_ptr(),
            grad_stride=grad_stride,
            grad_x=grad_x.data_ptr(),
            grad_taps=grad_taps.data_ptr(),
        )
    )
    return grad_x, grad_taps[:-1].flip(0).t(), grad_taps[-1].clone()


def _like_x(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _like_inputs(grad: Tensor, x: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape[::-1]).t(), weight.new_empty(weight.shape[0])


def _in_pytorch(x: Tensor, weight: Tensor, bias: Tensor | None, ptr: Tensor, reversed: bool, silu: bool) -> Tensor:
    return torch_backend.causal_conv(x, weight, bias, silu, Ragged(ptr, reversed=reversed))


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.reversed, ctx.silu = inputs
    ctx.save_for_backward(*tensors)


def _gradient(ctx: Any, backward: Callable, grad: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, ptr = ctx.saved_tensors
    grads = backward(grad, *tensors, ptr, ctx.reversed, ctx.silu)
    given = (None if tensor is None else grad for tensor, grad in zip(tensors, grads, strict=True))
    return (*given, None, None, None)


def _differentiable_backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    x, weight, bias, ptr, reversed, silu = inputs
    return torch_backend.causal_conv_gradient(grad, x, weight, bias, silu, Ragged(ptr, reversed=reversed))


_conv = Operator(
    "causal_conv",
    Pass(f"({_INPUTS}) -> Tensor", kernel=_forward, anywhere=_in_pytorch, shapes=_like_x),
    # The gradients of x, weight and bias, the last one whether there is a bias or not.
    Pass(
        f"(Tensor grad, {_INPUTS}) -> (Tensor, Tensor, Tensor)",
        kernel=_backward,
        anywhere=_differentiable_backward,
        shapes=_like_inputs,
    ),
    save=_save,
    gradient=_gradient,
    differentiable=_differentiable_backward,
)
