"""Mamba whose tokens cannot all shrink to zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from graphseq.sequence.mamba import Mamba


class DivergentMamba(Mamba):
    r"""Mamba with an input projection tied to its output projection, so that the convergent scenario is excluded.

    In the limit of infinitely many layers the tokens of a Mamba all go to zero if the symmetric part of
    :math:`S_C^\top S_B` is negative definite, :math:`B = S_B a` and :math:`C = S_C a` (Vo et al. 2025, "Demystifying
    the Token Dynamics of Deep Selective State Space Models"). Here

    .. math::
        S_B = M S_C, \qquad M = L \operatorname{diag}(\operatorname{softplus}(d)) L^\top

    with :math:`L` unit lower triangular, so that :math:`S_C^\top S_B` is symmetric and positive semidefinite, whatever
    the parameters. :math:`M` starts as the identity. The parametrisation of :math:`M` is ours; all arguments are those
    of :class:`Mamba`.

    Example:
        >>> DivergentMamba(8)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, *, state_size: int = 16, **mamba: int | float | bool) -> None:
        super().__init__(channels, state_size=state_size, **mamba)  # type: ignore[arg-type]
        self.lower = nn.Parameter(torch.zeros(state_size, state_size))
        # softplus of this is 1.
        self.diagonal = nn.Parameter(torch.full((state_size,), 1.0).expm1().log())

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if hasattr(self, "lower"):
            with torch.no_grad():
                self.lower.zero_()
                self.diagonal.copy_(torch.ones_like(self.diagonal).expm1().log())

    def tie(self) -> Tensor:
        """:math:`M`, symmetric and positive definite."""
        unit_lower = self.lower.tril(-1) + torch.eye(self.state_size, dtype=self.lower.dtype, device=self.lower.device)
        return (unit_lower * softplus(self.diagonal)) @ unit_lower.t()

    def _selective_rows(self) -> int:
        return self.state_size

    def _input_and_output(self, selective: Tensor) -> tuple[Tensor, Tensor]:
        return selective @ self.tie(), selective
