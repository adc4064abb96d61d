"""How the two states of a cell feed each other: the transitions of Chimera's grid.

Each strategy turns rates, steps and angles into four transitions that belong to the receiving cell:

    h1[v, t] = A1 h1[v, t-1] + A2 h2[v-1, t] + ...        (state 1 moves along time)
    h2[v, t] = A3 h1[v, t-1] + A4 h2[v-1, t] + ...        (state 2 moves along variates)
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float, Inexact
from torch import Tensor


class Transitions(NamedTuple):
    """The four transitions of each cell."""

    A1: Inexact[Tensor, "*batch variates time channels states"]
    A2: Inexact[Tensor, "*batch variates time channels states"]
    A3: Inexact[Tensor, "*batch variates time channels states"]
    A4: Inexact[Tensor, "*batch variates time channels states"]


class Coupling(ABC):
    """Rates, steps and angles to transitions."""

    @abstractmethod
    def __call__(
        self,
        rate1: Inexact[Tensor, "channels states"],
        rate2: Inexact[Tensor, "channels states"],
        delta1: Float[Tensor, "*cells channels"],
        delta2: Float[Tensor, "*cells channels"],
        theta1: Float[Tensor, "*cells channels"],
        theta2: Float[Tensor, "*cells channels"],
    ) -> Transitions:
        """Transitions of all cells.

        Args:
            rate1: continuous rate along time, with negative real part.
            rate2: along variates.
            delta1: step along time.
            delta2: step along variates.
            theta1: exchange into state 1; how it is read depends on the strategy.
            theta2: exchange into state 2.
        """

    def shares(self, theta: Float[Tensor, "2 *cells channels"]) -> Float[Tensor, "2 *cells channels"] | None:
        r"""The parts :math:`s_i` of what arrives that come from the other state, where that is all the coupling does.

        Then :math:`A_1 = e_1 (1 - s_1)`, :math:`A_2 = e_1 s_1`, :math:`A_3 = e_2 s_2` and :math:`A_4 = e_2 (1 - s_2)`
        with :math:`e_i = e^{\Delta_i \lambda_i}`, which :func:`~graphseq.scan.grid_selective_scan` computes cell by
        cell, without holding transitions or states in memory. None for a coupling of another form.

        Args:
            theta: exchange into state 1 and into state 2.
        """
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Sharing(Coupling):
    """A coupling that its shares say all about."""

    def __call__(
        self, rate1: Tensor, rate2: Tensor, delta1: Tensor, delta2: Tensor, theta1: Tensor, theta2: Tensor
    ) -> Transitions:
        e1, e2 = _decayed(rate1, delta1), _decayed(rate2, delta2)
        share1, share2 = self.shares(torch.stack([theta1, theta2]))[..., None]
        return Transitions(e1 * (1 - share1), e1 * share1, e2 * share2, e2 * (1 - share2))

    @abstractmethod
    def shares(self, theta: Tensor) -> Tensor: ...


class MixCoupling(_Sharing):
    r"""What arrives is decayed, then shared out between the states: it can never grow.

    .. math::
        A_1 &= e_1 \cos^2\theta_1, \quad A_2 = e_1 \sin^2\theta_1, \quad
        A_3 = e_2 \sin^2\theta_2, \quad A_4 = e_2 \cos^2\theta_2, \qquad e_i = e^{\Delta_i \lambda_i}

    :math:`|A_1| + |A_2| \le 1` and :math:`|A_3| + |A_4| \le 1` whatever the input, so that no entry of the impulse
    response exceeds 1. This parametrisation is ours: the exponentials of all four blocks that the paper's text suggests
    (:class:`ExponentialCoupling`) grow with the size of the grid.
    """

    def shares(self, theta: Tensor) -> Tensor:
        return theta.sin().square()


class HoldCoupling(Coupling):
    r"""Zero-order hold, the other state held over the step, and clipped so that nothing grows.

    .. math::
        A_1 = e_1, \quad A_2 = \lambda_1^{-1} (e_1 - 1)\, \theta_1, \qquad |A_2| \le 1 - |e_1|

    and likewise :math:`A_4 = e_2` and :math:`A_3` with :math:`\theta_2`. The exchange vanishes with the step.
    """

    def __call__(
        self, rate1: Tensor, rate2: Tensor, delta1: Tensor, delta2: Tensor, theta1: Tensor, theta2: Tensor
    ) -> Transitions:
        A1, A2 = self._held(rate1, delta1, theta1)
        A4, A3 = self._held(rate2, delta2, theta2)
        return Transitions(A1, A2, A3, A4)

    @staticmethod
    def _held(rate: Tensor, delta: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        kept = _decayed(rate, delta)
        exchange = torch.expm1(delta[..., None] * rate) / rate * theta[..., None]
        room = 1 - kept.abs()
        return kept, exchange * (room / exchange.abs().clamp(min=torch.finfo(room.dtype).tiny)).clamp(max=1)


class ExponentialCoupling(Coupling):
    r"""The exchange exponentiated like a decay, :math:`A_2 = e^{-\Delta_1 e^{\theta_1}}`: it grows with the grid.

    The form that second-hand accounts of the paper (Behrouz et al. 2024) give. For small steps both terms of a sum are
    near 1, and the state of a cell sums over all paths that lead to it. Kept for comparison.
    """

    def __init__(self) -> None:
        warnings.warn(
            "ExponentialCoupling is not stable: states grow with the size of the grid; MixCoupling is bounded",
            stacklevel=2,
        )

    def __call__(
        self, rate1: Tensor, rate2: Tensor, delta1: Tensor, delta2: Tensor, theta1: Tensor, theta2: Tensor
    ) -> Transitions:
        A2 = torch.exp(-delta1 * theta1.exp())[..., None].expand(*delta1.shape, rate1.shape[-1])
        A3 = torch.exp(-delta2 * theta2.exp())[..., None].expand(*delta2.shape, rate2.shape[-1])
        return Transitions(_decayed(rate1, delta1), A2, A3, _decayed(rate2, delta2))


class OneWayCoupling(_Sharing):
    r"""From time to variates only, :math:`A_2 = 0`: two batches of one-dimensional scans, one after the other.

    The others are those of :class:`MixCoupling`, with :math:`A_1 = e_1`.
    """

    def shares(self, theta: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(theta[0]), theta[1].sin().square()])


class NoCoupling(_Sharing):
    """Neither state reads the other: state 1 runs along each variate alone, state 2 across variates at each time.

    Both are read out, so variates still meet in state 2; what makes them independent is ``mix=False`` of the model.
    """

    def shares(self, theta: Tensor) -> Tensor:
        return torch.zeros_like(theta)


def _decayed(rate: Tensor, delta: Tensor) -> Tensor:
    return torch.exp(delta[..., None] * rate)
