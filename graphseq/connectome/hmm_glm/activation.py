"""Link functions: from a neuron's drive to its rate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


def inverse(activation: Activation, rate: Tensor, *, low: float = -20.0, high: float = 20.0) -> Tensor:
    """The drive at which an increasing activation gives ``rate``, by bisection, or the nearer bound."""
    below, above = torch.full_like(rate, low), torch.full_like(rate, high)
    for _ in range(60):
        middle = (below + above) / 2
        less = activation(middle) < rate
        below, above = torch.where(less, middle, below), torch.where(less, above, middle)
    return (below + above) / 2
