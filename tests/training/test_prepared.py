"""A network is prepared once: what it has learned since is not overwritten."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from graphseq.data.series import Borders, Series
from graphseq.training import AnomalyDataModule, AnomalyTask, ForecastTask, SeriesDataModule
from graphseq.training.detectors import Autoregression
from graphseq.training.forecasters import DLinear


class Prepared(DLinear):
    """Counts how often it is prepared, and forgets then what it has learned."""

    prepared = 0

    def prepare(self, windows):
        self.prepared += 1
        nn.init.zeros_(self.trend.weight)


class Reconstruction(Prepared):
    """The same as a detector."""

    def __init__(self):
        super().__init__(8, 8)


def _series(scale: float = 1.0) -> Series:
    values = torch.randn(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(0)
    return Series((scale * values).sin(), ("a", "b"), Borders.of_fractions(100))


def _forecast() -> tuple[ForecastTask, SeriesDataModule]:
    return ForecastTask(Prepared, lr=0.1), SeriesDataModule.from_series(_series(), lookback=8, horizon=8, batch_size=8)


def _anomaly() -> tuple[AnomalyTask, AnomalyDataModule]:
    return AnomalyTask(Reconstruction(), lr=0.1), AnomalyDataModule.from_series(_series(), window=8, batch_size=8)


class StopsAfter(pl.Callback):
    """Saves a checkpoint after some steps, as one that is written in time does, and dies."""

    def __init__(self, steps: int, path) -> None:
        self.steps, self.path = steps, path

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == self.steps:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


class Begins(pl.Callback):
    """The network as training begins."""

    def on_train_start(self, trainer, module):
        self.weight = module.network.trend.weight.detach().clone()


# A checkpoint within an epoch is what is looked at.
@pytest.mark.filterwarnings("ignore:.*resuming from a checkpoint that ended before the epoch ended")
@pytest.mark.parametrize("kind", [_forecast, _anomaly])
@pytest.mark.parametrize("steps", [0, 1, 20])
def test_a_resumed_network_is_not_prepared_again(kind, steps, trainer, tmp_path):
    """Neither before the first step has ended nor after epochs."""
    task, data = kind()
    with pytest.raises(SystemExit):
        trainer(5, StopsAfter(steps, tmp_path / "stopped.ckpt")).fit(task, data)
    assert task.network.prepared == 1
    learned = task.network.trend.weight.detach().clone()
    again, begins = kind()[0], Begins()
    trainer(5, begins).fit(again, data, ckpt_path=tmp_path / "stopped.ckpt", weights_only=True)
    assert again.network.prepared == 0
    assert begins.weight.equal(learned)
    assert bool(learned.any()) == (steps > 0)


def test_a_checkpoint_of_what_was_never_prepared_says_so(trainer, tmp_path):
    task, data = _forecast()
    run = trainer()
    run.validate(task, data, verbose=False)
    run.save_checkpoint(tmp_path / "new.ckpt")
    again = _forecast()[0]
    trainer().fit(again, data, ckpt_path=tmp_path / "new.ckpt", weights_only=True)
    assert (task.network.prepared, again.network.prepared) == (0, 1)


def test_a_checkpoint_from_before_it_was_noted_is_of_a_prepared_network(trainer, tmp_path):
    task, data = _forecast()
    run = trainer()
    run.fit(task, data)
    run.save_checkpoint(tmp_path / "old.ckpt")
    stored = torch.load(tmp_path / "old.ckpt", weights_only=True)
    del stored["prepared"]
    torch.save(stored, tmp_path / "old.ckpt")
    assert ForecastTask.load_from_checkpoint(tmp_path / "old.ckpt", network=Prepared, weights_only=True).prepared


def test_a_second_fit_goes_on_where_the_first_ended(trainer):
    task, data = _forecast()
    begins = Begins()
    trainer().fit(task, data)
    learned = task.network.trend.weight.detach().clone()
    trainer(2, begins).fit(task, data)
    assert task.network.prepared == 1
    assert begins.weight.equal(learned)


def test_what_has_nothing_to_train_is_solved_for_the_data_of_each_fit(trainer):
    task, alone = AnomalyTask(Autoregression(3)), AnomalyTask(Autoregression(3))
    first, second = (AnomalyDataModule.from_series(_series(scale), window=8) for scale in (1.0, 3.0))
    trainer(1).fit(task, first)
    before = task.network.weight.clone()
    trainer(1).fit(task, second)
    trainer(1).fit(alone, second)
    assert task.network.weight.equal(alone.network.weight)
    assert not before.equal(alone.network.weight)
