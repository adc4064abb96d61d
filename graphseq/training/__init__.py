"""Training by Lightning: the task, the data module, the run folder, baselines and the command line."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from graphseq.extras import needed_by

if TYPE_CHECKING:
    from graphseq.training.anomaly import AnomalyTask
    from graphseq.training.datamodule import GraphDataModule
    from graphseq.training.forecast import ForecastTask
    from graphseq.training.run_folder import RunFolder
    from graphseq.training.seeding import EpochSeed
    from graphseq.training.series import AnomalyDataModule, SeriesDataModule
    from graphseq.training.task import GraphTask

__all__ = [
    "AnomalyDataModule",
    "AnomalyTask",
    "EpochSeed",
    "ForecastTask",
    "GraphDataModule",
    "GraphTask",
    "RunFolder",
    "SeriesDataModule",
]

_HOME = {
    "AnomalyDataModule": "series",
    "AnomalyTask": "anomaly",
    "EpochSeed": "seeding",
    "ForecastTask": "forecast",
    "GraphDataModule": "datamodule",
    "GraphTask": "task",
    "RunFolder": "run_folder",
    "SeriesDataModule": "series",
}


def __getattr__(name: str) -> Any:
    # Lightning takes seconds to import, and the command line's help and data commands do without it.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needed_by(f"{__name__}.{name}"):
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
