"""Mamba-1 (Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling") and its bidirectional form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphseq.scan import Ragged, selective_scan
from graphseq.sequence.conv import CausalConv
from graphseq.sequence.layer import SequenceLayer, StreamingLayer, inner_width, positive, set_step_bias


class MambaState(NamedTuple):
    """What a stream carries from token to token, one row a stream."""

    conv: Float[Tensor, "streams inner past"]
    ssm: Float[Tensor, "streams inner state"]


class Mamba(StreamingLayer):
    r"""Mamba-1 block, without norm and residual.

    .. math::
        [a, z] &= W_{in} x, \quad a \leftarrow \operatorname{silu}(\operatorname{conv}(a)) \\
        [p, B, C] &= W_x a, \quad \Delta = \operatorname{softplus}(W_\Delta p + b_\Delta), \quad A = -e^{A_{log}} \\
        y &= W_{out} \bigl(\operatorname{scan}(a, \Delta, A, B, C, D) \odot \operatorname{silu}(z)\bigr)

    Parameters have the names and shapes of ``mamba_ssm.Mamba``: its state dict loads unchanged. ``A_log``, ``D`` and
    ``dt_proj.bias`` are marked ``_no_weight_decay``.

    Args:
        channels: width of input and output.
        state_size: states per inner channel.
        conv_size: taps of the causal convolution.
        expand: inner width over ``channels``; less than 1 scans fewer channels than come in.
        dt_rank: rank of the step-size projection; ``channels / 16``, rounded up, if not given.
        dt_min: smallest initial step size.
        dt_max: largest initial step size.
        bias: whether the two outer projections have a bias.

    Example:
        >>> Mamba(8)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 16,
        conv_size: int = 4,
        expand: int | float = 2,
        dt_rank: int | None = None,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        bias: bool = False,
    ) -> None:
        super().__init__(channels)
        positive(state_size=state_size, conv_size=conv_size)
        self.state_size, self.conv_size, self.expand = state_size, conv_size, expand
        self.dt_rank = dt_rank or math.ceil(channels / 16)
        self.dt_min, self.dt_max = dt_min, dt_max
        inner = inner_width(channels, expand)
        self.in_proj = nn.Linear(channels, 2 * inner, bias=bias)
        self.conv1d = CausalConv(inner, conv_size, silu=True)
        self.x_proj = nn.Linear(inner, self.dt_rank + self._selective_rows(), bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, inner)
        self.A_log = nn.Parameter(torch.empty(inner, state_size))
        self.D = nn.Parameter(torch.empty(inner))
        self.out_proj = nn.Linear(inner, channels, bias=bias)
        for parameter in (self.A_log, self.D, self.dt_proj.bias):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.in_proj, self.conv1d, self.x_proj, self.out_proj):
            layer.reset_parameters()
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        set_step_bias(self.dt_proj.bias, self.dt_min, self.dt_max)
        with torch.no_grad():
            rates = torch.arange(1, self.state_size + 1, dtype=self.A_log.dtype, device=self.A_log.device)
            self.A_log.copy_(rates.log().expand_as(self.A_log))
            self.D.fill_(1)

    def run(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: MambaState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], MambaState | None]:
        """The equations above, each segment causally."""
        conv, ssm = (None, None) if state is None else state
        a, z = self.in_proj(x).chunk(2, dim=-1)
        a, conv = self.conv1d(a, topology, conv)
        y, ssm = self._scan(a, z, topology, ssm)
        return self.out_proj(y), None if conv is None else MambaState(conv, ssm)

    def _scan(self, a: Tensor, z: Tensor, topology: Ragged, initial: Tensor | None = None) -> tuple[Tensor, Tensor]:
        delta, A, B, C = self.selected(a)
        return self._recurrence(  # type: ignore[return-value]
            a,
            delta,
            A,
            B,
            C,
            self.D,
            z,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            topology=topology,
            initial=initial,
            return_last=True,
        )

    def selected(self, a: Float[Tensor, "tokens inner"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Step sizes before bias and softplus, A, and what is selected by each token: B and C."""
        low_rank, selective = self.x_proj(a).tensor_split([self.dt_rank], dim=-1)
        A_log = self.A_log.float() if self.A_log.dtype in (torch.float16, torch.bfloat16) else self.A_log
        return low_rank @ self.dt_proj.weight.t(), -torch.exp(A_log), *self._input_and_output(selective)

    # What the variants in files of their own replace.
    _recurrence = staticmethod(selective_scan)

    @staticmethod
    def decay(exponent: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        r"""What a state is multiplied by, of :math:`\Delta A`."""
        return torch.exp(exponent)

    def _selective_rows(self) -> int:
        return 2 * self.state_size

    def _input_and_output(self, selective: Tensor) -> tuple[Tensor, Tensor]:
        """B and C from what ``x_proj`` gives beside the step size."""
        B, C = selective.chunk(2, dim=-1)
        return B, C

    def initial_state(self, streams: int) -> MambaState:
        """The state before the first token of each stream."""
        return MambaState(self.conv1d.no_past(streams), self.A_log.new_zeros(streams, *self.A_log.shape))

    def sizes(self) -> dict[str, Any]:
        return {"state_size": self.state_size, "conv_size": self.conv_size, "expand": self.expand}


class BiMamba(SequenceLayer):
    r"""Two Mamba blocks, one for each direction, under one output projection.

    .. math::
        y = \gamma \, W_{out}
        \bigl(\overrightarrow{\operatorname{Mamba}}(x) + \overleftarrow{\operatorname{Mamba}}(x)\bigr)

    The backward block runs each segment from its end, convolution and all, so that no padding exists that could leak
    (Algorithm 2 of Behrouz & Hashemi 2024, "Graph Mamba"). The paper leaves open whether the directions share
    :math:`A`; here they do on request.

    Args:
        channels: width of input and output.
        share_A: one ``A_log`` for both directions.
        block: what makes each of the two, called as ``block(channels, **mamba)``; :class:`Mamba2`, for instance.
        scale: :math:`\gamma`; 1/2 keeps the size of the sum that of one direction.
        mamba: further arguments of ``block``.
    """

    def __init__(
        self,
        channels: int,
        *,
        share_A: bool = False,
        scale: float = 1.0,
        block: Callable[..., SequenceLayer] = Mamba,
        **mamba: int | float | bool,
    ) -> None:
        super().__init__(channels)
        self.scale = scale
        self.ahead = block(channels, **mamba)
        self.back = block(channels, **mamba)
        if share_A:
            self.back.A_log = self.ahead.A_log
        self.out_proj = nn.Linear(channels, channels)

    def reset_parameters(self) -> None:
        for layer in (self.ahead, self.back, self.out_proj):
            reset(layer)

    def mix(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        """The equation above."""
        both = self.ahead(x, topology) + self.back(x, topology.reverse())
        return self.scale * self.out_proj(both)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, ahead={self.ahead}, scale={self.scale})"
