"""TSM2, MambaMixer for time series (Behrouz, Santacatterina & Zabih 2024): selection along time, then variates."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad, silu
from torch_geometric.nn.inits import reset

from graphseq.chimera.check import check_series
from graphseq.chimera.normalise import WindowNorm
from graphseq.scan import Ragged, selective_scan
from graphseq.sequence.conv import CausalConv
from graphseq.sequence.layer import set_step_bias


class SelectiveSSM(nn.Module):
    r"""The selective state space model behind a projection and a convolution (Gu & Dao 2023), without its gate.

    .. math::
        a = \operatorname{silu}(\operatorname{conv}(W x)), \qquad
        [\Delta, B, C] = W_x a, \qquad y = \operatorname{scan}(a, \operatorname{softplus}(\Delta + b), A, B, C, D)

    Args:
        channels: width of the input.
        inner: width of the output.
        state_size: states a channel.
        conv_size: taps of the convolution.
    """

    def __init__(self, channels: int, inner: int, *, state_size: int = 16, conv_size: int = 4) -> None:
        super().__init__()
        self.state_size = state_size
        self.in_proj = nn.Linear(channels, inner)
        self.conv1d = CausalConv(inner, conv_size)
        self.x_proj = nn.Linear(inner, inner + 2 * state_size, bias=False)
        self.dt_bias = nn.Parameter(torch.empty(inner))
        self.A_log = nn.Parameter(torch.empty(inner, state_size))
        self.D = nn.Parameter(torch.empty(inner))
        for parameter in (self.dt_bias, self.A_log, self.D):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.in_proj, self.conv1d, self.x_proj):
            layer.reset_parameters()
        set_step_bias(self.dt_bias, 1e-2, 0.25)
        with torch.no_grad():
            self.A_log.copy_(torch.arange(1, self.state_size + 1).log().expand_as(self.A_log))
            self.D.fill_(1)

    def forward(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens inner"]:
        """The equations above, in the direction of ``topology``."""
        a = silu(self.conv1d(self.in_proj(x), topology)[0])
        delta, B, C = self.x_proj(a).split([a.shape[1], self.state_size, self.state_size], dim=-1)
        return selective_scan(  # type: ignore[return-value]
            a, delta, -self.A_log.exp(), B, C, self.D,
            delta_bias=self.dt_bias, delta_softplus=True, topology=topology,
        )  # fmt: skip


class TimeMixer(nn.Module):
    r"""Selection of tokens, :math:`x + W_{out}(\operatorname{SSM}(n) \odot \operatorname{silu}(W_g n))` with
    :math:`n = \operatorname{norm}(x)`: each variate is a sequence of its own, read causally.

    Args:
        channels: width.
        expand: inner width over ``channels``.
        state_size: states a channel.
        dropout: on what is added.
    """

    directions = 1

    def __init__(self, channels: int, *, expand: int = 2, state_size: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        inner = expand * channels
        # Over time and variates at once, the "2-D normalisation" of the paper.
        self.norm = nn.InstanceNorm2d(channels, affine=True)
        self.models = nn.ModuleList(
            SelectiveSSM(channels, inner, state_size=state_size) for _ in range(self.directions)
        )
        self.gate = nn.Linear(channels, inner)
        self.out_proj = nn.Linear(inner, channels)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        for layer in self.children():
            reset(layer)

    def forward(
        self, x: Float[Tensor, "batch variates time channels"]
    ) -> Float[Tensor, "batch variates time channels"]:
        """The equation above."""
        return x + self.dropout(self._mixed(self.norm(x.movedim(-1, 1)).movedim(1, -1)))

    def _mixed(self, normal: Tensor) -> Tensor:
        lines = normal.flatten(0, 2)
        along = Ragged.equal(normal.shape[0] * normal.shape[1], normal.shape[2], normal.device)
        topologies = (along, along.reverse())
        # One gate for all directions.
        h = sum(model(lines, way) for model, way in zip(self.models, topologies, strict=False))
        return self.out_proj(h * silu(self.gate(lines))).view(normal.shape)


class VariateMixer(TimeMixer):
    """Selection of variates: the same along the variates of each patch, in both directions under one gate."""

    directions = 2

    def _mixed(self, normal: Tensor) -> Tensor:
        return super()._mixed(normal.transpose(1, 2)).transpose(1, 2)


class TSM2(nn.Module):
    r"""Forecasts all variates at once from patches, mixed along time and along variates in turn.

    With :math:`y_T^{(0)} = y_C^{(0)}` the embedded patches and for each of the layers l

    .. math::
        y_T^{(l)} &= \operatorname{time}_l
        \Bigl( \sum_{i<l} \alpha_{li} \, y_T^{(i)} + \beta_{li} \, y_C^{(i)} \Bigr) \\
        y_C^{(l)} &= \operatorname{variates}_l
        \Bigl( \sum_{i \le l} \theta_{li} \, y_T^{(i)} + \sum_{i<l} \gamma_{li} \, y_C^{(i)} \Bigr)

    and the forecast a linear map of the last :math:`y_C`, on the scale of the window. That is a one-way coupled
    two-dimensional scan with gate, norm and residual between its two halves. The paper's weights are free scalars; that
    they start as :math:`\alpha_{l,l-1} = \beta_{l,l-1} = \tfrac12` and :math:`\theta_{ll} = 1`, the others as zero, is
    ours, as is the residual of each mixer. Covariates are not read.

    Args:
        lookback: rows that are seen.
        horizon: rows that are forecast.
        variates: not read; weights are shared by all variates.
        channels: width.
        layers: number of pairs of mixers.
        patch: rows of a patch.
        stride: rows between starts of patches.
        dropout: in the mixers and before the head.
        mixer: further arguments of the mixers: ``expand`` and ``state_size``.

    Example:
        >>> TSM2(96, 24, channels=8, layers=1)(torch.randn(2, 7, 96)).shape
        torch.Size([2, 7, 24])
    """

    def __init__(
        self,
        lookback: int,
        horizon: int,
        variates: int | None = None,
        *,
        channels: int = 32,
        layers: int = 2,
        patch: int = 16,
        stride: int = 8,
        dropout: float = 0.1,
        **mixer: int,
    ) -> None:
        super().__init__()
        sizes = {"lookback": lookback, "horizon": horizon, "layers": layers, "patch": patch, "stride": stride}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.lookback, self.horizon, self.patch, self.stride = lookback, horizon, patch, stride
        self.columns = max(-(-(lookback - patch) // stride), 0) + 1
        self.norm = WindowNorm()
        self.embed = nn.Linear(2 * patch, channels)
        self.time_mixers = nn.ModuleList(TimeMixer(channels, dropout=dropout, **mixer) for _ in range(layers))
        self.variate_mixers = nn.ModuleList(VariateMixer(channels, dropout=dropout, **mixer) for _ in range(layers))
        # Row l of each holds the weights of what came before the mixer of layer l, oldest first.
        self.time_weights = nn.ParameterList(torch.empty(2, layer) for layer in range(1, layers + 1))
        self.variate_weights = nn.ParameterList(torch.empty(2 * layer + 1) for layer in range(1, layers + 1))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.columns * channels, horizon)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.embed, self.time_mixers, self.variate_mixers, self.head):
            reset(layer)
        with torch.no_grad():
            for to_time, to_variates in zip(self.time_weights, self.variate_weights, strict=True):
                to_time.zero_()
                to_time[:, -1] = 0.5
                to_variates.zero_()
                to_variates[to_time.shape[1]] = 1

    def forward(
        self,
        past: Float[Tensor, "batch variates lookback"],
        observed: Bool[Tensor, "batch variates lookback"] | None = None,
    ) -> Float[Tensor, "batch variates horizon"]:
        """Forecast; what was not observed is marked as such in its patch.

        Raises:
            ValueError: if there are not ``lookback`` rows, or another shape or a device does not fit.
            TypeError: if a dtype does not fit.
        """
        check_series("past", past, observed, rows=self.lookback, weight=self.head.weight)
        normal, scale = self.norm(past, observed)
        x = self.embed(self._patches(normal, observed))
        from_time, from_variates = [x], [x]
        for layer, (time, variates) in enumerate(zip(self.time_mixers, self.variate_mixers, strict=True)):
            from_time.append(time(_weighted(self.time_weights[layer].flatten(), [*from_time, *from_variates])))
            from_variates.append(variates(_weighted(self.variate_weights[layer], [*from_time, *from_variates])))
        return self.head(self.dropout(from_variates[-1].flatten(2))) * scale.deviation + scale.mean

    def _patches(self, normal: Tensor, observed: Tensor | None) -> Tensor:
        """Values and what was observed; rows that are missing for a whole number of patches stand before the first."""
        seen = torch.ones_like(normal) if observed is None else observed.to(normal.dtype)
        missing = (self.columns - 1) * self.stride + self.patch - self.lookback
        both = torch.stack([pad(normal, (missing, 0)), pad(seen, (missing, 0))], dim=-2)
        return both.unfold(-1, self.patch, self.stride).transpose(-3, -2).flatten(-2)

    def __repr__(self) -> str:
        layers, channels = len(self.time_mixers), self.embed.out_features
        return f"{type(self).__name__}({self.lookback}, {self.horizon}, channels={channels}, layers={layers})"


def _weighted(weights: Tensor, values: list[Tensor]) -> Tensor:
    return torch.einsum("l,l...->...", weights, torch.stack(values))
