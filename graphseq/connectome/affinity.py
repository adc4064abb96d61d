"""How much two neurons change together at each instant: none if one rises while the other falls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from graphseq.connectome.derivative import rate_of_change


class Affinity(ABC):
    """A rule that turns two rates of change in [-1, 1] into an affinity in [0, 1]; 0 unless their signs agree."""

    @abstractmethod
    def __call__(self, a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Affinity of the pairs, element by element; symmetric in ``a`` and ``b``."""


@dataclass(frozen=True)
class GeometricMean(Affinity):
    r""":math:`\sqrt{z_i z_j}`: a pair that moves at half the speed scores half."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a * b).clamp(min=0).sqrt()


@dataclass(frozen=True)
class Minimum(Affinity):
    r""":math:`\min(|z_i|, |z_j|)`: the slower of the two."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.where(a * b > 0, torch.minimum(a.abs(), b.abs()), 0)


@dataclass(frozen=True)
class Product(Affinity):
    r""":math:`z_i z_j`: slow pairs count quadratically less."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a * b).clamp(min=0)


@dataclass(frozen=True)
class RBF(Affinity):
    r""":math:`e^{-(z_i - z_j)^2 / 2 w^2}`: equal speeds, whatever they are.

    Two neurons that are nearly still have nearly equal speeds too, so noise scores high unless it is gated.

    Args:
        width: :math:`w`, by how much rates may differ.
        gate: both rates must exceed this in magnitude.

    Raises:
        ValueError: if ``width`` is not positive or ``gate`` is negative.
    """

    width: float = 0.25
    gate: float = 0.0

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"width must be positive, got {self.width}")
        if not self.gate >= 0:
            raise ValueError(f"gate must be at least 0, got {self.gate}")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        moving = (a * b > 0) & (a.abs() > self.gate) & (b.abs() > self.gate)
        return torch.where(moving, torch.exp(-(a - b).square() / (2 * self.width**2)), 0)


@dataclass(frozen=True)
class Opposed(Affinity):
    """Affinity of neurons that change against one another: one rises while the other falls.

    Args:
        kind: the rule, applied to one rate and the negative of the other.
    """

    kind: Affinity = GeometricMean()

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return self.kind(a, -b)


def affinity(
    traces: Float[Tensor, "animals neurons time"],
    observed: Bool[Tensor, "animals neurons"] | None = None,
    *,
    kind: Affinity = GeometricMean(),
    sigma: float = 2.0,
    dt: float = 1.0,
) -> Float[Tensor, "animals neurons neurons time"]:
    """Differential affinity of all pairs at every frame.

    The published method takes derivatives of traces, so that concurrent change counts, is non-linear and non-negative,
    and gives anticorrelated change no affinity. Its closed formula we do not have: the family of rules offered here is
    ours, and all of them have these properties.

    Args:
        traces: one row a neuron; what is not observed may hold anything.
        observed: which neurons were identified in which animal. Without it a trace of nothing but NaN is a missing one.
        kind: the rule.
        sigma: width of the Gaussian whose derivative is taken, in frames; about two seconds is a good start.
        dt: seconds a frame.

    Returns:
        Symmetric in the neurons, 0 on the diagonal, and NaN, never 0, where either neuron is not observed.

    Raises:
        ValueError: if an observed trace holds NaN or infinity, or an argument does not fit.

    Example:
        >>> together = affinity(torch.tensor([[[0.0, 0, 1, 1], [0, 0, 2, 2], [2, 2, 0, 0]]]), sigma=0.5)
        >>> together[0, :, :, 1]
        tensor([[0., 1., 0.],
                [1., 0., 0.],
                [0., 0., 0.]])

    Memory is that of the result: for many neurons see :func:`pair_tensor`, which never holds all of it.
    """
    z = rate_of_change(traces, observed, sigma=sigma, dt=dt)
    values = kind(*torch.broadcast_tensors(z[:, :, None], z[:, None]))
    missing = z[:, :, 0].isnan()
    values.diagonal(dim1=1, dim2=2).zero_()
    return values.masked_fill_((missing[:, :, None] | missing[:, None])[..., None], torch.nan)
