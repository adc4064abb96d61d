"""Small graphs with labels of every kind, and a quiet trainer for them."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphseq.data import Benchmark, Task
from graphseq.training import EpochSeed
from graphseq.training.quiet import expected_warnings_ignored

TASKS = {
    "multiclass": Task("graph", "multiclass", 3, "accuracy", maximize=True),
    "multilabel": Task("graph", "multilabel", 2, "ap", maximize=True),
    "regression": Task("graph", "regression", 1, "rmse", maximize=False),
}


class SumNetwork(nn.Module):
    """A linear map of each graph's summed features: no norm, no randomness, every parameter used."""

    needs = ()

    def __init__(self, in_channels: int, out_channels: int, *, edge_channels=None, level="graph", channels: int = 4):
        super().__init__()
        self.first = nn.Linear(in_channels, channels)
        self.second = nn.Linear(channels, out_channels)
        self.level = level

    def forward(self, x: Tensor, edge_index: Tensor, batch=None, edge_attr=None, *, batch_size=None) -> Tensor:
        h = self.first(x).tanh()
        if self.level == "graph":
            h = torch.zeros(batch_size, h.shape[1]).index_add(0, batch, h)
        return self.second(h)


def random_graphs(kind: str, count: int = 12, seed: int = 0) -> list[Data]:
    """Graphs of 2 to 6 nodes; a third of the labels of a multilabel task is missing."""
    generator = torch.Generator().manual_seed(seed)
    graphs = []
    for number in range(count):
        nodes = int(torch.randint(2, 7, (), generator=generator))
        edge_index = to_undirected(torch.randint(nodes, (2, nodes), generator=generator))
        x = torch.randn(nodes, 3, generator=generator)
        if kind == "multiclass":
            y = torch.tensor([number % 3])
        elif kind == "multilabel":
            y = torch.tensor([[number % 2, (number // 2) % 2]]).float()
            y[0, 0] = torch.nan if number % 3 == 0 else y[0, 0]
        else:
            y = x.sum().reshape(1, 1)
        graphs.append(Data(x=x, edge_index=edge_index, y=y))
    return graphs


@pytest.fixture
def benchmark():
    """Makes a benchmark of a kind of task."""

    def make(kind: str = "multiclass", count: int = 12) -> Benchmark:
        parts = [random_graphs(kind, size, seed) for seed, size in enumerate((count, 7, 7))]
        return Benchmark.from_datasets(*parts, TASKS[kind])

    return make


@pytest.fixture
def sum_network():
    return SumNetwork


@pytest.fixture
def trainer(tmp_path: Path):
    """Makes a trainer that prints nothing; what it warns about is meant to be so or fails the test."""

    def make(epochs: int = 2, *callbacks: pl.Callback, **arguments) -> pl.Trainer:
        defaults = {
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
            "default_root_dir": tmp_path,
        }
        return pl.Trainer(max_epochs=epochs, callbacks=[EpochSeed(0), *callbacks], **{**defaults, **arguments})

    with expected_warnings_ignored():
        yield make


@pytest.fixture(autouse=True)
def _quiet_lightning():
    with expected_warnings_ignored():
        yield
