"""Non-negative canonical polyadic decomposition of a tensor that may have gaps, be sparse, or be wanted smooth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from graphseq.connectome.factorisation.dense import Dense, Separable
from graphseq.connectome.factorisation.fit import CPFit, normalised
from graphseq.connectome.factorisation.hals import HALS
from graphseq.connectome.factorisation.imputed import Imputed
from graphseq.connectome.factorisation.observations import Observations
from graphseq.connectome.factorisation.smoothness import Smoothness
from graphseq.connectome.factorisation.solver import Course, Solver
from graphseq.connectome.factorisation.sparse import Sparse


@dataclass(frozen=True)
class NonNegativeCP:
    r"""Explain a tensor by a few non-negative outer products, each a motif: which pairs, when, in which animals.

    .. math::
        \min_{a, c, w \ge 0} \tfrac12 \Big\| M \circ \Big( X - \sum_{r=1}^R a_r \circ c_r \circ w_r \Big) \Big\|_F^2

    All restarts share each pass over the data: one wide product in place of several narrow ones.

    Args:
        rank: :math:`R`.
        solver: how the error is lowered: :class:`HALS`, :class:`MultiplicativeUpdates` or :class:`BoundedLBFGS`.
        restarts: random starts, of which the best is taken.
        smooth: price :math:`\lambda` on the roughness of time courses, the second mode. To the objective it adds
            :math:`\frac\lambda2 \sum_r \|a_r\|^2 \|w_r\|^2 \sum_t (c_{rt} - c_{r,t-1})^2`: with the norms, nothing is
            gained by moving scale from one mode to another. The form is ours.
        seed: of the starts. The first of ten starts is that of one.
        tolerance: a restart ends when its relative error changes by less in one sweep; at 0 it never does.
        max_sweeps: most sweeps over all modes.

    Raises:
        ValueError: if a size is below 1, or ``smooth`` or ``tolerance`` is negative.

    Example:
        >>> a, c, w = torch.rand(20, 2), torch.rand(15, 2), torch.rand(4, 2)
        >>> fit = NonNegativeCP(2, restarts=3).fit(torch.einsum("ir,jr,kr->ijk", a, c, w))
        >>> fit.relative_error < 0.05, [tuple(f.shape) for f in fit.factors]
        (True, [(20, 2), (15, 2), (4, 2)])

    Cost of a sweep: two products of the data with ``rank x restarts`` columns; of a sparse tensor, work in proportion
    to its entries. Put the largest mode first.
    """

    rank: int
    solver: Solver = field(default_factory=HALS)
    restarts: int = 10
    smooth: float = 0.0
    seed: int = 0
    tolerance: float = 1e-6
    max_sweeps: int = 200

    def __post_init__(self) -> None:
        for name in ("rank", "restarts", "max_sweeps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("smooth", "tolerance"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")

    @torch.no_grad()
    def fit(
        self,
        x: Float[Tensor, "*sizes"],
        mask: Bool[Tensor, "*observed"] | None = None,
        start: Sequence[Tensor] | None = None,
    ) -> CPFit:
        """Factorise a tensor of two or more modes.

        Args:
            x: dense, or sparse in coordinate form, where what is not listed is 0. Negative numbers are allowed unless
                the solver says otherwise. What the mask leaves out is never read, be it NaN.
            mask: true where observed. Of shape ``[first mode, last mode]`` it holds for all there is in between, and is
                treated exactly; of the shape of ``x`` it may be anything, and is treated by imputation from the model.
            start: factors to begin with, ``[size, rank]`` each, or ``[restarts, size, rank]``; random if not given.

        Raises:
            TypeError: if ``x`` is not of dtype float32 or float64.
            ValueError: if an observed entry is not finite, nothing was observed, or sizes do not fit.
        """
        data = observations(x, mask)
        if self.solver.needs_non_negative_data and bool((data.stored < 0).any()):
            raise ValueError(f"x must not be negative for {type(self.solver).__name__}: take HALS")
        smoothness = Smoothness(self.smooth) if self.smooth > 0 else None
        if smoothness is not None and isinstance(data, Separable) and x.dim() == 2:
            raise ValueError("smooth must be 0 for a matrix with a mask: its frames have no common normal matrix")
        factors = self._random_start(data) if start is None else self._given_start(data, start)
        courses = self.solver.run(data, factors, smoothness, self.tolerance, self.max_sweeps)
        return summary(data, factors, courses)

    def _random_start(self, data: Observations) -> list[Tensor]:
        """Uniform numbers of the data's size: drawn on the host, so that every device starts from the same."""
        generator = torch.Generator().manual_seed(self.seed)
        draws = [
            [torch.rand(self.rank, size, generator=generator, dtype=torch.float64) for size in data.sizes]
            for _ in range(self.restarts)
        ]
        # The mean of the model, rank times the product of the factors' means, is that of the data.
        size = 2 * (data.level / self.rank) ** (1 / len(data.sizes))
        factors = [size * torch.stack(column).to(data.stored) for column in zip(*draws, strict=True)]
        for mode, factor in enumerate(factors):
            if (unseen := data.unseen(mode)) is not None:
                factor[..., unseen] = 0
        return factors

    def _given_start(self, data: Observations, start: Sequence[Tensor]) -> list[Tensor]:
        if len(start) != len(data.sizes):
            raise ValueError(f"start must have one factor for each of the {len(data.sizes)} modes, got {len(start)}")
        factors = []
        for mode, (factor, size) in enumerate(zip(start, data.sizes, strict=True)):
            factor = factor if factor.dim() == 3 else factor[None]
            if factor.shape[1:] != (size, self.rank):
                raise ValueError(
                    f"start must have shape [{size}, {self.rank}] in mode {mode}, with or without leading restarts, "
                    f"got {list(start[mode].shape)}"
                )
            if not bool((factor >= 0).all()):
                raise ValueError(f"start must be non-negative, got {factor.min().item()} in mode {mode}")
            rows = factor.to(data.stored).transpose(1, 2)
            factors.append(rows.clone(memory_format=torch.contiguous_format))
        if len({len(f) for f in factors}) > 1:
            raise ValueError(f"start must have equally many restarts in each mode, got {[len(f) for f in factors]}")
        return factors


def observations(x: Tensor, mask: Tensor | None) -> Observations:
    """The kind of data that a tensor and a mask make.

    Raises:
        TypeError, ValueError: as for :meth:`NonNegativeCP.fit`.
    """
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"x must be of dtype float32 or float64, got {x.dtype}")
    if x.dim() < 2 or min(x.shape) == 0:
        raise ValueError(f"x must have at least two modes, none of size 0, got shape {list(x.shape)}")
    if x.is_sparse:
        if mask is not None:
            raise ValueError("mask must be None for a sparse x, whose unlisted entries are zeros, not gaps")
        if not bool(x.coalesce().values().isfinite().all()):
            raise ValueError("x must be finite, got NaN or infinity")
        return Sparse(x)
    if mask is None:
        _check_finite(x, None)
        return Dense(x)
    if mask.dtype != torch.bool or mask.device != x.device:
        raise ValueError(f"mask must be bool on {x.device}, got {mask.dtype} on {mask.device}")
    if not bool(mask.any()):
        raise ValueError("mask must be true somewhere: nothing was observed")
    if mask.shape == (x.shape[0], x.shape[-1]):
        _check_finite(x, mask.view(len(mask), *[1] * (x.dim() - 2), mask.shape[1]))
        return Separable(x, mask)
    if mask.shape == x.shape:
        _check_finite(x, mask)
        return Imputed(x, mask)
    raise ValueError(
        f"mask must have the shape of x, {list(x.shape)}, or of its first and last mode, "
        f"{[x.shape[0], x.shape[-1]]}, got {list(mask.shape)}"
    )


def summary(data: Observations, factors: list[Tensor], courses: list[Course]) -> CPFit:
    """The best restart, with all of them by their error."""
    # What sums of products say of small errors is rounding: the last word is the difference itself.
    final = data.squared_error(factors).tolist()
    fits = []
    for place in sorted(range(len(courses)), key=final.__getitem__):
        course = courses[place]
        weights, columns = normalised([f[place] for f in factors])
        fits.append(
            CPFit(
                weights,
                columns,
                (torch.tensor(course.errors, dtype=torch.float64) / data.scale).sqrt(),
                torch.tensor(course.objectives, dtype=torch.float64),
                math.sqrt(final[place] / data.scale),
                course.converged,
            )
        )
    return replace(fits[0], restarts=tuple(fits))


def _check_finite(x: Tensor, mask: Tensor | None) -> None:
    bad = ~x.isfinite() if mask is None else ~x.isfinite() & mask
    if bool(bad.any()):
        place = bad.nonzero()[0].tolist()
        raise ValueError(f"x must be finite where observed, got {x[tuple(place)].item()} at {place}")
