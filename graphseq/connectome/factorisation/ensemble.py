"""How alike the factorisations of several starts are, and which rank that and held-out data speak for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from graphseq.connectome.factorisation.fit import CPFit
from graphseq.connectome.factorisation.model import NonNegativeCP


def ensemble_similarity(fits: CPFit | Sequence[CPFit]) -> Float[Tensor, "fits fits"]:
    r"""Similarity of each factorisation to each other, 0 to 1 (Williams et al. 2018).

    Components are compared by the inner products of their unit columns, averaged over the modes, and matched one to one
    so that the mean over components is largest:

    .. math::
        \max_\pi \frac1R \sum_r \frac1M \sum_m \langle f_{mr},\, f'_{m\pi(r)} \rangle

    Args:
        fits: factorisations of one tensor at one rank, or one fit, which stands for its restarts, best first.

    Raises:
        ValueError: if ranks or sizes differ.

    Example:
        >>> fit = NonNegativeCP(2, restarts=4).fit(torch.rand(8, 7, 6))
        >>> ensemble_similarity(fit).shape
        torch.Size([4, 4])
    """
    fits = fits.restarts if isinstance(fits, CPFit) else tuple(fits)
    shapes = {tuple(tuple(f.shape) for f in fit.factors) for fit in fits}
    if len(shapes) > 1:
        raise ValueError(f"fits must be of one tensor at one rank, got factors of shapes {sorted(shapes)}")
    result = torch.ones(len(fits), len(fits), dtype=torch.float64)
    for i, one in enumerate(fits):
        for j, other in enumerate(fits[:i]):
            result[i, j] = result[j, i] = _similarity(one, other)
    return result


def _similarity(one: CPFit, other: CPFit) -> float:
    from scipy.optimize import linear_sum_assignment

    products = [a.t() @ b for a, b in zip(one.factors, other.factors, strict=True)]
    score = torch.stack(products).mean(0).double().cpu().numpy()
    return float(score[linear_sum_assignment(score, maximize=True)].mean())


class HoldOut(ABC):
    """Which observed entries a factorisation is not shown, to be asked for them afterwards."""

    @abstractmethod
    def split(self, x: Tensor, mask: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Masks, in a form that :meth:`NonNegativeCP.fit` takes, of what is shown and of what is asked for."""


@dataclass(frozen=True)
class Speckled(HoldOut):
    """Single entries, drawn alike everywhere: fitted by imputation.

    Args:
        fraction: of the observed entries.

    Raises:
        ValueError: if ``fraction`` is not strictly between 0 and 1.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def split(self, x: Tensor, mask: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        held = (torch.rand(x.shape, generator=generator) < self.fraction).to(x.device)
        seen = _spread(mask, x)
        return seen & ~held, seen & held


@dataclass(frozen=True)
class WholeCourses(HoldOut):
    """All times of a pair in an animal: fitted exactly, and much faster than :class:`Speckled`.

    It asks more: neighbouring times, which are alike, do not give the answer away.

    Args:
        fraction: of the observed courses.

    Raises:
        ValueError: if ``fraction`` is not strictly between 0 and 1; and, when it is used, if the mask is not one over
            the first and the last mode.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)

    def split(self, x: Tensor, mask: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        ends = (x.shape[0], x.shape[-1])
        if mask is not None and mask.shape != ends:
            raise ValueError(f"mask must have shape {list(ends)} to hold out whole courses, got {list(mask.shape)}")
        held = (torch.rand(ends, generator=generator) < self.fraction).to(x.device)
        seen = torch.ones_like(held) if mask is None else mask
        return seen & ~held, seen & held


@dataclass(frozen=True)
class RankSelection:
    """What each rank achieves, over its restarts, best first.

    Args:
        ranks: those tried.
        errors: relative error of what was fitted.
        similarity: of each restart to the best one; of the second best on.
        held_out_errors: relative error of what was held out, by the restarts of a fit of their own.
        fits: the fits to all observed data, one a rank.
    """

    ranks: tuple[int, ...]
    errors: Float[Tensor, "ranks restarts"]
    similarity: Float[Tensor, "ranks restarts-1"]
    held_out_errors: Float[Tensor, "ranks restarts"] | None
    fits: tuple[CPFit, ...]

    def choose(self, similarity: float = 0.9) -> int:
        """The rank that predicts best what was held out, among those whose restarts agree.

        Without held-out data it is the largest rank whose restarts agree. The published method states no rule; this one
        is ours.

        Args:
            similarity: the least median similarity to the best restart. If no rank reaches it, the most similar one is
                chosen.
        """
        median = self.similarity.median(1).values if self.similarity.shape[1] else torch.ones(len(self.ranks))
        stable = [place for place, value in enumerate(median.tolist()) if value >= similarity]
        if not stable:
            return self.ranks[int(median.argmax())]
        if self.held_out_errors is None:
            return max(self.ranks[place] for place in stable)
        # The best restart by fit is what a user would take.
        return self.ranks[min(stable, key=lambda place: float(self.held_out_errors[place, 0]))]  # type: ignore[index]


def select_rank(
    x: Float[Tensor, "*sizes"],
    ranks: Sequence[int],
    mask: Bool[Tensor, "*observed"] | None = None,
    *,
    method: NonNegativeCP | None = None,
    hold_out: HoldOut | None = None,
    seed: int = 0,
) -> RankSelection:
    """Fit a tensor at several ranks; see how well, how reproducibly, and how well what was not shown.

    Args:
        x: a dense tensor.
        ranks: those to try.
        mask: as for :meth:`NonNegativeCP.fit`.
        method: everything but the rank; by default HALS with ten restarts.
        hold_out: what is held out, :class:`Speckled` or :class:`WholeCourses`; without it that is left out, and with it
            each rank is fitted twice.
        seed: of what is held out, the same at all ranks.

    Raises:
        ValueError: if no rank is given, or as for :meth:`NonNegativeCP.fit`.

    Example:
        >>> a, c, w = torch.rand(20, 2), torch.rand(15, 2), torch.rand(6, 2)
        >>> x = torch.einsum("ir,jr,kr->ijk", a, c, w)
        >>> select_rank(x, [1, 2], method=NonNegativeCP(1, restarts=3), hold_out=WholeCourses(0.2)).choose(0.8)
        2
    """
    if not ranks:
        raise ValueError("ranks must name at least one rank, got none")
    method = method or NonNegativeCP(1)
    shown, asked = (None, None) if hold_out is None else hold_out.split(x, mask, torch.Generator().manual_seed(seed))
    fits, held_out = [], []
    for rank in ranks:
        ranked = replace(method, rank=rank)
        fits.append(ranked.fit(x, mask))
        if shown is not None and asked is not None:
            held_out.append([_error(x, restart, asked) for restart in ranked.fit(x, shown).restarts])
    return RankSelection(
        tuple(ranks),
        torch.tensor([[restart.relative_error for restart in fit.restarts] for fit in fits], dtype=torch.float64),
        torch.stack([ensemble_similarity(fit)[0, 1:] for fit in fits]),
        torch.tensor(held_out, dtype=torch.float64) if held_out else None,
        tuple(fits),
    )


def _error(x: Tensor, fit: CPFit, asked: Tensor) -> float:
    asked = _spread(asked, x)
    known = x[asked]
    return float((fit.reconstruct()[asked] - known).norm(dtype=torch.float64) / known.norm(dtype=torch.float64))


def _spread(mask: Tensor | None, x: Tensor) -> Tensor:
    """A mask of the shape of the tensor."""
    if mask is None:
        return torch.ones(x.shape, dtype=torch.bool, device=x.device)
    if mask.shape == x.shape:
        return mask
    return mask.view(mask.shape[0], *[1] * (x.dim() - 2), mask.shape[1]).expand_as(x)


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be strictly between 0 and 1, got {fraction}")
