"""The forecasters that others are measured against, in the same harness."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from graphseq.chimera import LinearForecaster, MovingAverage, WindowNorm
from graphseq.chimera.linear import ridge_solution
from graphseq.data.series import Windows
from graphseq.extras import needed_by
from graphseq.sequence import Mamba

Past = Float[Tensor, "batch variates lookback"]
Seen = Bool[Tensor, "batch variates lookback"] | None
Future = Float[Tensor, "batch variates horizon"]


class SeasonalNaive(nn.Module):
    """Repeats the last period; with a ``period`` of 1, the last value.

    Args:
        lookback: rows that are seen.
        horizon: rows that are forecast.
        variates: not read.
        period: rows that are repeated.

    Raises:
        ValueError: if the period is not within the rows that are seen.

    Example:
        >>> SeasonalNaive(4, 5, period=2)(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]))
        tensor([[[3., 4., 3., 4., 3.]]])
    """

    def __init__(self, lookback: int, horizon: int, variates: int | None = None, *, period: int = 24) -> None:
        super().__init__()
        if not 1 <= period <= lookback:
            raise ValueError(f"period must be in 1..{lookback}, the rows that are seen, got {period}")
        self.horizon, self.period = horizon, period

    def forward(self, past: Past, observed: Seen = None) -> Future:
        """Repeat."""
        return past[..., torch.arange(self.horizon, device=past.device) % self.period - self.period]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(period={self.period})"


class JointLinear(nn.Module):
    r"""A ridge from all values of all variates to all of their futures, on top of :class:`LinearForecaster`.

    .. math::
        \hat y = \operatorname{linear}(x) + W \operatorname{vec}(x - x_L)

    It says what a linear map can find in other variates. The penalty on :math:`W` is the one of ``penalties`` that does
    best on the last fifth of the training windows after a fit to the others; then both maps are fitted to all of them.

    Args:
        lookback: rows that are seen.
        horizon: rows that are forecast.
        variates: number of variates.
        penalties: what is tried, for each row of the regression.
    """

    weight: Tensor

    def __init__(
        self,
        lookback: int,
        horizon: int,
        variates: int,
        *,
        penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0),
    ) -> None:
        super().__init__()
        self.linear = LinearForecaster(lookback, horizon)
        self.penalties = penalties
        self.register_buffer("weight", torch.zeros(variates * lookback, variates * horizon))

    def prepare(self, windows: Windows) -> None:
        """Choose the penalty, and solve.

        Raises:
            ValueError: if a window has a gap.
        """
        if not bool(windows.observed.all()):
            raise ValueError("windows must have no gap for a map that reads all variates")
        self.linear.prepare(windows)
        span = windows.lookback + windows.horizon
        rows = windows.values.double().unfold(1, span, 1).movedim(0, 1)
        past, future = rows[..., : windows.lookback], rows[..., windows.lookback :]
        x = (past - past[..., -1:]).flatten(1)
        y = (future - self.linear(past)).flatten(1)
        # Windows that overlap the held-out ones are left out of the fit.
        held = len(x) - len(x) // 5
        fitted = slice(0, max(held - span, 1))
        maps = [ridge_solution(x[fitted], y[fitted], penalty) for penalty in self.penalties]
        errors = [float((y[held:] - x[held:] @ weight).square().mean()) for weight in maps]
        self.penalty = self.penalties[errors.index(min(errors))]
        self.weight.copy_(ridge_solution(x, y, self.penalty))

    def forward(self, past: Past, observed: Seen = None) -> Future:
        """Forecast."""
        joint = (past - past[..., -1:]).flatten(1) @ self.weight.to(past.dtype)
        return self.linear(past, observed) + joint.view(*past.shape[:2], -1)


class DLinear(nn.Module):
    """A linear map of the moving average and one of the rest, both shared by all variates (Zeng et al. 2023).

    Args:
        lookback: rows that are seen.
        horizon: rows that are forecast.
        variates: not read.
        average: width of the moving average.
    """

    def __init__(self, lookback: int, horizon: int, variates: int | None = None, *, average: int = 25) -> None:
        super().__init__()
        self.average = MovingAverage(average)
        self.trend, self.season = nn.Linear(lookback, horizon), nn.Linear(lookback, horizon)
        for layer in (self.trend, self.season):
            # The released code starts with the mean of the window.
            nn.init.constant_(layer.weight, 1 / lookback)

    def forward(self, past: Past, observed: Seen = None) -> Future:
        """Forecast; what was not observed counts as zero, the mean of the training rows."""
        trend = self.average(past[..., None])[..., 0]
        return self.trend(trend) + self.season(past - trend)


class _Normalised(nn.Module):
    """A network between the normalisation of a window and its inverse."""

    def __init__(self, lookback: int, horizon: int) -> None:
        super().__init__()
        self.lookback, self.horizon = lookback, horizon
        self.norm = WindowNorm()

    def forward(self, past: Past, observed: Seen = None) -> Future:
        """Forecast; what was not observed counts as the mean of the window."""
        normal, scale = self.norm(past, observed)
        return self.normalised(normal) * scale.deviation + scale.mean

    def normalised(self, past: Past) -> Future:
        """Forecast of a normalised window."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.lookback}, {self.horizon})"


class VariateMamba(_Normalised):
    """Mamba on the patches of each variate by itself: what Chimera is without its second axis.

    Args:
        lookback: rows that are seen, a multiple of ``patch``.
        horizon: rows that are forecast.
        variates: not read.
        channels: width.
        layers: depth.
        patch: rows of a patch.
        dropout: after each layer and before the head.
        mamba: further arguments of :class:`~graphseq.sequence.Mamba`.

    Raises:
        ValueError: if ``patch`` does not divide ``lookback``.
    """

    def __init__(
        self,
        lookback: int,
        horizon: int,
        variates: int | None = None,
        *,
        channels: int = 32,
        layers: int = 2,
        patch: int = 8,
        dropout: float = 0.1,
        **mamba: Any,
    ) -> None:
        super().__init__(lookback, horizon)
        if lookback % patch:
            raise ValueError(f"lookback must be a multiple of patch ({patch}), got {lookback}")
        self.patch = patch
        self.embed = nn.Linear(patch, channels)
        self.norms = nn.ModuleList(nn.RMSNorm(channels) for _ in range(layers + 1))
        self.layers = nn.ModuleList(Mamba(channels, **mamba) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(lookback // patch * channels, horizon)

    def normalised(self, past: Past) -> Future:
        h = self.embed(past.flatten(0, 1).unflatten(-1, (-1, self.patch)))
        for norm, layer in zip(self.norms, self.layers, strict=False):
            h = h + self.dropout(layer(norm(h)))
        return self.head(self.dropout(self.norms[-1](h).flatten(1))).view(*past.shape[:2], -1)


class ITransformer(_Normalised):
    """A Transformer encoder whose tokens are whole variates (after Liu et al. 2024, "iTransformer").

    Args:
        lookback: rows that are seen.
        horizon: rows that are forecast.
        variates: not read.
        channels: width, a multiple of ``heads``.
        layers: depth.
        heads: attention heads.
        dropout: in the layers.
    """

    def __init__(
        self,
        lookback: int,
        horizon: int,
        variates: int | None = None,
        *,
        channels: int = 128,
        layers: int = 2,
        heads: int = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(lookback, horizon)
        self.embed = nn.Linear(lookback, channels)
        layer = nn.TransformerEncoderLayer(channels, heads, channels, dropout, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(channels))
        self.head = nn.Linear(channels, horizon)

    def normalised(self, past: Past) -> Future:
        return self.head(self.encoder(self.embed(past)))


class PatchTST(_Normalised):
    """PatchTST (Nie et al. 2023) of the library ``transformers``: attention among the patches of one variate.

    Args:
        lookback: rows that are seen.
        horizon: rows that are forecast.
        variates: number of variates.
        channels: width, a multiple of ``heads``.
        layers: depth.
        heads: attention heads.
        patch: rows of a patch.
        stride: rows between starts of patches.
        dropout: in the layers and the head.

    Raises:
        MissingExtraError: without ``transformers``, which ``pip install 'graphseq[series]'`` brings.
    """

    def __init__(
        self,
        lookback: int,
        horizon: int,
        variates: int,
        *,
        channels: int = 64,
        layers: int = 2,
        heads: int = 4,
        patch: int = 16,
        stride: int = 8,
        dropout: float = 0.1,
    ) -> None:
        with needed_by("PatchTST"):
            from transformers import PatchTSTConfig, PatchTSTForPrediction
        super().__init__(lookback, horizon)
        config = PatchTSTConfig(
            num_input_channels=variates,
            context_length=lookback,
            prediction_length=horizon,
            patch_length=patch,
            patch_stride=stride,
            d_model=channels,
            ffn_dim=2 * channels,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            attention_dropout=dropout,
            ff_dropout=dropout,
            head_dropout=dropout,
            # The window is normalised here, as for the others.
            scaling=None,
            share_projection=True,
            # The head reads all patches, as in the paper, instead of their mean.
            pooling_type=None,
        )
        self.network = PatchTSTForPrediction(config)

    def normalised(self, past: Past) -> Future:
        return self.network(past_values=past.mT).prediction_outputs.mT
