"""The Concrete distribution on the simplex (Maddison, Mnih & Teh 2017; Jang, Gu & Poole 2017)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def concrete_log_density(
    log_x: Float[Tensor, "*shape k"], log_probability: Float[Tensor, "*mean k"], temperature: float
) -> Float[Tensor, "*shape"]:
    r"""Log density of a point of the simplex under the Concrete distribution.

    .. math::
        \log p(x) = \log \Gamma(k) + (k - 1) \log \tau - k \log \sum_i p_i x_i^{-\tau}
                    + \sum_i \bigl[ \log p_i - (\tau + 1) \log x_i \bigr]

    Args:
        log_x: logarithms of the point's coordinates, so that corners can be approached without rounding to them.
        log_probability: :math:`\log p_i`, broadcast.
        temperature: :math:`\tau`.

    Raises:
        ValueError: if ``temperature`` is not positive.

    Example:
        >>> third = torch.full((3,), 1 / 3).log()
        >>> concrete_log_density(third, third, 1.0).exp()  # uniform: one over the area, which is a half
        tensor(2.)

    The density is unbounded where an :math:`x_i` goes to 0. Source: Maddison, Mnih & Teh 2017, definition 1.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    k = log_x.shape[-1]
    total = (log_probability - temperature * log_x).logsumexp(-1)
    terms = (log_probability - (temperature + 1) * log_x).sum(-1)
    return math.lgamma(k) + (k - 1) * math.log(temperature) - k * total + terms


def relaxed_sample(
    logits: Float[Tensor, "*shape k"], temperature: float, generator: torch.Generator | None = None
) -> Float[Tensor, "*shape k"]:
    """A draw from the Concrete distribution, differentiable in ``logits`` (the Gumbel-softmax trick).

    Example:
        >>> relaxed_sample(torch.tensor([0.0, 100.0]), 0.5)
        tensor([0., 1.])
    """
    uniform = torch.rand(logits.shape, generator=generator, dtype=logits.dtype, device=logits.device)
    tiny = torch.finfo(logits.dtype).tiny
    gumbel = -(-uniform.clamp(min=tiny).log()).clamp(min=tiny).log()
    return ((logits + gumbel) / temperature).softmax(-1)
