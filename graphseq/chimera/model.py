"""Whole models: forecasting, classification, reconstruction."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from graphseq.chimera.block import ChimeraTrunk, MovingAverage
from graphseq.chimera.check import check_series
from graphseq.chimera.linear import LinearForecaster, linear_forecast
from graphseq.chimera.normalise import WindowNorm
from graphseq.data.series import Windows


class Decomposition(NamedTuple):
    """A forecast in two parts, which add up to it."""

    trend: Float[Tensor, "batch variates horizon"]
    season: Float[Tensor, "batch variates horizon"]


class ChimeraForecaster(nn.Module):
    r"""Forecasts the next rows of all variates at once (Behrouz et al. 2024).

    .. math::
        \hat y = x_L + (x - x_L) W + \sigma \operatorname{head}(\operatorname{trunk}((x - \mu) / \sigma))

    with mean and deviation of the window. The linear path is that of :class:`LinearForecaster` and starts, by
    :meth:`prepare`, as the least-squares solution on the training windows; the head starts at zero, so that training
    begins at the linear forecast and learns what it misses. Both are ours.

    Args:
        lookback: rows that are seen.
        horizon: rows that are forecast.
        variates: number of variates, for an ``order`` and for nothing else: weights are shared by all variates.
        channels: width.
        layers: number of blocks.
        patch: rows of a patch.
        linear: whether there is a linear path.
        train_linear: whether training moves it, too; without, it stays the solution of :meth:`prepare`.
        norm: how windows are normalised; :class:`WindowNorm` with a deviation for each variate if not given.
        dropout: in the blocks and before the head.
        period: rows of a moving average that is taken out of what the head contributes, which then corrects only what
            is faster, and leaves the level of the forecast to the linear path. Where the level of a series wanders,
            what the blocks learn of it on the training rows does not hold later.
        trunk: further arguments of :class:`ChimeraTrunk` and :class:`ChimeraBlock`.

    Raises:
        ValueError: if a size is below 1, or there is a ``period`` and no linear path.

    Example:
        >>> ChimeraForecaster(96, 24, channels=8, layers=1, patch=8)(torch.randn(2, 7, 96)).shape
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
        patch: int = 8,
        linear: bool = True,
        train_linear: bool = True,
        norm: WindowNorm | None = None,
        dropout: float = 0.1,
        period: int | None = None,
        **trunk: Any,
    ) -> None:
        super().__init__()
        for name, size in (("lookback", lookback), ("horizon", horizon), ("period", 1 if period is None else period)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if period is not None and not linear:
            raise ValueError(f"period must not be given without a linear path, which brings the level, got {period}")
        self.level = None if period is None else MovingAverage(period)
        self.lookback, self.horizon = lookback, horizon
        columns = -(-lookback // patch)
        self.norm = norm or WindowNorm()
        self.trunk = ChimeraTrunk(channels, layers, patch=patch, time=columns, dropout=dropout, **trunk)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(columns * channels, horizon)
        start = torch.zeros(lookback, horizon) if linear else None
        self.linear: Tensor | None
        if train_linear and start is not None:
            self.linear = nn.Parameter(start)
        else:
            self.register_buffer("linear", start)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        self.trunk.reset_parameters()
        self.head.reset_parameters()
        if self.linear is not None:
            for start in (self.head.weight, self.head.bias, self.linear):
                nn.init.zeros_(start)

    def prepare(self, windows: Windows) -> None:
        """Start the linear path at the least-squares solution."""
        if self.linear is not None:
            solution = LinearForecaster(self.lookback, self.horizon).fit(windows).weight
            with torch.no_grad():
                self.linear.copy_(solution)

    def forward(
        self,
        past: Float[Tensor, "batch variates lookback"],
        observed: Bool[Tensor, "batch variates lookback"] | None = None,
    ) -> Float[Tensor, "batch variates horizon"]:
        """Forecast.

        Args:
            past: the rows seen; anything where they were not observed.
            observed: which were; all if not given.

        Raises:
            ValueError: if there are not ``lookback`` rows, or another shape or a device does not fit.
            TypeError: if a dtype does not fit.
        """
        self._check(past, observed)
        correction = self._correction(past, observed)
        if self.linear is None:
            return correction
        return linear_forecast(past, observed, self.linear) + correction

    def decompose(
        self,
        past: Float[Tensor, "batch variates lookback"],
        observed: Bool[Tensor, "batch variates lookback"] | None = None,
        *,
        period: int = 25,
    ) -> Decomposition:
        """Forecast, taken apart into what the slow and the fast parts of the model contribute.

        The trend is the forecast with the seasonal models of all blocks left out, its linear path fed with the mean of
        the last period at each row; the season is what is missing from the whole forecast.

        Args:
            past: as above.
            observed: as above.
            period: rows of a period.
        """
        self._check(past, observed)
        trend = self._correction(past, observed, season=False)
        if self.linear is not None:
            trend = trend + linear_forecast(_smooth(past, observed, period), None, self.linear)
        return Decomposition(trend, self(past, observed) - trend)

    def _correction(self, past: Tensor, observed: Tensor | None, *, season: bool = True) -> Tensor:
        """What the blocks contribute; with the level of the window, where no linear path brings it."""
        normal, scale = self.norm(past, observed)
        h = self.trunk(normal, observed, season=season)
        correction = self.head(self.dropout(h.flatten(2))) * scale.deviation
        if self.level is not None:
            correction = correction - self.level(correction[..., None])[..., 0]
        return scale.mean + correction if self.linear is None else correction

    def _check(self, past: Tensor, observed: Tensor | None) -> None:
        check_series("past", past, observed, rows=self.lookback, weight=self.head.weight)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.lookback}, {self.horizon}, trunk={self.trunk.blocks[0]!r})"


def _smooth(past: Tensor, observed: Tensor | None, period: int) -> Tensor:
    """Mean of what was observed in the last period; a centred one would keep some season at the end of a window."""
    seen = torch.ones_like(past, dtype=torch.bool) if observed is None else observed
    return MovingAverage(period, causal=True).of_observed(past, seen)


class _TrunkAndHead(nn.Module):
    """A trunk on normalised windows, and a linear map."""

    def __init__(self, out_channels: int, channels: int, layers: int, patch: int, **trunk: Any) -> None:
        super().__init__()
        self.norm = WindowNorm()
        self.trunk = ChimeraTrunk(channels, layers, patch=patch, **trunk)
        self.head = nn.Linear(channels, out_channels)

    def reset_parameters(self) -> None:
        self.trunk.reset_parameters()
        self.head.reset_parameters()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.head.out_features}, trunk={self.trunk.blocks[0]!r})"


class ChimeraClassifier(_TrunkAndHead):
    """A class for each series: the mean over columns, through a linear map.

    All else in the network has the same weights for each variate. So where it matters which variate is which, as among
    the coefficients of a spectrum, the map must know their number: it then reads each by itself.

    Args:
        classes: number of classes.
        variates: number of variates; without it, the map reads their mean, whatever their number.
        channels: width.
        layers: number of blocks.
        patch: rows of a patch.
        normalise: by the mean and deviation of each variate of each series; without, a series keeps its level.
        trunk: further arguments of :class:`ChimeraTrunk` and :class:`ChimeraBlock`.

    Example:
        >>> ChimeraClassifier(3, channels=8, layers=1)(torch.randn(2, 4, 10)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        classes: int,
        variates: int | None = None,
        *,
        channels: int = 32,
        layers: int = 2,
        patch: int = 1,
        normalise: bool = True,
        **trunk: Any,
    ) -> None:
        super().__init__(classes, channels, layers, patch, **trunk)
        self.normalise, self.variates = normalise, variates
        if variates is not None:
            self.head = nn.Linear(variates * channels, classes)

    def forward(
        self,
        x: Float[Tensor, "batch variates time"],
        observed: Bool[Tensor, "batch variates time"] | None = None,
    ) -> Float[Tensor, "batch classes"]:
        """Logits; ``observed`` is false behind the end of a shorter series.

        Raises:
            ValueError: if the number of variates is another one, or another shape or a device does not fit.
            TypeError: if a dtype does not fit.
        """
        check_series("x", x, observed, variates=self.variates, weight=self.head.weight)
        if x.shape[2] == 0:
            raise ValueError(f"x must have at least one row, got shape {list(x.shape)}")
        normal = self.norm(x, observed)[0] if self.normalise else x
        h = self.trunk(normal, observed).mean(2)
        return self.head(h.mean(1) if self.variates is None else h.flatten(1))


class ChimeraReconstructor(_TrunkAndHead):
    """The window again, from what the blocks make of it: what is hard to reconstruct is anomalous.

    Args:
        channels: width.
        layers: number of blocks.
        patch: rows of a patch.
        trunk: further arguments of :class:`ChimeraTrunk` and :class:`ChimeraBlock`.

    Example:
        >>> ChimeraReconstructor(channels=8, layers=1, patch=4)(torch.randn(2, 3, 10)).shape
        torch.Size([2, 3, 10])
    """

    def __init__(self, *, channels: int = 32, layers: int = 2, patch: int = 8, **trunk: Any) -> None:
        super().__init__(patch, channels, layers, patch, **trunk)

    def forward(
        self,
        x: Float[Tensor, "batch variates time"],
        observed: Bool[Tensor, "batch variates time"] | None = None,
    ) -> Float[Tensor, "batch variates time"]:
        """The reconstruction; values that were not observed are filled in.

        Raises:
            ValueError: if a shape or a device does not fit.
            TypeError: if a dtype does not fit.
        """
        check_series("x", x, observed, weight=self.head.weight)
        normal, scale = self.norm(x, observed)
        patches = self.head(self.trunk(normal, observed)).flatten(2)[..., -x.shape[2] :]
        return patches * scale.deviation + scale.mean
