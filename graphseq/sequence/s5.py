"""S5 (Smith, Warrington & Linderman 2023, "Simplified State Space Layers for Sequence Modeling")."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from graphseq.scan import Ragged, last_states, linear_scan
from graphseq.sequence.discretise import Rule, zero_order_hold
from graphseq.sequence.filter import FilterLayer, FilterState
from graphseq.sequence.hippo import Diagonal, legs_normal
from graphseq.sequence.layer import SequenceLayer, log_uniform, positive


class S5(FilterLayer):
    r"""One diagonal state space model for all channels.

    .. math::
        \dot h = \Lambda h + \tilde B u, \qquad y = 2 \operatorname{Re}(\tilde C h)

    with a step size for each mode. :math:`\Lambda` starts as the eigenvalues of the normal part of HiPPO-LegS, one of
    each conjugate pair, in blocks; :math:`\tilde B = V^* B` and :math:`\tilde C = C V` with B and C normal, scaled by
    their number of columns. Episodes within a segment (Lu et al. 2023) are :func:`~graphseq.sequence.episodes`.

    Args:
        channels: width of input and output.
        state_size: number of modes over all blocks, counted with their conjugates.
        blocks: number of copies of a HiPPO matrix of size ``state_size / blocks``.
        discretise: :func:`~graphseq.sequence.zero_order_hold` or ``bilinear``.
        step_rescale: factor of all step sizes, for inputs that are sampled at another rate.
        clip_eigenvalues: keep the real parts of the eigenvalues at most -1e-4.
        dt_min: smallest initial step size.
        dt_max: largest initial step size.
        dropout: before the channels are mixed.

    Raises:
        ValueError: if ``blocks`` does not divide ``state_size``.

    Example:
        >>> S5(8, state_size=8, blocks=2)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    conjugates = 2

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 64,
        blocks: int = 1,
        discretise: Rule = zero_order_hold,
        step_rescale: float = 1.0,
        clip_eigenvalues: bool = False,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, dropout=dropout)
        positive(state_size=state_size, blocks=blocks)
        if state_size % blocks:
            raise ValueError(f"blocks must divide state_size = {state_size}, got {blocks}")
        self.state_size, self.blocks, self.discretise = state_size, blocks, discretise
        self.step_rescale, self.clip_eigenvalues = step_rescale, clip_eigenvalues
        self.dt_min, self.dt_max = dt_min, dt_max
        modes = blocks * self.basis(state_size // blocks).eigenvalues.shape[0]
        # Complex numbers as pairs, which optimisers and changes of precision know.
        self.Lambda = nn.Parameter(torch.empty(modes, 2))
        self.B = nn.Parameter(torch.empty(modes, channels, 2))
        self.C = nn.Parameter(torch.empty(channels, modes, 2))
        self.log_step = nn.Parameter(torch.empty(modes))
        for parameter in (self.Lambda, self.log_step):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def basis(self, size: int) -> Diagonal:
        """The eigenbasis of one block."""
        return legs_normal(size)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        size = self.state_size // self.blocks
        basis = self.basis(size)
        kind = basis.vectors.dtype
        B = torch.randn(self.blocks, size, self.channels).to(kind) * self.channels**-0.5
        C = torch.randn(self.channels, self.blocks, size).to(kind) * self.state_size**-0.5
        with torch.no_grad():
            self.Lambda.copy_(torch.view_as_real(basis.eigenvalues).repeat(self.blocks, 1))
            self.B.copy_(torch.view_as_real((basis.inverse @ B).flatten(0, 1)))
            self.C.copy_(torch.view_as_real((C @ basis.vectors).flatten(1)))
            self.log_step.copy_(log_uniform(self.log_step, self.dt_min, self.dt_max))

    def eigenvalues(self) -> Complex[Tensor, " modes"]:
        """The diagonal of the state matrix."""
        decay, frequency = self.Lambda.unbind(-1)
        return torch.complex(decay.clamp(max=-1e-4) if self.clip_eigenvalues else decay, frequency)

    def filter(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: FilterState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], FilterState | None]:
        """The equations above."""
        states = self._states(x, topology, None if state is None else state.values)
        y = self.conjugates * read_real(states, torch.view_as_complex(self.C))
        if state is None:
            return y, None
        return y, FilterState(last_states(states, topology, state.values))

    def _states(self, x: Tensor, topology: Ragged, initial: Tensor | None = None) -> Tensor:
        log_decay, factor = self.discretise(self.eigenvalues(), self.step_rescale * self.log_step.exp())
        source = write_complex(x, factor[:, None] * torch.view_as_complex(self.B))
        return linear_scan(log_decay.exp().expand_as(source), source, topology, initial=initial)

    def initial_state(self, streams: int) -> FilterState:
        """The state before the first token of each stream."""
        return FilterState(torch.view_as_complex(self.Lambda).new_zeros(streams, self.Lambda.shape[0]))

    def sizes(self) -> dict[str, Any]:
        return {"state_size": self.state_size, "blocks": self.blocks}


class BiS5(SequenceLayer):
    r"""S5 in both directions, :math:`y = 2 \operatorname{Re}(\tilde C_1 h^\to + \tilde C_2 h^\gets) + D u`.

    The directions share :math:`\Lambda`, :math:`\tilde B` and the step sizes, and read out by matrices of their own.

    Args:
        channels: width of input and output.
        s5: further arguments of :class:`S5`.

    Example:
        >>> BiS5(8, state_size=8)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, **s5: Any) -> None:
        super().__init__(channels)
        self.ahead = S5(channels, **s5)
        self.C_back = nn.Parameter(torch.empty_like(self.ahead.C))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.ahead.reset_parameters()
        drawn = self.ahead.C.detach().clone()
        self.ahead.reset_parameters()
        with torch.no_grad():
            self.C_back.copy_(drawn)

    def mix(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        """The equation above, then the nonlinearity of :class:`S5`."""
        return self.ahead.output(torch.addcmul(self.filter(x, topology), self.ahead.D, x))

    def filter(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        """The linear part, without skip."""
        ahead = read_real(self.ahead._states(x, topology), torch.view_as_complex(self.ahead.C))
        back = read_real(self.ahead._states(x, topology.reverse()), torch.view_as_complex(self.C_back))
        return self.ahead.conjugates * (ahead + back)

    def sizes(self) -> dict[str, Any]:
        return self.ahead.sizes()


def write_complex(
    x: Float[Tensor, "tokens channels"], B: Complex[Tensor, "modes channels"]
) -> Complex[Tensor, "tokens modes"]:
    """``B x`` of real inputs, without the products with their imaginary zeros."""
    weight = torch.view_as_real(B).transpose(1, 2).flatten(0, 1)
    return torch.view_as_complex((x @ weight.t()).unflatten(-1, (-1, 2)))


def read_real(
    h: Complex[Tensor, "tokens modes"], C: Complex[Tensor, "channels modes"]
) -> Float[Tensor, "tokens channels"]:
    """``Re(C h)``, without its imaginary part."""
    return torch.view_as_real(h).flatten(1) @ torch.view_as_real(C.conj().resolve_conj()).flatten(1).t()
