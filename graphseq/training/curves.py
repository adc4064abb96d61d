"""The course of a run as a picture."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

_COLOURS = {"train": "tab:blue", "val": "tab:orange"}


def read_history(csv: Path) -> pd.DataFrame:
    """One row an epoch of Lightning's ``metrics.csv``, which has one row a call to the logger."""
    return pd.read_csv(csv).groupby("epoch").first()


def plot_curves(
    history: pd.DataFrame, quantities: tuple[str, str], path: Path, *, best_epoch: int | None = None
) -> None:
    """Draw two quantities of training and validation over epochs.

    Args:
        history: see :func:`read_history`.
        quantities: names of the two, such as loss and metric.
        path: where the picture goes.
        best_epoch: marked if given.
    """
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 2), quantities, strict=True):
        for split, colour in _COLOURS.items():
            if f"{split}/{quantity}" in history:
                values = history[f"{split}/{quantity}"].dropna()
                marker = "o" if len(values) == 1 else None
                axes.plot(values.index + 1, values, label=split, color=colour, marker=marker)
        if best_epoch is not None:
            axes.axvline(best_epoch + 1, color="0.7", linestyle=":", label="best epoch", zorder=0)
        axes.set(title=quantity, xlabel="epoch", ylabel=quantity)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
