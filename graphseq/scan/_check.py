"""Checks of what users pass in: which argument, what was expected, what came."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)


def topology(value: Any, *kinds: type) -> None:
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"topology must be a {names}, got {type(value).__name__}")


def inexact(**tensors: Any) -> None:
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if not (tensor.is_floating_point() or tensor.is_complex()):
            raise TypeError(f"{name} must have a floating or complex dtype, got {tensor.dtype}")


def same_device(where: Any, **tensors: Tensor | None) -> None:
    for name, tensor in tensors.items():
        if tensor is not None and tensor.device != where.device:
            raise ValueError(f"{name} must be on the device of topology ({where.device}), got {tensor.device}")


def rows(where: Any, **tensors: Tensor | None) -> None:
    """The first axis counts the states of the topology."""
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        count = tensor.shape[0] if tensor.dim() else None
        if count != where.num_states:
            raise ValueError(
                f"ptr must end at the number of rows of {name}: ptr ends at {where.num_states}, "
                f"{name} has shape {list(tensor.shape)}"
            )


def shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != tuple(expected):
        raise ValueError(f"{name} must have shape {list(expected)}, got {list(tensor.shape)}")


def widened(**tensors: Tensor | None) -> list[Any]:
    """Half precision as float32 (the state needs it); beyond that all dtypes must agree.

    Raises:
        TypeError: naming the first tensor that differs from the first one given.
    """
    wide = {n: t.float() if t is not None and t.dtype in _HALF else t for n, t in tensors.items()}
    given = [(n, t) for n, t in wide.items() if t is not None]
    first_name, first = given[0]
    for name, tensor in given[1:]:
        if tensor.dtype != first.dtype:
            raise TypeError(f"{name} must have the dtype of {first_name} ({first.dtype}), got {tensor.dtype}")
    return list(wide.values())
