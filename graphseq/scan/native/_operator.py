"""Operations as PyTorch operators, which the compiler and the dispatcher's tools see, and with a way past them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphseq.scan._forward_mode import has_tangent
from graphseq.scan.native import _library

_operators = torch.library.Library("graphseq", "FRAGMENT")


class Pass(NamedTuple):
    """One direction of an operation, forward or backward: the same arguments for each of its functions."""

    schema: str
    kernel: Callable[..., Any]  # on the C++ library
    anywhere: Callable[..., Any]  # on any device, in PyTorch
    shapes: Callable[..., Any]  # outputs without values, from inputs without values


class Operator:
    """An operation with its gradient, ``graphseq::name`` and ``graphseq::name_backward`` for PyTorch.

    Called on plain CPU tensors it goes to the library at once, which takes a third of the dispatcher's time: on a small
    graph that is most of a scan.

    Args:
        name: of the operation.
        forward: its outputs.
        backward: the gradient's, from what ``save`` and the outputs' gradients give.
        save: ``(ctx, inputs, output)``, as for :class:`torch.autograd.Function`.
        gradient: ``(ctx, backward, *grads)``: the gradient of each input, where ``backward`` is this operator's, or the
            formula ``differentiable``, whichever is due.
        differentiable: what ``backward`` computes, for when it is differentiated again.
        keeps: forward takes one more argument at the end, which this adds: whether a gradient may be asked for, so that
            it keeps what that needs.
    """

    def __init__(
        self,
        name: str,
        forward: Pass,
        backward: Pass,
        *,
        save: Callable[..., None],
        gradient: Callable[..., Any],
        differentiable: Callable[..., Any],
        keeps: bool = False,
    ) -> None:
        self._forward, self._backward, self._keeps = forward, backward, keeps
        self._operator, self._backward_operator = _define(name, forward), _define(f"{name}_backward", backward)

        def autograd(ctx: Any, *grads: Tensor | None) -> Any:
            # Grad mode is on in a backward pass that is to be differentiated again.
            again = torch.is_grad_enabled() or has_tangent(*grads)
            return gradient(ctx, differentiable if again else self.backward, *grads)

        def with_saved(ctx: Any, *inputs: Any) -> Any:
            output = forward.kernel(*inputs)
            save(ctx, inputs, output)
            return output

        self._function: Any = type(
            name, (torch.autograd.Function,), {"forward": staticmethod(with_saved), "backward": staticmethod(autograd)}
        )
        torch.library.register_autograd(f"graphseq::{name}", autograd, setup_context=save, lib=_operators)

    def __call__(self, *inputs: Any) -> Any:
        grad = torch.is_grad_enabled() and any(isinstance(value, Tensor) and value.requires_grad for value in inputs)
        if self._keeps:
            inputs = (*inputs, grad)
        if has_tangent(*inputs):
            # The kernels have no forward mode, the formulas in PyTorch do.
            return self._forward.anywhere(*inputs)
        if not _library.reaches(inputs[0]):
            return self._operator(*inputs)
        return self._function.apply(*inputs) if grad else self._forward.kernel(*inputs)

    def backward(self, *inputs: Any) -> Any:
        """The operator of the gradient."""
        return self._backward.kernel(*inputs) if _library.reaches(inputs[0]) else self._backward_operator(*inputs)


def _define(name: str, of: Pass) -> Callable[..., Any]:
    _operators.define(f"{name}{of.schema}")
    _operators.impl(name, of.anywhere, "CompositeExplicitAutograd")
    if _library.AVAILABLE:
        _operators.impl(name, of.kernel, "CPU")
    torch.library.register_fake(f"graphseq::{name}", of.shapes, lib=_operators)
    return getattr(torch.ops.graphseq, name).default


def like_source(decay: Tensor, source: Tensor, *_: Any) -> Tensor:
    """Shape of the states of a linear scan."""
    return source.new_empty(source.shape)


def like_decay_and_states(grad: Tensor, decay: Tensor, states: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Shapes of the gradients of a linear scan without initial states."""
    return decay.new_empty(decay.shape), states.new_empty(states.shape)


def or_empty(like: Tensor, grads: Iterable[Tensor | None]) -> tuple[Tensor, ...]:
    """The gradients as an operator returns them, which has no None."""
    return tuple(like.new_empty(0) if grad is None else grad for grad in grads)
