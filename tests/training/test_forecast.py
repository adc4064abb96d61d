"""The forecasting harness: it must give published numbers where there is no luck in them."""

import warnings

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from graphseq.chimera import LinearForecaster
from graphseq.data.series import Borders, Series, Windows
from graphseq.training import ForecastTask, SeriesDataModule

# Mean squared and absolute error of the least-squares map, look-back 96: no training, no seed.
ANCHORS = {
    ("ETTh1", 96): (0.3832, 0.3915),
    ("ETTh1", 720): (0.4616, 0.4556),
    ("ETTh2", 96): (0.2890, 0.3377),
    ("ETTh2", 336): (0.4138, 0.4237),
    ("Exchange", 96): (0.0816, 0.1969),
}


@pytest.fixture
def trainer(tmp_path):
    def make(**options):
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        return pl.Trainer(
            **{**quiet, "logger": False, "accelerator": "cpu", "default_root_dir": tmp_path, "max_epochs": 2, **options}
        )

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        yield make


def _series(rows=260, observed=None):
    time = torch.arange(rows, dtype=torch.float64)[:, None]
    values = torch.sin(time / 4 + torch.arange(3)) + 0.2 * torch.randn(rows, 3, dtype=torch.float64)
    return Series(values, ("a", "b", "c"), Borders(160, 200, rows), observed)


def _linear(data):
    task = ForecastTask(LinearForecaster)
    network = task.build(data.lookback, data.horizon, data.series.num_variates)
    network.fit(Windows(data.series, "train", data.lookback, data.horizon, data.scaling, torch.float64))
    return task


@pytest.mark.parametrize(("name", "horizon"), ANCHORS)
def test_the_linear_forecaster_gives_its_known_errors(trainer, mirror, tmp_path, name, horizon):
    data = SeriesDataModule(name, 96, horizon, root=str(tmp_path), mirror=mirror, batch_size=256)
    scores = trainer().test(_linear(data), datamodule=data, verbose=False)[0]
    assert (round(scores["test/mse"], 4), round(scores["test/mae"], 4)) == ANCHORS[name, horizon]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_errors_do_not_depend_on_the_batch_size(trainer, batch_size):
    """53 windows: neither batch size divides them, and no window is dropped."""
    data = SeriesDataModule.from_series(_series(), lookback=12, horizon=8, batch_size=batch_size)
    task = _linear(data)
    scores = trainer().test(task, datamodule=data, verbose=False)[0]
    windows = data.windows("test")
    past, future = (torch.stack([getattr(windows[i], key) for i in range(len(windows))]) for key in ("past", "future"))
    assert len(windows) == 53
    error = task(past) - future
    assert scores["test/mse"] == pytest.approx(float(error.double().square().mean()), rel=1e-6)
    assert scores["test/mae"] == pytest.approx(float(error.double().abs().mean()), rel=1e-6)


def test_values_that_were_not_observed_do_not_count(trainer):
    observed = torch.rand(260, 3) > 0.2
    whole = _series()
    scores = []
    for filling in (0.0, 100.0):
        values = torch.where(observed, whole.values, filling)
        series = Series(values, whole.names, whole.borders, observed)
        data = SeriesDataModule.from_series(series, lookback=6, horizon=2, batch_size=16)
        scores.append(trainer().test(_linear(data), datamodule=data, verbose=False)[0])
    assert scores[0] == scores[1]


class _Constant(nn.Module):
    """Forecasts one learned number everywhere."""

    def __init__(self, lookback, horizon, variates):
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))
        self.horizon = horizon
        self.prepared = 0

    def prepare(self, windows):
        self.prepared += 1

    def forward(self, past, observed=None):
        return self.level.expand(*past.shape[:2], self.horizon)


def test_fitting_minimises_the_squared_error_and_prepares_once(trainer):
    data = SeriesDataModule.from_series(_series(), lookback=12, horizon=8, batch_size=32, scale=False, seed=0)
    task = ForecastTask(_Constant, lr=0.05)
    trainer(max_epochs=30).fit(task, datamodule=data)
    windows = data.windows("train")
    mean = torch.stack([windows[i].future for i in range(len(windows))]).mean()
    assert task.network.prepared == 1
    assert float(task.network.level.detach()) == pytest.approx(float(mean), abs=0.02)


def test_errors_beyond_the_bound_of_huber_count_linearly(trainer):
    """With nearly all of them there, the best constant is the median."""
    data = SeriesDataModule.from_series(_series(), lookback=12, horizon=8, batch_size=32, scale=False, seed=0)
    data.series.values.exp_()
    task = ForecastTask(_Constant, lr=0.05, huber=0.02)
    trainer(max_epochs=30).fit(task, datamodule=data)
    windows = data.windows("train")
    values = torch.stack([windows[i].future for i in range(len(windows))])
    assert abs(values.mean() - values.median()) > 0.2
    assert float(task.network.level.detach()) == pytest.approx(float(values.median()), abs=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ForecastTask(_Constant, huber=0.0), "huber must be positive, got 0.0"),
        (lambda: SeriesDataModule("ETTh9").series, "name must be a known series .* got 'ETTh9'"),
        (lambda: ForecastTask(_Constant)(torch.zeros(1, 1, 4)), "the network is made with its data"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
