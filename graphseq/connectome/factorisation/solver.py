"""What solvers have in common: how a run is recorded, and sweeps that end restart by restart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from graphseq.connectome.factorisation.grams import Grams
from graphseq.connectome.factorisation.observations import Observations
from graphseq.connectome.factorisation.smoothness import TIME, Smoothness


@dataclass
class Course:
    """How one restart went.

    Args:
        errors: squared error after each sweep.
        objectives: half of that, and the price of roughness.
        converged: whether it ended before the last sweep allowed.
    """

    errors: list[float] = field(default_factory=list)
    objectives: list[float] = field(default_factory=list)
    converged: bool = False


class Solver(ABC):
    """A way to lower the error of a non-negative factorisation."""

    needs_non_negative_data = False

    @abstractmethod
    def run(
        self,
        data: Observations,
        factors: list[Tensor],
        smoothness: Smoothness | None,
        tolerance: float,
        max_sweeps: int,
    ) -> list[Course]:
        """Improve the factors in place, ``[restarts, rank, size]`` each, and tell how that went."""


class Sweeps(Solver):
    """Solvers that improve one mode after another, for all restarts at once.

    A restart leaves the batch when its relative error changes by less than the tolerance in one sweep, so what comes
    of it does not depend on its company.
    """

    @abstractmethod
    def improve(self, factor: Tensor, products: Tensor, grams: Grams, weight: Tensor | None) -> None:
        """Lower the error in one mode, in place.

        Args:
            factor: ``[restarts, rank, size]``.
            products: of the data with all other factors, as ``factor``.
            grams: the normal matrices, any price on the norms included.
            weight: for the mode that is smoothed, the weight of each component's squared differences.
        """

    def run(
        self,
        data: Observations,
        factors: list[Tensor],
        smoothness: Smoothness | None,
        tolerance: float,
        max_sweeps: int,
    ) -> list[Course]:
        courses = [Course() for _ in factors[0]]
        alive = list(range(len(courses)))
        current = [f.clone() for f in factors]

        def update(mode: int, products: Tensor, grams: Grams) -> None:
            weight = None
            if smoothness is not None and mode == TIME:
                weight = smoothness.weight(current)
            elif smoothness is not None:
                grams = grams.plus_diagonal(smoothness.ridge(current, mode))
            self.improve(current[mode], products, grams, weight)

        for _ in range(max_sweeps):
            errors = data.sweep(current, update)
            prices = torch.zeros_like(errors) if smoothness is None else smoothness.price(current)
            going = []
            for place, (error, price) in enumerate(zip(errors.tolist(), prices.tolist(), strict=True)):
                course = courses[alive[place]]
                course.errors.append(error)
                course.objectives.append(0.5 * error + price)
                # With a price on roughness it is the whole objective that settles.
                levels = [(2 * objective / data.scale) ** 0.5 for objective in course.objectives[-2:]]
                course.converged = len(levels) == 2 and abs(levels[1] - levels[0]) < tolerance
                if not course.converged:
                    going.append(place)
            if len(going) < len(alive):
                for whole, part in zip(factors, current, strict=True):
                    whole[alive] = part
                alive = [alive[place] for place in going]
                current = [f[going] for f in current]
            if not alive:
                break
        for whole, part in zip(factors, current, strict=True):
            whole[alive] = part
        return courses
