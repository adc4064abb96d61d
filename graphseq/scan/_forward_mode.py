"""Forward-mode differentiation: which tensors carry a tangent."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import forward_ad


def has_tangent(*values: Any) -> bool:
    """Whether one of the values is a dual tensor, whose tangent a kernel that reads its memory would lose."""
    if forward_ad._current_level < 0:
        return False
    return any(isinstance(value, Tensor) and forward_ad.unpack_dual(value).tangent is not None for value in values)
