"""Normalisation of a window by its own mean and deviation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class WindowScale(NamedTuple):
    """Of each variate of each window."""

    mean: Float[Tensor, "batch variates 1"]
    deviation: Float[Tensor, "batch variates 1"]


class WindowNorm(nn.Module):
    r"""Each variate of each window to mean 0 and deviation 1 (Kim et al. 2022, "RevIN", without its affine map).

    .. math::
        x \leftarrow (x - \mu) / \sqrt{\sigma^2 + \epsilon}

    over the observed values; what was not observed stays zero.

    Args:
        eps: :math:`\epsilon`.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(
        self, x: Float[Tensor, "batch variates time"], observed: Bool[Tensor, "batch variates time"] | None = None
    ) -> tuple[Float[Tensor, "batch variates time"], WindowScale]:
        """The normalised window, and what undoes it."""
        seen = torch.ones_like(x) if observed is None else observed.to(x.dtype)
        count = seen.sum(-1, keepdim=True).clamp(min=1)
        mean = (x * seen).sum(-1, keepdim=True) / count
        variance = ((x - mean).square() * seen).sum(-1, keepdim=True) / count
        deviation = (variance + self.eps).sqrt()
        return (x - mean) / deviation * seen, WindowScale(mean, deviation)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"
