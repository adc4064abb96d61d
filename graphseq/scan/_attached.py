"""Results that stay part of what is differentiated, whatever is empty."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor


def attached(operation: Callable[..., Any]) -> Callable[..., Any]:
    """An operation of which empty results and empty inputs are part all the same, with gradients of zero.

    Formulas that skip their work for want of tokens, channels or heads lose that, and a loss on an empty batch would
    have no gradient.
    """

    @functools.wraps(operation)
    def run(*inputs: Any) -> Any:
        outputs = operation(*inputs)
        if not isinstance(outputs, tuple):
            return attached_to(outputs, *inputs)
        out, *others = outputs
        # What else is returned, a last state for one, may have elements even so: zeros, or a copy of an input.
        return attached_to(out, *inputs), *(attached_to(other, *inputs, all=not out.numel()) for other in others)

    return run


def attached_to(output: Tensor, *inputs: Any, all: bool = False) -> Tensor:
    """The output, as a function of the inputs that are empty, or of all if it is empty itself or that is asked for."""
    all = all or not output.numel()
    for value in inputs:
        if isinstance(value, Tensor) and value.requires_grad and (all or not value.numel()):
            # The sum of none of its elements, whatever they are.
            nothing = value.flatten()[:0].sum()
            output = output + (nothing if output.is_complex() or not nothing.is_complex() else nothing.real)
    return output
