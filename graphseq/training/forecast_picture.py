"""Forecast against truth, and both taken apart into trend and season."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from graphseq.chimera import MovingAverage
from graphseq.data.series import Window

if TYPE_CHECKING:
    from graphseq.training.series import SeriesDataModule

ROWS = 4
"""Variates that are drawn, the first ones of the series."""


@torch.no_grad()
def plot_forecast(network: nn.Module, data: SeriesDataModule, path: Path) -> None:
    """Draw the last window of the test part: truth and forecast, then trend and season of each.

    The truth is taken apart by a moving average over a period (25 rows where none is known). So is the forecast, unless
    the network has a method ``decompose``, which says what its own slow and fast parts contribute.

    Args:
        network: the forecaster.
        data: the series and its windows.
        path: where the picture goes.
    """
    windows = data.windows("test")
    window = windows[len(windows) - 1]
    was_training = network.training
    forecast, trend = _forecast(network.eval(), window, data.series.period)
    network.train(was_training)
    whole = torch.cat([window.past, window.future], dim=-1)
    seen = torch.cat([window.past_observed, window.future_observed], dim=-1)
    truth = {"series": whole, "trend": _smooth(whole, seen, data.series.period)}
    ours = {"series": forecast, "trend": trend}
    for parts in (truth, ours):
        parts["season"] = parts["series"] - parts["trend"]
    _draw(truth, ours, seen, data, path)


def _forecast(network: nn.Module, window: Window, period: int | None) -> tuple[Tensor, Tensor]:
    """Forecast and its trend."""
    past, observed = window.past[None], window.past_observed[None]
    forecast = network(past, observed)[0]
    if hasattr(network, "decompose"):
        parts = network.decompose(past, observed, period=period or _PERIOD)  # type: ignore[operator]
        return forecast, parts.trend[0]
    whole = torch.cat([window.past, forecast], dim=-1)
    seen = torch.cat([window.past_observed, torch.ones_like(forecast, dtype=torch.bool)], dim=-1)
    return forecast, _smooth(whole, seen, period)[:, past.shape[-1] :]


def _smooth(values: Tensor, seen: Tensor, period: int | None) -> Tensor:
    """Centred mean over a period of what was observed."""
    return MovingAverage(period or _PERIOD).of_observed(values[None], seen[None])[0]


_PERIOD = 25


def _draw(truth: dict[str, Tensor], ours: dict[str, Tensor], seen: Tensor, data: SeriesDataModule, path: Path) -> None:
    names = data.series.names[:ROWS]
    figure = Figure(figsize=(13, 2.4 * len(names) + 0.4), layout="constrained")
    grid = figure.subplots(len(names), 3, squeeze=False, sharex=True)
    rows = np.arange(-data.lookback, data.horizon)
    for variate, name in enumerate(names):
        scale, level = float(data.scaling.std[variate]), float(data.scaling.mean[variate])
        for axes, part in zip(grid[variate], truth, strict=True):
            # A season swings around zero; the level is the trend's.
            offset = 0.0 if part == "season" else level
            values = truth[part][variate].masked_fill(~seen[variate], torch.nan) * scale + offset
            axes.plot(rows, values.numpy(), color="0.55", linewidth=1, label="truth")
            ahead = (ours[part][variate] * scale + offset).numpy()
            axes.plot(rows[data.lookback :], ahead, color="tab:blue", label="forecast")
            axes.axvline(0, color="0.8", linestyle=":", zorder=0)
            axes.set_title(f"{name}: {part}" if part != "series" else name, fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("rows from the start of the forecast")
    grid[0, 0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
