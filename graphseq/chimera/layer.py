"""The selective layer: steps, exchange, input and output vectors from the input of each cell."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import rms_norm, softplus

from graphseq.chimera.coupling import Coupling, MixCoupling, OneWayCoupling
from graphseq.chimera.poles import Poles, RealPoles
from graphseq.chimera.states import Link, States, Sweeps, selective_grid_ssm
from graphseq.sequence.layer import set_step_bias


class GridSSM(nn.Module):
    r"""Selective two-dimensional state space model over variates × time, causal in both (Behrouz et al. 2024).

    .. math::
        [p, B_1, B_2, C_1, C_2] &= W x, \qquad
        \Delta_i = \operatorname{softplus}(W_{\Delta_i} p + b_{\Delta_i}), \quad
        \theta_i = W_{\theta_i} p + b_{\theta_i} \\
        y &= \operatorname{grid\_ssm}\bigl(x, A(\Delta, \theta), B, C\bigr) + D x

    where each of the :math:`B` and :math:`C` is divided by its root mean square. Rates do not depend on the input. This
    normalisation, how the exchange depends on the input, and the ranges of the initial steps are ours.

    Args:
        channels: width of input and output.
        state_size: states a channel.
        coupling: how the two states feed each other; :class:`MixCoupling` if not given.
        poles: where the poles along time start; :class:`RealPoles` if not given. Those along variates are real, unless
            these are complex.
        states: the recurrence; :class:`Link` if not given.
        dt_range: initial steps along time are drawn between these, log-uniformly.
        rank: rank of the projections to steps and angles; ``channels / 16``, rounded up, if not given.
        exchange: share of a state that goes over to the other at the start, :math:`\sin^2\theta`.

    Raises:
        ValueError: if a size is below 1, or a range or share is impossible.

    Example:
        >>> GridSSM(8)(torch.randn(2, 3, 5, 8)).shape
        torch.Size([2, 3, 5, 8])
    """

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 8,
        coupling: Coupling | None = None,
        poles: Poles | None = None,
        states: States | None = None,
        dt_range: tuple[float, float] = (0.01, 0.25),
        rank: int | None = None,
        exchange: float = 0.05,
    ) -> None:
        super().__init__()
        for name, size in (("channels", channels), ("state_size", state_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if not 0 <= exchange < 1:
            raise ValueError(f"exchange must be in [0, 1), got {exchange}")
        self.channels, self.state_size, self.dt_range, self.exchange = channels, state_size, dt_range, exchange
        self.coupling, self.poles, self.states = coupling or MixCoupling(), poles or RealPoles(), states or Link()
        self.rank = rank or math.ceil(channels / 16)
        self.outputs = (4 if self.poles.complex else 2) * state_size
        self.x_proj = nn.Linear(channels, self.rank + 2 * state_size + self.outputs, bias=False)
        self.dt_proj = nn.Linear(self.rank, 2 * channels)
        self.theta_proj = nn.Linear(self.rank, 2 * channels)
        self.A_log = nn.Parameter(torch.empty(2, channels, state_size))
        self.frequency = nn.Parameter(torch.empty(2, channels, state_size)) if self.poles.complex else None
        self.D = nn.Parameter(torch.empty(channels))
        for parameter in (self.A_log, self.frequency, self.D, self.dt_proj.bias, self.theta_proj.bias):
            if parameter is not None:
                parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.x_proj.reset_parameters()
        for layer in (self.dt_proj, self.theta_proj):
            nn.init.uniform_(layer.weight, -(self.rank**-0.5), self.rank**-0.5)
        # One state is already what a bounded sum over a short axis needs: steps along variates start near 1/4.
        set_step_bias(self.dt_proj.bias[: self.channels], *self.dt_range)
        set_step_bias(self.dt_proj.bias[self.channels :], 0.1, 0.5)
        nn.init.zeros_(self.theta_proj.weight)
        nn.init.constant_(self.theta_proj.bias, math.asin(math.sqrt(self.exchange)))
        with torch.no_grad():
            for axis, steps in enumerate(softplus(self.dt_proj.bias).chunk(2)):
                log_rate, frequency = (self.poles if axis == 0 else RealPoles())(self.state_size, steps)
                self.A_log[axis].copy_(log_rate)
                if self.frequency is not None:
                    self.frequency[axis].copy_(torch.zeros_like(log_rate) if frequency is None else frequency)
            self.D.fill_(1)

    def forward(
        self,
        x: Float[Tensor, "batch variates time channels"],
        observed: Bool[Tensor, "batch variates time"] | None = None,
        gaps: Float[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch variates time channels"]:
        """The equations above.

        Args:
            x: input of each cell.
            observed: where false, the cell feeds nothing in; its states are those that its neighbours leave to it.
            gaps: time since the previous column, in units of the usual step: steps along time are multiplied by it.

        Raises:
            ValueError: if a shape does not fit.
        """
        self._check(x, observed, gaps)
        low_rank, B, C = self.x_proj(x).split([self.rank, 2 * self.state_size, self.outputs], dim=-1)
        delta, theta = _of_both(softplus(self.dt_proj(low_rank))), _of_both(self.theta_proj(low_rank))
        if gaps is not None:
            delta = torch.stack([delta[0] * gaps[:, None, :, None], delta[1]])
        B, C = _normalised(_of_both(B)), _normalised(_of_both(C))
        rate = -self.A_log.exp()
        if self.frequency is not None:
            rate, C = torch.complex(rate, self.frequency), torch.complex(*C.chunk(2, dim=-1))
        source = x if observed is None else x.masked_fill(~observed[..., None], 0)
        return selective_grid_ssm(source, rate, delta, theta, B, C, self.D, coupling=self.coupling, states=self.states)

    def _check(self, x: Tensor, observed: Tensor | None, gaps: Tensor | None) -> None:
        if x.dim() != 4 or x.shape[-1] != self.channels:
            raise ValueError(f"x must have shape [batch, variates, time, {self.channels}], got {list(x.shape)}")
        if observed is not None and observed.shape != x.shape[:3]:
            raise ValueError(f"observed must have shape {list(x.shape[:3])}, got {list(observed.shape)}")
        if gaps is not None and gaps.shape != (x.shape[0], x.shape[2]):
            raise ValueError(f"gaps must have shape {[x.shape[0], x.shape[2]]}, got {list(gaps.shape)}")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.channels}, state_size={self.state_size}, coupling={self.coupling!r}, "
            f"poles={self.poles!r}, states={self.states!r})"
        )


def _of_both(features: Tensor) -> Tensor:
    """``[…, 2 · size]`` with the two states as first axis, a view: the scan reads and writes them in this order."""
    return features.unflatten(-1, (2, -1)).movedim(-2, 0)


def _normalised(vectors: Tensor) -> Tensor:
    # Of size one from the start: otherwise states begin so small that for long only the skip D x is trained.
    return rms_norm(vectors, vectors.shape[-1:], eps=1e-5)


class SeparableGridSSM(GridSSM):
    """Along time, then along variates, with no way back: two batches of one-dimensional scans.

    Args:
        channels: width of input and output.
        options: arguments of :class:`GridSSM` other than ``coupling`` and ``states``.
    """

    def __init__(self, channels: int, **options: object) -> None:
        super().__init__(channels, coupling=OneWayCoupling(), states=Sweeps(1), **options)  # type: ignore[arg-type]


class BiGridSSM(nn.Module):
    r"""Both directions of the variates, one direction of time.

    .. math::
        y = \operatorname{ahead}(x) + \operatorname{flip}(\operatorname{back}(\operatorname{flip}(x)))

    Variates have no order of their own, yet a scan needs one. With both directions each variate reads all others. With
    ``tie`` the same module does both, and reversing the order of the variates reverses the result; another permutation
    still changes it.

    Args:
        channels: width of input and output.
        tie: one module for both directions.
        kind: the class of the module, :class:`GridSSM` or :class:`SeparableGridSSM`.
        options: its arguments.

    Example:
        >>> BiGridSSM(8)(torch.randn(2, 3, 5, 8)).shape
        torch.Size([2, 3, 5, 8])
    """

    def __init__(self, channels: int, *, tie: bool = False, kind: type[GridSSM] = GridSSM, **options: object) -> None:
        super().__init__()
        self.ahead = kind(channels, **options)  # type: ignore[arg-type]
        self.back = self.ahead if tie else kind(channels, **options)  # type: ignore[arg-type]

    def reset_parameters(self) -> None:
        self.ahead.reset_parameters()
        self.back.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "batch variates time channels"],
        observed: Bool[Tensor, "batch variates time"] | None = None,
        gaps: Float[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch variates time channels"]:
        """The equation above; arguments as for :class:`GridSSM`."""
        flipped = None if observed is None else observed.flip(1)
        return self.ahead(x, observed, gaps) + self.back(x.flip(1), flipped, gaps).flip(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.ahead!r}, tie={self.back is self.ahead})"
