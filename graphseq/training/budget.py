"""Networks of equal size: the width that meets a number of parameters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import torch
from torch import nn


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def fit_width(build: Callable[[int], nn.Module], parameters: int) -> int:
    """The even width at which a network comes nearest to a number of parameters.

    Args:
        build: makes the network of a width; a wider one must have more parameters.
        parameters: the number wanted.

    Raises:
        ValueError: if the narrowest network is too large already.
    """

    def size(half: int) -> int:
        # Not on the meta device: some of PyG's layers compute with their initial values.
        with torch.random.fork_rng():
            return count_parameters(build(2 * half))

    # A width below four leaves positional features no channel of their own.
    smallest = size(2)
    if smallest > parameters:
        raise ValueError(f"parameters must be at least {smallest} for this network, got {parameters}")
    # By doubling first, so that no network much larger than wanted is ever made.
    above = 4
    while size(above) < parameters:
        above *= 2
    place = bisect_left(range(above), parameters, lo=above // 2, key=size)
    return 2 * min((max(place - 1, 2), place), key=lambda half: abs(size(half) - parameters))
