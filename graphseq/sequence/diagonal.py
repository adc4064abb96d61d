"""Diagonal systems with one input and one output a channel: as a kernel, and as a recurrence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from graphseq.scan import Ragged, last_states, linear_scan

# Powers come as products of a coarse and a fine one, so that a kernel of L taps is a matrix product instead of
# L exponentials a mode.
_FINE = 64


class DiagonalSystem(NamedTuple):
    r"""For each channel :math:`h_t = e^{a} \odot h_{t-1} + b \, u_t`, :math:`y_t = \operatorname{Re}(c^\top h_t)`."""

    log_decay: Inexact[Tensor, "channels modes"]
    source: Inexact[Tensor, "channels modes"]
    output: Inexact[Tensor, "channels modes"]

    def kernel(self, taps: int) -> Float[Tensor, "channels taps"]:
        r"""Impulse response, :math:`K_l = \operatorname{Re} \sum_n c_n b_n e^{a_n l}`."""
        fine = torch.arange(min(_FINE, taps), device=self.log_decay.device)
        coarse = _FINE * torch.arange(-(-taps // _FINE), device=self.log_decay.device)
        left = (self.output * self.source)[:, None] * torch.exp(coarse[:, None] * self.log_decay[:, None])
        right = torch.exp(self.log_decay[..., None] * fine)
        return _real_product(left, right).flatten(1)[:, :taps]

    def scan(
        self, u: Float[Tensor, "tokens channels"], topology: Ragged, initial: Tensor | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], Inexact[Tensor, "segments channels modes"]]:
        """The recurrence, and the state after each segment; holds the states of all tokens."""
        source = self.source * u[..., None]
        decay = torch.exp(self.log_decay)
        # Of a real system the decay is real, though its logarithm is not where it is negative.
        decay = decay if source.is_complex() else decay.real
        states = linear_scan(decay.expand_as(source), source, topology, initial=initial)
        y = torch.einsum("thn,hn->th", states, self.output.to(states.dtype))
        return (y.real if y.is_complex() else y), last_states(states, topology, initial)


def _real_product(left: Tensor, right: Tensor) -> Tensor:
    """``Re(left @ right)``, without its imaginary part."""
    if not left.is_complex():
        return left @ right
    return left.real @ right.real - left.imag @ right.imag
