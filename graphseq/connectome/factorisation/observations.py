"""What a factorisation has to explain. Each kind knows how to pass over its data once for all restarts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.connectome.factorisation.grams import Grams

Update = Callable[[int, Tensor, Grams], None]
"""Called for each mode in turn with the products of the data with all other factors, ``[restarts, rank, size]``, and
the normal matrices. It may change that mode's factor, and what follows uses the change."""


class Observations(ABC):
    """Data, and which of them were observed.

    Factors are ``[restarts, rank, size]`` each, components as rows, so that a component lies in one piece.

    Args:
        sizes: of the modes.
        stored: the values at hand; what is not observed is 0 among them.
        observed: how many entries were observed.
    """

    def __init__(self, sizes: tuple[int, ...], stored: Tensor, observed: int) -> None:
        self.sizes, self.stored = sizes, stored
        self.energy = float(torch.linalg.vector_norm(stored, dtype=torch.float64) ** 2)
        self.level = float(stored.abs().sum(dtype=torch.float64)) / observed

    @property
    def scale(self) -> float:
        """What errors are measured against: the energy, or 1 where there is none."""
        return self.energy if self.energy > 0 else 1.0

    @abstractmethod
    def sweep(self, factors: list[Tensor], update: Update) -> Float[Tensor, " restarts"]:
        """Visit every mode once, in order; the squared error of the factors that result, in float64."""

    @abstractmethod
    def squared_error(self, factors: list[Tensor]) -> Float[Tensor, " restarts"]:
        """The squared error over what was observed, computed as directly as the data allow, in float64."""

    def unseen(self, mode: int) -> Tensor | None:
        """Rows of a mode of which nothing was observed."""
        return None


def error_from_products(energy: float, products: Tensor, grams: Grams, factor: Tensor) -> Float[Tensor, " restarts"]:
    """The squared error out of what an update has at hand: ``|x|² - 2 <x, model> + |model|²``.

    Exact up to rounding in the first term, so an error below the square root of the dtype's precision is not resolved.
    """
    cross = 2 * products - grams.apply(factor)
    return (energy - (cross * factor).sum((1, 2), dtype=torch.float64)).clamp(min=0)
