"""S4D (Gu, Gupta, Goel & Ré 2022, "On the Parameterization and Initialization of Diagonal State Space Models")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from graphseq.scan import Ragged
from graphseq.sequence.diagonal import DiagonalSystem
from graphseq.sequence.discretise import Rule, zero_order_hold
from graphseq.sequence.filter import FilterLayer, FilterState, fft_conv, longest
from graphseq.sequence.hippo import lin
from graphseq.sequence.layer import log_uniform


class S4D(FilterLayer):
    r"""A diagonal state space model for each channel.

    .. math::
        \dot h = A h + B u, \quad y = 2 \operatorname{Re}(C^\top h), \quad A = -e^{A_{re}} + i A_{im}

    with a step size for each channel. Only one of each pair of conjugate modes is kept, hence the 2.

    Args:
        channels: width of input and output.
        state_size: number of modes :math:`N` counted with their conjugates, even.
        spectrum: the initial eigenvalues: :func:`~graphseq.sequence.lin`, ``inv``, ``real`` or ``legs_spectrum``.
        discretise: :func:`~graphseq.sequence.zero_order_hold` or ``bilinear``.
        by_scan: run the recurrence instead of the convolution, which gives the same; for short segments.
        dt_min: smallest initial step size.
        dt_max: largest initial step size.
        dropout: before the channels are mixed.

    Raises:
        ValueError: if ``state_size`` is odd.

    Example:
        >>> S4D(8, spectrum=inv, discretise=bilinear)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    conjugates = 2

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 64,
        spectrum: Callable[[int], Tensor] = lin,
        discretise: Rule = zero_order_hold,
        by_scan: bool = False,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, dropout=dropout)
        if state_size < 2 or state_size % 2:
            raise ValueError(f"state_size must be even and at least 2, got {state_size}")
        self.state_size, self.spectrum, self.discretise, self.by_scan = state_size, spectrum, discretise, by_scan
        self.dt_min, self.dt_max = dt_min, dt_max
        eigenvalues = spectrum(state_size)
        modes, self.oscillates = eigenvalues.shape[0], eigenvalues.is_complex()
        self.log_dt = nn.Parameter(torch.empty(channels))
        self.log_A_real = nn.Parameter(torch.empty(channels, modes))
        if self.oscillates:
            self.A_imag = nn.Parameter(torch.empty(channels, modes))
        # Complex numbers as pairs, which optimisers and changes of precision know.
        pair = (2,) if self.oscillates else ()
        self.B = nn.Parameter(torch.empty(channels, modes, *pair))
        self.C = nn.Parameter(torch.empty(channels, modes, *pair))
        for name in ("log_dt", "log_A_real", "A_imag"):
            if hasattr(self, name):
                getattr(self, name)._no_weight_decay = True
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        eigenvalues = self.spectrum(self.state_size)
        with torch.no_grad():
            self.log_dt.copy_(log_uniform(self.log_dt, self.dt_min, self.dt_max))
            self.log_A_real.copy_((-eigenvalues.real).log().expand_as(self.log_A_real))
            self.B.zero_()
            if self.oscillates:
                self.A_imag.copy_(eigenvalues.imag.expand_as(self.A_imag))
                self.B[..., 0] = 1
            else:
                self.B.fill_(1)
            # A complex normal number has unit variance in all.
            nn.init.normal_(self.C, std=0.5**0.5 if self.oscillates else 1)

    def eigenvalues(self) -> Inexact[Tensor, "channels modes"]:
        """A."""
        decay = -self.log_A_real.exp()
        return torch.complex(decay, self.A_imag) if self.oscillates else decay

    def system(self) -> DiagonalSystem:
        """The discrete system."""
        B, C = (torch.view_as_complex(part) if self.oscillates else part for part in (self.B, self.C))
        log_decay, factor = self.discretise(self.eigenvalues(), self.log_dt.exp()[:, None])
        return DiagonalSystem(log_decay, factor * B, self.conjugates * C)

    def filter(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: FilterState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], FilterState | None]:
        """As a convolution, or as a scan where a state goes in."""
        system = self.system()
        if state is None and not self.by_scan:
            return fft_conv(system.kernel(longest(topology)), x, topology), None
        y, modes = system.scan(x, topology, None if state is None else state.values)
        return y, None if state is None else FilterState(modes)

    def initial_state(self, streams: int) -> FilterState:
        """The state before the first token of each stream."""
        source = self.system().source
        return FilterState(source.new_zeros(streams, *source.shape))

    def sizes(self) -> dict[str, Any]:
        return {"state_size": self.state_size, "spectrum": getattr(self.spectrum, "__name__", self.spectrum)}
