"""Every kind of task, trained and tested by as many processes as are asked for: ``together.py PROCESSES OUT``.

Nothing here is random once training has begun, so that what remains of a difference is the rounding of sums in another
order: no dropout, and batch norm only where its statistics are what is looked at.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import distributed, nn
from torch_geometric.data import Data

from graphseq.data import Benchmark, SignedNetwork, Task, signed_benchmark
from graphseq.data.series import Borders, Series
from graphseq.semba import GRUSEMBA, ScanSEMBA
from graphseq.training import (
    AnomalyDataModule,
    AnomalyTask,
    EpochSeed,
    ForecastTask,
    GraphDataModule,
    GraphTask,
    SeriesDataModule,
)
from graphseq.training.baselines import GCN
from graphseq.training.detectors import Autoregression
from graphseq.training.forecasters import DLinear, JointLinear, SeasonalNaive
from graphseq.training.quiet import expected_warnings_ignored
from graphseq.training.vision import ViT

spec = importlib.util.spec_from_file_location("shared", Path(__file__).with_name("conftest.py"))
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)


def graphs(kind, sizes, **arguments):
    parts = [shared.random_graphs(kind, size, seed) for seed, size in enumerate(sizes)]
    return GraphDataModule.from_benchmark(Benchmark.from_datasets(*parts, shared.TASKS[kind]), **arguments)


def one_graph():
    """One graph, which each process has: a share of one example is filled up with itself."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 3, generator=generator), torch.arange(30) % 2
    masks = {f"{part}_mask": torch.arange(30) % 3 == number for number, part in enumerate(("train", "val", "test"))}
    data = Data(x=x, edge_index=torch.zeros(2, 0, dtype=torch.long), y=y, **masks)
    task = Task("node", "multiclass", 2, "accuracy", maximize=True)
    return GraphDataModule.from_benchmark(Benchmark.from_datasets([data], [data], [data], task), batch_size=2)


def series(gap=True):
    """Windows of no part divide by two, and one process sees more of the gap than the other."""
    values = torch.randn(101, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(0)
    observed = torch.ones(101, 2, dtype=torch.bool)
    if gap:
        observed[20:23, 0] = False
    return Series(values.masked_fill(~observed, 0), ("a", "b"), Borders.of_fractions(101), observed)


class Prepared(DLinear):
    """Begins with what the training windows say, which each process sees differently; the first one counts."""

    def prepare(self, windows):
        with torch.no_grad():
            self.trend.bias.add_(windows.values.mean() + int(os.environ.get("LOCAL_RANK", "0")))


class Reconstruction(nn.Module):
    """A linear map of the window to itself, through a narrow place."""

    def __init__(self):
        super().__init__()
        self.map = nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 8))

    def forward(self, window, observed=None):
        return self.map(window)


def tasks():
    windows = {"lookback": 8, "horizon": 4, "batch_size": 8}
    events = signed_benchmark(SignedNetwork(num_nodes=20, num_events=200).events, chunk=60)
    images = {"num_train": 10, "num_val": 5, "num_test": 5}
    yield "graphs", GraphTask(shared.SumNetwork, lr=0.05), graphs("multilabel", (16, 7, 7), batch_size=4)
    yield "repeated", GraphTask(shared.SumNetwork, lr=0.05), graphs("multiclass", (13, 7, 7), batch_size=4)
    balanced = GraphTask(shared.SumNetwork, lr=0.05, class_weights="balanced")
    yield "balanced", balanced, graphs("multiclass", (13, 7, 7), batch_size=8)
    yield "nodes", GraphTask(shared.SumNetwork, lr=0.05), one_graph()
    yield "norms", GraphTask(GCN, lr=0.05), graphs("multiclass", (12, 7, 7), batch_size=4)
    yield "images", GraphTask(ViT, lr=0.01), GraphDataModule("arrow-pointing", batch_size=4, options=images)
    stream = {"batch_size": 1, "shuffle": False}
    yield "events", GraphTask(ScanSEMBA, lr=0.01), GraphDataModule.from_benchmark(events, **stream)
    remembering = partial(GRUSEMBA, channels=8, heads=2, dropout=0.0)
    yield "memory", GraphTask(remembering, lr=0.01), GraphDataModule.from_benchmark(events, **stream)
    yield "forecast", ForecastTask(DLinear, lr=0.01), SeriesDataModule.from_series(series(), **windows)
    yield "prepared", ForecastTask(Prepared, lr=0.01), SeriesDataModule.from_series(series(), **windows)
    yield "huber", ForecastTask(DLinear, lr=0.01, huber=0.5), SeriesDataModule.from_series(series(), **windows)
    yield "closed", ForecastTask(JointLinear), SeriesDataModule.from_series(series(gap=False), **windows)
    yield "naive", ForecastTask(Naive), SeriesDataModule.from_series(series(), **windows)
    torch.manual_seed(0)  # the task is given a network that is made
    anomalies = AnomalyDataModule.from_series(series(), window=8, batch_size=8)
    yield "anomaly", AnomalyTask(Reconstruction(), lr=0.01), anomalies
    yield "detector", AnomalyTask(Autoregression(3)), AnomalyDataModule.from_series(series(), window=8, batch_size=8)


class Naive(SeasonalNaive):
    def __init__(self, lookback, horizon, variates):
        super().__init__(lookback, horizon, period=4)


class Seen(pl.Callback):
    """What is logged in each epoch, and whether all processes evaluate the same network."""

    def __init__(self):
        self.epochs, self.agreed = [], True

    def on_validation_end(self, trainer, module):
        state = torch.cat([torch.zeros(1), *(value.flatten() for value in (*module.parameters(), *module.buffers()))])
        everywhere = [state]
        if distributed.is_initialized():
            everywhere = [torch.empty_like(state) for _ in range(trainer.world_size)]
            distributed.all_gather(everywhere, state.detach())
        self.agreed &= all(each.equal(state) for each in everywhere)

    def on_train_epoch_end(self, trainer, module):
        self.epochs.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def train(name, task, data, processes):
    # The first chunk of a stream finds nothing remembered, and reaches no parameter that reads a memory.
    shared = "ddp_find_unused_parameters_true" if name == "memory" else "ddp"
    seen = Seen()
    pl.seed_everything(0, verbose=False)
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", devices=processes, strategy=shared if processes > 1 else "auto",
        callbacks=[EpochSeed(0), seen], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(task, data)
    tested = trainer.test(task, data, verbose=False)[0]
    predicted = trainer.predict(task, data, return_predictions=True)
    return trainer.is_global_zero, {
        "epochs": seen.epochs,
        "test": tested,
        "agreed": seen.agreed,
        "predicted": len(predicted),
    }


def main(processes, out):
    found = {}
    for name, task, data in tasks():
        first, found[name] = train(name, task, data, processes)
    if first:
        Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    with expected_warnings_ignored():
        main(int(sys.argv[1]), sys.argv[2])
