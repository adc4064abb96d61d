"""DeltaNet (Schlag et al. 2021; Yang et al. 2024) and, with negative eigenvalues, Grazzi et al. 2025."""

from __future__ import annotations

from typing import Any

from graphseq.sequence.delta_product import DeltaProduct


class DeltaNet(DeltaProduct):
    r"""Delta rule: what a key held is replaced, in part or more than wholly, by the new value.

    .. math::
        S_t = (I - \beta_t k_t k_t^\top) \, S_{t-1} + \beta_t k_t v_t^\top, \qquad o_t = S_t^\top q_t / \sqrt{d_k}

    It is :class:`DeltaProduct` with one step a token and no gate.

    Args:
        channels: width of input and output.
        beta_max: largest :math:`\beta`; 2 allows eigenvalues down to -1, without which parity cannot be tracked.
        memory: further arguments of :class:`MatrixMemory`, without ``steps``.

    Example:
        >>> DeltaNet(8, heads=2)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, *, beta_max: float = 1.0, **memory: Any) -> None:
        super().__init__(channels, steps=1, beta_max=beta_max, **memory)
