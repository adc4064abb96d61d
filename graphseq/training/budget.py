"""Networks of equal size: the width that meets a number of parameters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import torch
from torch import nn

_STEPS = range(2, 66, 2)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def fit_width(build: Callable[[int], nn.Module], parameters: int) -> int:
    """The width at which a network comes nearest to a number of parameters.

    Widths are even, and multiples of what the network's must be multiples of, such as a number of heads.

    Args:
        build: makes the network of a width, or raises a ``ValueError`` if there is none; a wider one must have more
            parameters.
        parameters: the number wanted.

    Raises:
        ValueError: if the narrowest network is too large already, or none can be made.
    """

    def size(width: int) -> int:
        # Not on the meta device: some of PyG's layers compute with their initial values.
        with torch.random.fork_rng():
            return count_parameters(build(width))

    step, smallest = _narrowest(size)
    if smallest > parameters:
        raise ValueError(f"parameters must be at least {smallest} for this network, got {parameters}")
    # By doubling first, so that no network much larger than wanted is ever made.
    above = 4
    while size(step * above) < parameters:
        above *= 2
    place = bisect_left(range(above), parameters, lo=above // 2, key=lambda count: size(step * count))
    return step * min((max(place - 1, 2), place), key=lambda count: abs(size(step * count) - parameters))


def _narrowest(size: Callable[[int], int]) -> tuple[int, int]:
    """The smallest step between widths, and the size of the network two steps wide.

    A width below four leaves positional features no channel of their own.
    """
    for step in _STEPS:
        try:
            # Only the network knows what its width must be a multiple of; that divides both widths, or not the step.
            return step, min(size(2 * step), size(3 * step))
        except ValueError:
            if step == _STEPS[-1]:
                raise
    raise AssertionError
