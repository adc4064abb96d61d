"""Mamba whose eigenvalues reach below zero (Grazzi et al. 2025, "Unlocking State-Tracking in Linear RNNs")."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu, softplus

from graphseq.scan import Ragged, last_states, linear_scan
from graphseq.sequence.mamba import Mamba


class SignedMamba(Mamba):
    r"""Mamba with eigenvalues in [-1, 1] instead of [0, 1].

    .. math::
        h_t = (2 e^{\Delta_t A} - 1) \odot h_{t-1} + \Delta_t u_t B_t

    and everything else as in :class:`Mamba`, whose arguments it takes. With eigenvalues in [0, 1] no finite precision
    suffices to track parity; with -1 it needs one state.

    Example:
        >>> SignedMamba(8)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])

    Cost: the states of all tokens are held in memory, inner width times ``state_size`` numbers a token.
    """

    @staticmethod
    def decay(exponent: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        r"""What a state is multiplied by, of :math:`\Delta A`."""
        # Near one as 1 + 2 (e^x - 1), which does not cancel.
        return 1 + 2 * torch.expm1(exponent)

    def _recurrence(  # type: ignore[override]
        self,
        u: Float[Tensor, "T d"],
        delta: Float[Tensor, "T d"],
        A: Float[Tensor, "d n"],
        B: Float[Tensor, "T n"],
        C: Float[Tensor, "T n"],
        D: Float[Tensor, " d"],
        z: Float[Tensor, "T d"],
        *,
        delta_bias: Float[Tensor, " d"],
        delta_softplus: bool,
        topology: Ragged,
        initial: Float[Tensor, "segments d n"] | None,
        return_last: bool,
    ) -> tuple[Tensor, Tensor]:
        delta = softplus(delta + delta_bias)
        source = (delta * u)[..., None] * B[:, None]
        states = linear_scan(self.decay(delta[..., None] * A), source, topology, initial=initial)
        y = torch.einsum("tdn,tn->td", states, C) + D * u
        return y * silu(z), last_states(states, topology, initial)
