"""Mamba-2 (Dao & Gu 2024, "Transformers are SSMs")."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from graphseq.scan import Ragged, selective_scan
from graphseq.sequence.conv import CausalConv
from graphseq.sequence.layer import StreamingLayer, inner_width, positive, set_step_bias


class Mamba2State(NamedTuple):
    """What a stream carries from token to token, one row a stream."""

    conv: Float[Tensor, "streams convolved past"]
    ssm: Float[Tensor, "streams inner state"]


class Mamba2(StreamingLayer):
    r"""Mamba-2 block, without outer norm and residual: one decay a head.

    .. math::
        [z, x, B, C, \Delta] &= W_{in} u, \quad
        [x, B, C] \leftarrow \operatorname{silu}(\operatorname{conv}([x, B, C])) \\
        \Delta &= \operatorname{softplus}(\Delta + b_\Delta), \quad
        S_t = e^{\Delta_t a} S_{t-1} + \Delta_t x_t B_t^\top, \quad o_t = S_t C_t + D x_t \\
        y &= W_{out} \operatorname{RMSNorm}(o \odot \operatorname{silu}(z))

    Parameters have the names and shapes of the "simple" Mamba-2 module of ``mamba_ssm``.

    Args:
        channels: width of input and output.
        state_size: columns of a head's state.
        conv_size: taps of the causal convolution.
        expand: inner width over ``channels``; less than 1 scans fewer channels than come in.
        head_size: rows of a head's state; must divide the inner width.
        groups: number of projections B and C; must divide the number of heads.
        dt_min: smallest initial step size.
        dt_max: largest initial step size.
        norm_eps: of the gated norm.

    Raises:
        ValueError: if ``head_size`` does not divide the inner width, or ``groups`` the number of heads.
    """

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 64,
        conv_size: int = 4,
        expand: int | float = 2,
        head_size: int = 64,
        groups: int = 1,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__(channels)
        positive(state_size=state_size, conv_size=conv_size, head_size=head_size, groups=groups)
        inner = inner_width(channels, expand)
        if inner % head_size:
            raise ValueError(f"head_size must divide expand * channels = {inner}, got {head_size}")
        self.heads = inner // head_size
        if self.heads % groups:
            raise ValueError(f"groups must divide the number of heads ({self.heads}), got {groups}")
        self.inner, self.state_size, self.head_size = inner, state_size, head_size
        self.groups = groups
        self.dt_min, self.dt_max = dt_min, dt_max
        convolved = inner + 2 * groups * state_size
        self.in_proj = nn.Linear(channels, inner + convolved + self.heads, bias=False)
        self.conv1d = CausalConv(convolved, conv_size, silu=True)
        self.dt_bias = nn.Parameter(torch.empty(self.heads))
        self.A_log = nn.Parameter(torch.empty(self.heads))
        self.D = nn.Parameter(torch.empty(self.heads))
        self.norm = nn.RMSNorm(inner, eps=norm_eps)
        self.out_proj = nn.Linear(inner, channels, bias=False)
        for parameter in (self.A_log, self.D, self.dt_bias):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.in_proj, self.conv1d, self.norm, self.out_proj):
            layer.reset_parameters()
        set_step_bias(self.dt_bias, self.dt_min, self.dt_max)
        with torch.no_grad():
            self.A_log.copy_(torch.empty_like(self.A_log).uniform_(1, 16).log())
            self.D.fill_(1)

    def run(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: Mamba2State | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], Mamba2State | None]:
        """The equations above, each segment causally."""
        conv, ssm = (None, None) if state is None else state
        (z, a, B, C, dt), conv = self.selected(x, topology, conv)

        def per_channel(values: Tensor) -> Tensor:
            return values.repeat_interleave(self.head_size, dim=-1)

        scanned, ssm = selective_scan(
            a,
            per_channel(dt),
            -per_channel(torch.exp(self.A_log))[:, None].expand(-1, self.state_size),
            B,
            C,
            per_channel(self.D),
            delta_bias=per_channel(self.dt_bias),
            delta_softplus=True,
            topology=topology,
            initial=ssm,
            return_last=True,
        )
        return self.out_proj(self.norm(scanned * silu(z))), None if conv is None else Mamba2State(conv, ssm)

    def selected(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, conv: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor | None]:
        """Gate, what enters the scan, B and C of each group, and step sizes before bias and softplus; then the past."""
        projected = self.groups * self.state_size
        z, xBC, dt = self.in_proj(x).split([self.inner, self.inner + 2 * projected, self.heads], dim=-1)
        xBC, conv = self.conv1d(xBC, topology, conv)
        a, B, C = xBC.split([self.inner, projected, projected], dim=-1)
        B, C = (part.unflatten(-1, (self.groups, self.state_size)) for part in (B, C))
        return (z, a, B, C, dt), conv

    def initial_state(self, streams: int) -> Mamba2State:
        """The state before the first token of each stream."""
        return Mamba2State(self.conv1d.no_past(streams), self.A_log.new_zeros(streams, self.inner, self.state_size))

    def sizes(self) -> dict[str, Any]:
        return {"state_size": self.state_size, "heads": self.heads}
