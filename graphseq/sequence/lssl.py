"""Linear state space layers (Gu et al. 2021, "Combining Recurrent, Convolutional, and Continuous-time Models")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.scan import Ragged
from graphseq.sequence.filter import FilterLayer, FilterState, fft_conv, longest
from graphseq.sequence.hippo import legs
from graphseq.sequence.layer import log_uniform
from graphseq.sequence.padding import unpad


class LSSL(FilterLayer):
    r"""A dense state matrix, discretised for each channel by a step size of its own.

    .. math::
        \bar A = (I - \alpha \Delta A)^{-1} (I + (1 - \alpha) \Delta A), \quad
        \bar B = \Delta (I - \alpha \Delta A)^{-1} B, \quad h_t = \bar A h_{t-1} + \bar B u_t, \quad y_t = C h_t

    A convolution with :math:`C \bar A^l \bar B`; the powers come by doubling, in as many products as the length has
    bits. All matrices are solved for, never inverted. A and B are learnt.

    Args:
        channels: width of input and output.
        state_size: size of A; the cost grows with its square, so small.
        measure: A and B: :func:`~graphseq.sequence.legs` or ``legt``.
        alpha: 0 is Euler's rule, 1/2 the trapezoid rule, 1 the backward Euler rule.
        dt_min: smallest initial step size.
        dt_max: largest initial step size.
        dropout: before the channels are mixed.

    Raises:
        ValueError: if ``alpha`` is not in [0, 1].

    Example:
        >>> LSSL(8, state_size=4, measure=legt)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])

    Cost: memory for ``channels * state_size`` numbers a token of the longest segment; a stream pays the solve at every
    step.
    """

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 16,
        measure: Callable[[int], tuple[Tensor, Tensor]] = legs,
        alpha: float = 0.5,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, dropout=dropout)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha}")
        self.state_size, self.measure, self.alpha = state_size, measure, alpha
        self.dt_min, self.dt_max = dt_min, dt_max
        self.A = nn.Parameter(torch.empty(state_size, state_size))
        self.B = nn.Parameter(torch.empty(state_size))
        self.C = nn.Parameter(torch.empty(channels, state_size))
        self.log_dt = nn.Parameter(torch.empty(channels))
        for parameter in (self.A, self.B, self.log_dt):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        A, B = self.measure(self.state_size)
        with torch.no_grad():
            self.A.copy_(A)
            self.B.copy_(B)
            nn.init.normal_(self.C, std=self.state_size**-0.5)
            self.log_dt.copy_(log_uniform(self.log_dt, self.dt_min, self.dt_max))

    def discrete(self) -> tuple[Float[Tensor, "channels n n"], Float[Tensor, "channels n"]]:
        r""":math:`\bar A` and :math:`\bar B` of each channel."""
        scaled = self.log_dt.exp()[:, None, None] * self.A
        identity = torch.eye(self.state_size, dtype=scaled.dtype, device=scaled.device)
        right = torch.cat(
            [identity + (1 - self.alpha) * scaled, self.log_dt.exp()[:, None, None] * self.B[:, None]], dim=-1
        )
        solved = torch.linalg.solve(identity - self.alpha * scaled, right)
        return solved[..., :-1], solved[..., -1]

    def filter(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: FilterState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], FilterState | None]:
        """A convolution of what comes in and, with a state, what is left of it."""
        A, B = self.discrete()
        length = longest(topology)
        if length == 0:
            return x, state
        written = krylov(A, B, length)
        y = fft_conv(torch.einsum("cln,cn->cl", written, self.C), x, topology)
        if state is None:
            return y, None
        # After l tokens the old state has been multiplied by A l times; and by then token j by A l - 1 - j times.
        left = krylov(A.transpose(1, 2), torch.einsum("cmn,cm->cn", A, self.C), length)
        old = torch.einsum("cln,scn->slc", left, state.values)
        powers = _powers(A, topology.lengths)
        age = (topology.lengths[topology.segment] - 1 - topology.position).clamp(min=0)
        new = torch.zeros_like(state.values).index_add(
            0, topology.segment, written[:, age].transpose(0, 1) * x[..., None]
        )
        return y + unpad(old, topology), FilterState(torch.einsum("scmn,scn->scm", powers, state.values) + new)

    def initial_state(self, streams: int) -> FilterState:
        """The state before the first token of each stream."""
        return FilterState(self.A.new_zeros(streams, self.channels, self.state_size))

    def sizes(self) -> dict[str, Any]:
        return {"state_size": self.state_size, "measure": self.measure.__name__}


def krylov(
    A: Float[Tensor, "channels n n"], b: Float[Tensor, "channels n"], length: int
) -> Float[Tensor, "channels length n"]:
    r""":math:`A^l b` for all l below ``length``, by doubling."""
    vectors, power = b[:, None], A
    while vectors.shape[1] < length:
        vectors = torch.cat([vectors, vectors @ power.transpose(1, 2)], dim=1)
        power = power @ power
    return vectors[:, :length]


def _powers(A: Tensor, exponents: Tensor) -> Tensor:
    """``A`` to each of the exponents, by their bits, ``[exponents, channels, n, n]``."""
    result = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device).expand(exponents.shape[0], *A.shape)
    square, rest = A, exponents
    while bool((rest > 0).any()):
        result = torch.where((rest % 2 == 1).view(-1, 1, 1, 1), square @ result, result)
        square, rest = square @ square, rest // 2
    return result
