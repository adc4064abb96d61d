"""The linear recurrent unit (Orvieto et al. 2023, "Resurrecting Recurrent Neural Networks for Long Sequences")."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from graphseq.scan import Ragged, last_states, linear_scan
from graphseq.sequence.filter import FilterLayer, FilterState
from graphseq.sequence.layer import positive
from graphseq.sequence.s5 import read_real, write_complex


class LRU(FilterLayer):
    r"""A diagonal complex recurrence in discrete time, stable by its parametrisation.

    .. math::
        h_t = \lambda \odot h_{t-1} + \gamma \odot B u_t, \quad y_t = \operatorname{Re}(C h_t), \quad
        \lambda = \exp(-e^\nu + i e^\theta)

    :math:`\lambda` starts uniform on the ring between ``r_min`` and ``r_max``, up to ``max_phase``, and
    :math:`\log \gamma` is learnt from :math:`\gamma = \sqrt{1 - |\lambda|^2}`, which keeps the size of the input.

    Args:
        channels: width of input and output.
        state_size: number of modes.
        r_min: smallest initial modulus.
        r_max: largest initial modulus.
        max_phase: largest initial phase.
        dropout: before the channels are mixed.

    Raises:
        ValueError: if not 0 <= ``r_min`` < ``r_max`` <= 1.

    Example:
        >>> LRU(8, state_size=4)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 64,
        r_min: float = 0.4,
        r_max: float = 0.99,
        max_phase: float = 2 * math.pi,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, dropout=dropout)
        positive(state_size=state_size)
        if not 0 <= r_min < r_max <= 1:
            raise ValueError(f"r_min and r_max must satisfy 0 <= r_min < r_max <= 1, got {r_min} and {r_max}")
        self.state_size, self.r_min, self.r_max, self.max_phase = state_size, r_min, r_max, max_phase
        self.nu = nn.Parameter(torch.empty(state_size))
        self.theta = nn.Parameter(torch.empty(state_size))
        self.log_gamma = nn.Parameter(torch.empty(state_size))
        self.B = nn.Parameter(torch.empty(state_size, channels, 2))
        self.C = nn.Parameter(torch.empty(channels, state_size, 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            # Uniform in area: the square of the modulus is uniform. Neither 0 nor 1, whose logarithms are infinite.
            square = torch.rand_like(self.nu) * (self.r_max**2 - self.r_min**2) + self.r_min**2
            square = square.clamp(1e-12, 1 - 1e-7)
            self.nu.copy_((-square.log() / 2).log())
            self.theta.copy_((self.max_phase * torch.rand_like(self.theta).clamp(min=1e-7)).log())
            self.log_gamma.copy_((1 - square).log() / 2)
            nn.init.normal_(self.B, std=(2 * self.channels) ** -0.5)
            nn.init.normal_(self.C, std=self.state_size**-0.5)

    def eigenvalues(self) -> Complex[Tensor, " modes"]:
        """λ."""
        return torch.polar(torch.exp(-self.nu.exp()), self.theta.exp())

    def filter(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: FilterState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], FilterState | None]:
        """The equations above."""
        initial = None if state is None else state.values
        source = write_complex(x, self.log_gamma.exp()[:, None] * torch.view_as_complex(self.B))
        states = linear_scan(self.eigenvalues().expand_as(source), source, topology, initial=initial)
        y = read_real(states, torch.view_as_complex(self.C))
        return y, None if state is None else FilterState(last_states(states, topology, initial))

    def initial_state(self, streams: int) -> FilterState:
        """The state before the first token of each stream."""
        return FilterState(self.eigenvalues().detach().new_zeros(streams, self.state_size))

    def sizes(self) -> dict[str, Any]:
        return {"state_size": self.state_size}
