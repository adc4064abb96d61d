"""Gated DeltaNet (Yang et al. 2025)."""

from __future__ import annotations

from typing import Any

from graphseq.sequence.delta_product import DeltaProduct


class GatedDeltaNet(DeltaProduct):
    r"""Delta rule with a gate that can clear the memory.

    .. math::
        S_t = \alpha_t (I - \beta_t k_t k_t^\top) \, S_{t-1} + \beta_t k_t v_t^\top, \qquad
        \alpha_t = \exp\bigl(-e^{A_{log}} \operatorname{softplus}(w x_t + b)\bigr)

    It is :class:`DeltaProduct` with one step a token and the gate.

    Args:
        channels: width of input and output.
        beta_max: largest :math:`\beta`.
        memory: further arguments of :class:`MatrixMemory`, without ``steps``.

    Example:
        >>> GatedDeltaNet(8, heads=2)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, *, beta_max: float = 1.0, **memory: Any) -> None:
        super().__init__(channels, steps=1, beta_max=beta_max, gated=True, **memory)
