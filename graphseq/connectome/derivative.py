"""How fast each neuron's trace changes, in units of its own fastest change."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import conv1d, pad


def rate_of_change(
    traces: Float[Tensor, "animals neurons time"],
    observed: Bool[Tensor, "animals neurons"] | None = None,
    *,
    sigma: float = 2.0,
    dt: float = 1.0,
) -> Float[Tensor, "animals neurons time"]:
    r"""Smoothed derivative of each trace over its largest magnitude.

    .. math::
        z_i(t) = \frac{\dot x_i(t)}{\max_s |\dot x_i(s)|}, \qquad
        \dot x_i = \frac1{\Delta t}\,(g'_\sigma * \bar x_i), \qquad
        \bar x_i = \frac{x_i - \min x_i}{\max x_i - \min x_i}

    A constant trace has no scale; its rate is exactly 0, not amplified rounding.

    Args:
        traces: one row a neuron; rows of neurons that are not observed may hold anything.
        observed: which neurons were identified in which animal. Without it a trace of nothing but NaN is a missing one.
        sigma: width of the Gaussian, in frames.
        dt: seconds a frame; cancels in the quotient, and matters to :func:`gaussian_derivative` alone.

    Returns:
        Values in [-1, 1]; NaN for neurons that are not observed.

    Raises:
        ValueError: if an observed trace holds NaN or infinity, sizes disagree, or ``sigma`` or ``dt`` is not positive.

    Example:
        >>> rate_of_change(torch.tensor([[[0.0, 0.0, 1.0, 2.0, 2.0]]]), sigma=0.5)[0, 0, 2]
        tensor(1.)
    """
    observed = observed_neurons(traces, observed)
    known = traces.masked_fill(~observed[..., None], 0)
    rate = gaussian_derivative(min_max(known), sigma=sigma, dt=dt)
    fastest = rate.abs().amax(-1, keepdim=True)
    scaled = torch.where(fastest > 0, rate / fastest, 0)
    return scaled.masked_fill(~observed[..., None], torch.nan)


def min_max(traces: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """Each trace shifted and scaled to [0, 1] over the whole recording; a constant one becomes 0."""
    low, high = traces.amin(-1, keepdim=True), traces.amax(-1, keepdim=True)
    return torch.where(high > low, (traces - low) / (high - low), 0)


def gaussian_derivative(
    traces: Float[Tensor, "*batch time"], *, sigma: float = 2.0, dt: float = 1.0
) -> Float[Tensor, "*batch time"]:
    r"""Convolution with the sampled derivative of a Gaussian, cut at four widths, the ends repeated.

    .. math::
        y_t = \frac1{\Delta t}\sum_{k=-r}^{r} d_k\,x_{t-k}, \qquad
        d_k = -\frac{k}{\sigma^2} g_k, \quad g_k \propto e^{-k^2 / 2\sigma^2}, \quad \textstyle\sum_k g_k = 1, \quad
        r = \lfloor 4\sigma + \tfrac12 \rfloor

    Args:
        traces: time last.
        sigma: width of the Gaussian, in frames.
        dt: seconds a frame.

    Raises:
        ValueError: if ``sigma`` or ``dt`` is not positive.

    Example:
        >>> gaussian_derivative(torch.arange(20.0)[None], sigma=1.0, dt=0.5)[0, 9]
        tensor(1.9999)
    """
    for name, value in (("sigma", sigma), ("dt", dt)):
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
    radius = math.floor(4 * sigma + 0.5)
    steps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    bell = torch.exp(-steps.square() / (2 * sigma**2))
    kernel = (-steps / sigma**2 * bell / bell.sum()).to(traces)
    rows = traces.reshape(-1, 1, traces.shape[-1])
    rows = pad(rows, (radius, radius), mode="replicate")
    # conv1d correlates: the kernel runs backwards in time.
    return conv1d(rows, kernel.flip(0)[None, None]).reshape(traces.shape) / dt


def observed_neurons(traces: Tensor, observed: Tensor | None) -> Tensor:
    """Which neurons are observed, as given or as the traces say, and that those hold numbers.

    Raises:
        ValueError: if an observed trace is not finite, or the sizes do not fit.
        TypeError: if ``traces`` is not of a floating dtype.
    """
    if not traces.is_floating_point():
        raise TypeError(f"traces must have a floating dtype, got {traces.dtype}")
    if traces.dim() != 3 or traces.numel() == 0:
        raise ValueError(f"traces must have shape [animals, neurons, time], none of them 0, got {list(traces.shape)}")
    if observed is None:
        observed = ~traces.isnan().all(-1)
    elif observed.dtype != torch.bool or observed.shape != traces.shape[:2]:
        raise ValueError(
            f"observed must be bool of shape {list(traces.shape[:2])}, got {observed.dtype} of {list(observed.shape)}"
        )
    bad = (~traces.isfinite()).any(-1) & observed
    if bool(bad.any()):
        animal, neuron = bad.nonzero()[0].tolist()
        raise ValueError(
            f"traces must be finite where observed, got NaN or infinity in neuron {neuron} of animal {animal}: "
            "fill the gap, or mark the neuron as not observed there"
        )
    return observed
