"""What follows from a topology alone: found once, and apart from what torch.func differentiates or maps over."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def apart(compute: Callable[..., Result]) -> Callable[..., Result]:
    """A function whose tensors belong to no transform of torch.func, even when one is active.

    A transform wraps whatever is computed under it, index tensors too. Kept on a topology, such a wrapper would outlive
    its transform, and PyTorch ends with an internal error when it is met again.
    """

    @functools.wraps(compute)
    def run(*arguments: Any, **options: Any) -> Result:
        if torch.compiler.is_compiling() or not torch._C._are_functorch_transforms_active():
            return compute(*arguments, **options)
        with torch._C._DisableFuncTorch():
            return compute(*map(_plain, arguments), **{name: _plain(value) for name, value in options.items()})

    return run


class derived(cached_property):
    """A :func:`functools.cached_property` that is computed :func:`apart`, and that :func:`torch.compile` can trace."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        super().__init__(apart(compute))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        # Without the lock that Python has here up to 3.11, which no compiler can enter.
        value = self.func(instance)
        instance.__dict__[self.attrname] = value
        return value


def kept(compute: Callable[..., Result]) -> Callable[..., Result]:
    """A function of a topology and of numbers that is computed once, :func:`apart`, and kept with the topology."""
    name = (compute.__module__, compute.__qualname__)

    @functools.wraps(compute)
    def run(topology: Any, *numbers: Any) -> Result:
        key = (*name, *numbers)
        if key not in topology.cache:
            topology.cache[key] = apart(compute)(topology, *numbers)
        return topology.cache[key]

    return run


def _plain(value: Any) -> Any:
    """A tensor without the wrappers of the transforms around it."""
    if isinstance(value, tuple):
        members = [_plain(member) for member in value]
        return type(value)(*members) if hasattr(value, "_fields") else tuple(members)
    if not isinstance(value, Tensor):
        return value
    while torch._C._functorch.is_functorch_wrapped_tensor(value):
        if torch._C._functorch.is_batchedtensor(value):
            raise ValueError("a topology must be the same for all that torch.func.vmap maps over, got one for each")
        value = torch._C._functorch.get_unwrapped(value)
    return value
