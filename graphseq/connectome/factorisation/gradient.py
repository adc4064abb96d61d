"""All factors at once, by a quasi-Newton method with bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphseq.connectome.factorisation.grams import Grams
from graphseq.connectome.factorisation.observations import Observations
from graphseq.connectome.factorisation.smoothness import TIME, Smoothness, roughness_times
from graphseq.connectome.factorisation.solver import Course, Solver


@dataclass(frozen=True)
class BoundedLBFGS(Solver):
    """SciPy's L-BFGS-B on all factors together, bounded below by 0 (after Acar, Dunlavy & Kolda 2011).

    A "sweep" is one iteration; it ends when half the squared relative error falls by less than the tolerance. Restarts
    run one after another. The optimiser works in float64 on the host, the gradients in the data's dtype on its device.

    Args:
        gradient_tolerance: it ends, too, when no entry of the projected gradient, over the data's energy, exceeds this.
        memory: pairs of steps and gradients that make up the curvature.

    Raises:
        ValueError: if ``gradient_tolerance`` is negative, or ``memory`` is below 1.
    """

    gradient_tolerance: float = 1e-8
    memory: int = 10

    def __post_init__(self) -> None:
        if not self.gradient_tolerance >= 0:
            raise ValueError(f"gradient_tolerance must be at least 0, got {self.gradient_tolerance}")
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, got {self.memory}")

    def run(
        self,
        data: Observations,
        factors: list[Tensor],
        smoothness: Smoothness | None,
        tolerance: float,
        max_sweeps: int,
    ) -> list[Course]:
        return [
            self._run_one(data, [f[s : s + 1] for f in factors], smoothness, tolerance, max_sweeps)
            for s in range(len(factors[0]))
        ]

    def _run_one(
        self,
        data: Observations,
        factors: list[Tensor],
        smoothness: Smoothness | None,
        tolerance: float,
        max_sweeps: int,
    ) -> Course:
        from scipy.optimize import minimize

        sizes = [f.numel() for f in factors]
        course = Course()
        latest = (0.0, 0.0)

        def unpacked(point: np.ndarray) -> list[Tensor]:
            parts = torch.from_numpy(point).to(factors[0]).split(sizes)
            return [part.view_as(f) for part, f in zip(parts, factors, strict=True)]

        def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal latest
            current = unpacked(point)
            gradients: list[Tensor] = []

            def collect(mode: int, products: Tensor, grams: Grams) -> None:
                gradients.append(grams.apply(current[mode]) - products)

            error = float(data.sweep(current, collect))
            objective = 0.5 * error
            if smoothness is not None:
                objective += float(smoothness.price(current))
                for mode, gradient in enumerate(gradients):
                    if mode == TIME:
                        gradient += smoothness.weight(current)[..., None] * roughness_times(current[mode])
                    else:
                        gradient += smoothness.ridge(current, mode)[..., None] * current[mode]
            latest = (error, objective)
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            return objective / data.scale, flat.double().cpu().numpy() / data.scale

        def record(_: np.ndarray) -> None:
            # The point that an iteration settles on is the last one that it looked at.
            course.errors.append(latest[0])
            course.objectives.append(latest[1])

        start = torch.cat([f.flatten() for f in factors]).double().cpu().numpy()
        evaluate(start)
        record(start)
        result = minimize(
            evaluate,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * len(start),
            callback=record,
            options={
                "maxiter": max_sweeps,
                "maxfun": 20 * max_sweeps,
                "ftol": tolerance,
                "gtol": self.gradient_tolerance,
                "maxcor": self.memory,
            },
        )
        for factor, found in zip(factors, unpacked(result.x), strict=True):
            factor.copy_(found)
        course.converged = bool(result.success)
        return course
