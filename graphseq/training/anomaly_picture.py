"""A series, the scores of its rows, and where anomalies are labelled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from graphseq.training.anomaly_scores import labelled_ranges

if TYPE_CHECKING:
    from graphseq.training.series import AnomalyDataModule

ROWS = 4
"""Variates that are drawn, the first ones of the series."""


def plot_anomalies(scores: Tensor, threshold: float, data: AnomalyDataModule, path: Path) -> None:
    """Draw the test part, and beside it the surroundings of the largest score.

    Args:
        scores: of the rows of the test part.
        threshold: above which rows are flagged.
        data: the series.
        path: where the picture goes.
    """
    series = data.series
    first, last = series.borders.val, series.borders.test
    names = series.names[:ROWS]
    figure = Figure(figsize=(13, 1.9 * len(names) + 2.2), layout="constrained")
    grid = figure.subplots(len(names) + 1, 2, squeeze=False, sharex="col", width_ratios=(2, 1))
    rows, top = np.arange(first, last), first + int(scores.argmax())
    values = series.values.masked_fill(~series.observed, torch.nan) if series.observed is not None else series.values
    for axes in grid.T:
        for axis, name, variate in zip(axes, names, values[first:last].T, strict=False):
            axis.plot(rows, variate.numpy(), color="0.35", linewidth=0.9)
            axis.set_title(name, fontsize=10)
        axes[-1].plot(rows, scores.numpy(), color="tab:blue", linewidth=0.9, label="score")
        axes[-1].axhline(threshold, color="tab:orange", linewidth=0.9, label="threshold")
        axes[-1].plot([top], [float(scores.max())], "v", color="tab:blue", label=f"largest, row {top}")
        axes[-1].set(title="score", xlabel="row", yscale="log", ylim=(max(threshold / 100, 1e-12), None))
        axes[-1].title.set_fontsize(10)
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
    if series.anomalous is not None:
        _shade(grid.ravel().tolist(), labelled_ranges(series.anomalous[first:last]), first)
    near = 3 * data.window
    grid[-1, 1].set_xlim(max(first, top - near), min(last, top + near))
    handles, labels = grid[-1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=110)


def _shade(axes: list[Axes], ranges: list[tuple[int, int]], first: int) -> None:
    for axis in axes:
        for number, (begin, end) in enumerate(ranges):
            label = "labelled" if number == 0 else None
            axis.axvspan(first + begin - 0.5, first + end - 0.5, color="tab:red", alpha=0.25, linewidth=0, label=label)
