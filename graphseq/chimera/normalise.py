"""Normalisation of a window by its own mean and deviation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from graphseq.chimera.check import check_series


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
        shared: one deviation for all variates of a window, so that what passes from one variate to another keeps its
            size. With one for each, the same wave is of another size in each variate, and of another in each window.
    """

    def __init__(self, eps: float = 1e-5, *, shared: bool = False) -> None:
        super().__init__()
        self.eps, self.shared = eps, shared

    def forward(
        self, x: Float[Tensor, "batch variates time"], observed: Bool[Tensor, "batch variates time"] | None = None
    ) -> tuple[Float[Tensor, "batch variates time"], WindowScale]:
        """The normalised window, and what undoes it.

        Raises:
            ValueError: if a shape or a device does not fit.
            TypeError: if a dtype does not fit.
        """
        check_series("x", x, observed)
        seen = torch.ones_like(x) if observed is None else observed.to(x.dtype)
        # Replaced, not multiplied by zero: what was not observed may be NaN.
        x = x if observed is None else x.masked_fill(~observed, 0)
        count = seen.sum(-1, keepdim=True).clamp(min=1)
        mean = x.sum(-1, keepdim=True) / count
        squares = ((x - mean).square() * seen).sum(-1, keepdim=True)
        if self.shared:
            squares, count = (
                part.sum(1, keepdim=True).expand_as(part) for part in (squares, seen.sum(-1, keepdim=True))
            )
        variance = squares / count.clamp(min=1)
        deviation = (variance + self.eps).sqrt()
        return (x - mean) / deviation * seen, WindowScale(mean, deviation)

    def extra_repr(self) -> str:
        return f"eps={self.eps}, shared={self.shared}"
