"""DSS (Gupta, Gu & Berant 2022, "Diagonal State Spaces are as Effective as Structured State Spaces")."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from graphseq.scan import Ragged
from graphseq.sequence.diagonal import DiagonalSystem
from graphseq.sequence.filter import FilterLayer, FilterState, fft_conv, longest
from graphseq.sequence.hippo import legs_spectrum
from graphseq.sequence.layer import log_uniform


class DSS(FilterLayer):
    r"""Diagonal state spaces whose eigenvalues all channels share; subclasses fix the kernel.

    Eigenvalues start as those of the normal part of HiPPO-LegS with positive imaginary part; :math:`W` is complex
    normal. The step size is one a channel.

    Args:
        channels: width of input and output.
        state_size: number of modes :math:`N`.
        dt_min: smallest initial step size.
        dt_max: largest initial step size.
        dropout: before the channels are mixed.
    """

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 64,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, dropout=dropout)
        self.state_size, self.dt_min, self.dt_max = state_size, dt_min, dt_max
        self.log_dt = nn.Parameter(torch.empty(channels))
        self.Lambda = nn.Parameter(torch.empty(state_size, 2))
        self.W = nn.Parameter(torch.empty(channels, state_size, 2))
        for parameter in (self.log_dt, self.Lambda):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.log_dt.copy_(log_uniform(self.log_dt, self.dt_min, self.dt_max))
            self.Lambda.copy_(torch.view_as_real(legs_spectrum(2 * self.state_size)))
            nn.init.normal_(self.W, std=0.5**0.5)

    def eigenvalues(self) -> Complex[Tensor, " modes"]:
        """Λ."""
        return torch.view_as_complex(self.Lambda)

    def gain(self, log_decay: Complex[Tensor, "channels modes"]) -> Complex[Tensor, "channels modes"]:
        r"""What :math:`W e^{l \Delta \Lambda}` is multiplied by in the kernel."""
        raise NotImplementedError

    def system(self) -> DiagonalSystem:
        """The discrete system."""
        log_decay = self.log_dt.exp()[:, None] * self.eigenvalues()
        return DiagonalSystem(log_decay, self.gain(log_decay), torch.view_as_complex(self.W))

    def filter(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: FilterState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], FilterState | None]:
        """As a convolution, or as a scan where a state goes in."""
        system = self.system()
        if state is None:
            return fft_conv(system.kernel(longest(topology)), x, topology), None
        y, modes = system.scan(x, topology, state.values)
        return y, FilterState(modes)

    def initial_state(self, streams: int) -> FilterState:
        """The state before the first token of each stream."""
        W = torch.view_as_complex(self.W)
        return FilterState(W.new_zeros(streams, *W.shape))

    def sizes(self) -> dict[str, Any]:
        return {"state_size": self.state_size}


class DSSExp(DSS):
    r"""DSS with eigenvalues that decay by their parametrisation.

    .. math::
        K_l = \operatorname{Re} \sum_n W_n \frac{e^{\Delta \Lambda_n} - 1}{\Lambda_n} e^{l \Delta \Lambda_n},
        \qquad \Lambda = -e^{\Lambda_{re}} + i \Lambda_{im}

    Args:
        channels, state_size, dt_min, dt_max, dropout: as for :class:`DSS`.

    Example:
        >>> DSSExp(8, state_size=4)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, **dss: Any) -> None:
        super().__init__(channels, **dss)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.Lambda[:, 0] = (-self.Lambda[:, 0]).log()

    def eigenvalues(self) -> Complex[Tensor, " modes"]:
        real, imaginary = self.Lambda.unbind(-1)
        return torch.complex(-real.exp(), imaginary)

    def gain(self, log_decay: Complex[Tensor, "channels modes"]) -> Complex[Tensor, "channels modes"]:
        return torch.expm1(log_decay) / self.eigenvalues()


class DSSSoftmax(DSS):
    r"""DSS with a kernel normalised over its length, so that eigenvalues may grow as well as decay.

    .. math::
        K_l = \operatorname{Re} \sum_n \frac{W_n}{\Lambda_n}
        \frac{e^{l \Delta \Lambda_n}}{\sum_{r < L} e^{r \Delta \Lambda_n}}

    A mode that grows is written as one that starts at :math:`e^{-(L-1) \Delta \Lambda}`, and divisions are guarded as
    :math:`\bar x / (|x|^2 + 10^{-7})`. Here :math:`L` is fixed, where the paper takes the length of each input: only
    then is the layer the same for all lengths, and a stream. Beyond :math:`L` tokens a growing mode goes on growing.

    Args:
        channels: width of input and output.
        length: :math:`L`.
        dss: ``state_size``, ``dt_min``, ``dt_max`` and ``dropout`` as for :class:`DSS`.

    Example:
        >>> DSSSoftmax(8, length=16, state_size=4)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, *, length: int = 1024, **dss: Any) -> None:
        super().__init__(channels, **dss)
        self.length = length
        self.reset_parameters()

    def gain(self, log_decay: Complex[Tensor, "channels modes"]) -> Complex[Tensor, "channels modes"]:
        # A growing mode times e^{-(L-1) x} above and below: then no exponent has a positive real part.
        grows = log_decay.real > 0
        shrinking = torch.where(grows, -log_decay, log_decay)
        start = torch.where(grows, torch.exp((self.length - 1) * shrinking), 1)
        # Summed from either end, the powers of a mode are those of its inverse.
        normaliser = torch.expm1(self.length * shrinking)
        return start * torch.expm1(shrinking) * _reciprocal(normaliser) * _reciprocal(self.eigenvalues())

    def sizes(self) -> dict[str, Any]:
        return {**super().sizes(), "length": self.length}


def _reciprocal(x: Tensor) -> Tensor:
    return x.conj() / (x.abs().square() + 1e-7)
