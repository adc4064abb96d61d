"""From continuous time to steps, for diagonal systems."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

Rule = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Eigenvalues and step sizes to the logarithm of the decay, and the factor of the input."""


def zero_order_hold(
    eigenvalues: Inexact[Tensor, "*modes"], step: Float[Tensor, "*#modes"]
) -> tuple[Inexact[Tensor, "*modes"], Inexact[Tensor, "*modes"]]:
    r"""Inputs are constant within a step: :math:`\bar A = e^{\Delta A}`, :math:`\bar B = (e^{\Delta A} - 1) A^{-1} B`.

    Returns:
        :math:`\log \bar A`, and what :math:`B` is multiplied by.
    """
    log_decay = step * eigenvalues
    return log_decay, torch.expm1(log_decay) / eigenvalues


def bilinear(
    eigenvalues: Inexact[Tensor, "*modes"], step: Float[Tensor, "*#modes"]
) -> tuple[Inexact[Tensor, "*modes"], Inexact[Tensor, "*modes"]]:
    r"""The trapezoid rule: :math:`\bar A = \frac{1 + \Delta A / 2}{1 - \Delta A / 2}`,
    :math:`\bar B = \frac{\Delta}{1 - \Delta A / 2} B`.

    Returns:
        :math:`\log \bar A`, and what :math:`B` is multiplied by.
    """
    half = step * eigenvalues / 2
    # The ratio of a real system may be negative, and then only a complex number has its logarithm.
    complex_half = torch.complex(half, torch.zeros_like(half)) if not half.is_complex() else half
    return torch.log((1 + complex_half) / (1 - complex_half)), step / (1 - half)
