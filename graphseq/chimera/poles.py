"""Where the poles of a two-dimensional state space model start."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Poles(ABC):
    r"""Initial rates :math:`\lambda = -e^{a} + i \omega`; a step :math:`\Delta` gives :math:`e^{\Delta\lambda}`.

    A strategy with ``complex`` poles gives frequencies :math:`\omega` as well.
    """

    complex = False

    @abstractmethod
    def __call__(
        self, state_size: int, delta: Float[Tensor, " channels"]
    ) -> tuple[Float[Tensor, "channels states"], Float[Tensor, "channels states"] | None]:
        """Log rates :math:`a` and frequencies of each channel.

        Args:
            state_size: number of states.
            delta: the step with which each channel starts.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RealPoles(Poles):
    r"""Rates 1, 2, …, N, as in Mamba (Gu & Dao 2023) and S4D-Real."""

    def __call__(self, state_size: int, delta: Tensor) -> tuple[Tensor, None]:
        rates = torch.arange(1, state_size + 1, dtype=delta.dtype, device=delta.device)
        return rates.log().expand(delta.shape[0], state_size).clone(), None


class SeasonalPoles(Poles):
    r"""Poles that turn once in :math:`P/k` steps, :math:`k = 0, 1, 2, \dots`, and halve in ``memory`` periods.

    Args:
        period: :math:`P`, in steps.
        memory: periods after which an impulse has halved.

    Raises:
        ValueError: if one is not positive.
    """

    complex = True

    def __init__(self, period: float, memory: float = 2.0) -> None:
        if not (period > 0 and memory > 0):
            raise ValueError(f"period and memory must be positive, got {period} and {memory}")
        self.period, self.memory = period, memory

    def __call__(self, state_size: int, delta: Tensor) -> tuple[Tensor, Tensor]:
        turns = 2 * math.pi / self.period * torch.arange(state_size, dtype=delta.dtype, device=delta.device)
        decay = torch.full_like(turns, math.log(2) / (self.memory * self.period))
        return _per_step(decay, turns, delta)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.period}, memory={self.memory})"


class AutoregressivePoles(Poles):
    r"""The poles of :math:`x_t = \sum_k c_k x_{t-k} + \dots`: a companion matrix, diagonalised.

    Of each conjugate pair one pole is kept, since the output is the real part. States beyond the number of poles repeat
    them.

    Args:
        coefficients: :math:`c_1, \dots, c_p`.

    Raises:
        ValueError: if there is none, or the process is not stable.
    """

    complex = True

    def __init__(self, coefficients: Sequence[float]) -> None:
        if len(coefficients) == 0:
            raise ValueError("coefficients must hold at least one, got none")
        self.coefficients = tuple(map(float, coefficients))
        roots = np.roots([1.0, *(-c for c in self.coefficients)])
        roots = np.concatenate([roots, np.zeros(len(self.coefficients) - len(roots))])
        if len(roots) and (largest := abs(roots).max()) >= 1:
            raise ValueError(f"coefficients must be those of a stable process (poles below 1), got {largest:.4g}")
        self.roots = roots[roots.imag >= 0]

    def __call__(self, state_size: int, delta: Tensor) -> tuple[Tensor, Tensor]:
        # A pole at zero would be an infinite rate: e^{-20} forgets as well.
        kept = np.resize(self.roots, state_size)
        decay = torch.as_tensor(np.minimum(-np.log(np.maximum(abs(kept), 1e-300)), 20.0), dtype=delta.dtype)
        turns = torch.as_tensor(np.angle(kept), dtype=delta.dtype)
        return _per_step(decay.to(delta.device), turns.to(delta.device), delta)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.coefficients)})"


def _per_step(decay: Tensor, turns: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Rates such that one initial step of a channel decays and turns by this much."""
    return (decay / delta[:, None]).log(), turns / delta[:, None]
