"""How a neuron's count or trace scatters about its rate."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Emission(Protocol):
    """Log density of observations, element by element and broadcast."""

    def log_density(self, value: Tensor, mean: Tensor) -> Tensor:
        """:math:`\\log p(y \\mid \\mu)`."""
        ...


@dataclasses.dataclass(frozen=True)
class Poisson:
    r"""Counts, :math:`\log p(y \mid \mu) = y \log \mu - \mu - \log \Gamma(y + 1)`.

    Example:
        >>> Poisson().log_density(torch.tensor(0.0), torch.tensor(2.0))
        tensor(-2.)
    """

    #: The smallest and the largest observation that it can tell of.
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)

    def log_density(self, value: Tensor, mean: Tensor) -> Tensor:
        return torch.xlogy(value, mean) - mean - torch.lgamma(value + 1)


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    r"""At most one spike a bin, with probability :math:`\mu`: use an activation with values in (0, 1)."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def log_density(self, value: Tensor, mean: Tensor) -> Tensor:
        return torch.xlogy(value, mean) + torch.special.xlog1py(1 - value, -mean)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    r"""Continuous traces with noise of standard deviation :math:`\sigma`.

    Args:
        sd: :math:`\sigma`.
    """

    sd: float = 1.0

    def __post_init__(self) -> None:
        if not self.sd > 0:
            raise ValueError(f"sd must be positive, got {self.sd}")

    def log_density(self, value: Tensor, mean: Tensor) -> Tensor:
        return -0.5 * ((value - mean) / self.sd).square() - math.log(self.sd * math.sqrt(2 * math.pi))
