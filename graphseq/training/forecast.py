"""Forecasting under Lightning: the task of predicting what follows a window of a series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss

from graphseq.data.series import Scaling, Series, Window
from graphseq.extras import needed_by
from graphseq.training.forecast_picture import plot_forecast
from graphseq.training.processes import shared_mean
from graphseq.training.series_task import SeriesTask

if TYPE_CHECKING:
    import pandas as pd

    from graphseq.training.series import SeriesDataModule


class ForecastTask(SeriesTask):
    r"""Train a forecaster on the mean squared, or Huber's, error of all steps and variates that were observed.

    The network is made as ``network(lookback, horizon, variates)`` once the data are known, and called as
    ``network(past, observed)``; if it has a method ``prepare``, that gets the training windows before the first step.
    Every epoch logs ``{train,val,test}/mse`` and ``…/mae``, sums over all values divided by their exact number, so that
    they do not depend on the batch size, and ``…/score``, the negative of the first.

    A checkpoint holds the sizes of the network and the scale of the series, so that
    ``ForecastTask.load_from_checkpoint(path).forecast(series)`` goes on where the series ends.

    Args:
        network: makes the network.
        lr: learning rate of AdamW.
        weight_decay: decay of matrices; vectors and what is marked ``_no_weight_decay`` do not decay.
        warmup_epochs: epochs of linear warm-up, before half a cosine to zero at the last epoch.
        huber: error, in units of the scaled series, beyond which the loss grows linearly (Huber 1964), so that a few
            large errors of the training rows count less; if not given, it is squared everywhere.

    Raises:
        ValueError: if ``huber`` is not positive.
    """

    curves = ("mse", "mae")
    """What the run folder draws."""

    def __init__(
        self,
        network: Callable[[int, int, int], nn.Module],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        warmup_epochs: int = 0,
        huber: float | None = None,
    ) -> None:
        super().__init__()
        if huber is not None and huber <= 0:
            raise ValueError(f"huber must be positive, got {huber}")
        self.huber = huber
        self.save_hyperparameters(logger=False)
        if callable(self.hparams["network"]):
            # Only the command line's description of a network is plain data that a checkpoint may hold.
            self.save_hyperparameters(ignore=["network"], logger=False)
        self.make_network: Callable[..., nn.Module] = network
        self.lr, self.weight_decay, self.warmup_epochs = lr, weight_decay, warmup_epochs
        self.network: nn.Module | None = None
        self.sizes: dict[str, int] = {}
        self.scaling: Scaling | None = None
        self.errors = self.means("mse", "mae")

    def build(self, lookback: int, horizon: int, variates: int) -> nn.Module:
        """Make the network; a second call changes nothing."""
        if self.network is None:
            self.sizes = {"lookback": lookback, "horizon": horizon, "variates": variates}
            self.network = self.make_network(lookback, horizon, variates)
        return self.network

    def configure_model(self) -> None:
        try:
            data: SeriesDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        except RuntimeError:
            # No trainer: a checkpoint is being loaded, and brings its sizes.
            return
        self.build(data.lookback, data.horizon, data.series.num_variates)
        self.scaling = data.scaling
        super().configure_model()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        scaling = self.scaling or Scaling.identity(self.sizes["variates"])
        checkpoint["series"] = {**self.sizes, "mean": scaling.mean, "std": scaling.std}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        stored = dict(checkpoint["series"])
        self.scaling = Scaling(stored.pop("mean"), stored.pop("std"))
        self.build(**stored)

    def forward(self, past: Tensor, observed: Tensor | None = None) -> Tensor:
        """Forecasts of a batch, on the scale of its windows."""
        return self._made(past, observed)

    def training_step(self, window: Window, batch_idx: int = 0) -> Tensor:
        error, seen = self._errors(window, "train", batch_idx)
        losses = error.square()
        if self.huber is not None:
            losses = huber_loss(error, torch.zeros_like(error), reduction="none", delta=self.huber)
        loss = shared_mean((losses * seen).sum(), seen.float().sum())
        # What is solved in closed form, or repeats the past, has nothing to train, but several processes need a loss.
        return loss.requires_grad_()

    def validation_step(self, window: Window, batch_idx: int = 0) -> None:
        self._errors(window, "val", batch_idx)

    def test_step(self, window: Window, batch_idx: int = 0) -> None:
        self._errors(window, "test", batch_idx)

    def predict_step(self, window: Window) -> Tensor:
        return self(window.past, window.past_observed)

    def on_train_epoch_end(self) -> None:
        self.log_errors("train")

    def on_validation_epoch_end(self) -> None:
        self.log_errors("val")

    def on_test_epoch_end(self) -> None:
        self.log_errors("test")

    @torch.no_grad()
    def forecast(self, series: Series) -> pd.DataFrame:
        """What follows the last row of a series: one row a time, one column a variate, in the units of the series.

        Time goes on by the median step, where the series has stamps.

        Args:
            series: with the variates that the network was trained on; its last rows are read.

        Raises:
            ValueError: if it has fewer rows than the network looks back, or another number of variates.
        """
        with needed_by("a table of forecasts"):
            import pandas as pd

        past, observed = self._last_window(series)
        was_training = self.training
        future = self.eval()(past[None].to(self.device), observed[None].to(self.device))[0].cpu()
        self.train(was_training)
        rows = self._scaling.restored(future.t().double())
        return pd.DataFrame(rows.numpy(), columns=list(series.names), index=series.following(len(rows)))

    def write_predictions(self, batches: list[Tensor], folder: Path, data: SeriesDataModule) -> str:
        """Forecasts of the test windows, of what follows the file, and a picture of both, into a run folder.

        Args:
            batches: what :meth:`predict_step` returned.
            folder: where they go.
            data: what was predicted.

        Returns:
            A sentence that says what is where.
        """
        forecasts = torch.cat(batches)
        torch.save({"forecast": data.scaling.restored(forecasts.mT).mT.contiguous()}, folder / "predictions.pt")
        ahead = self.forecast(data.series)
        ahead.to_csv(folder / "forecast.csv", index_label="time" if data.series.time is not None else "row")
        plot_forecast(self._made, data, folder / "forecast.png")
        return (
            f"{len(forecasts)} test windows in {folder / 'predictions.pt'}, the {len(ahead)} rows after the last in "
            f"{folder / 'forecast.csv'}, pictures in {folder / 'forecast.png'}"
        )

    def result(self, data: SeriesDataModule) -> dict[str, Any]:
        """What a record of results says about the data and the metric."""
        return {
            "task": f"forecast of {data.horizon} rows from {data.lookback}",
            "dataset": data.series.name,
            "metric": "mse",
            "maximize": False,
        }

    @property
    def _made(self) -> nn.Module:
        if self.network is None:
            raise ValueError("the network is made with its data: call build(lookback, horizon, variates) or fit first")
        return self.network

    @property
    def _scaling(self) -> Scaling:
        return self.scaling or Scaling.identity(self.sizes["variates"])

    def _last_window(self, series: Series) -> tuple[Tensor, Tensor]:
        _ = self._made
        lookback, variates = self.sizes["lookback"], self.sizes["variates"]
        if series.num_variates != variates:
            raise ValueError(f"series must have the {variates} variates of training, got {series.num_variates}")
        if len(series) < lookback:
            raise ValueError(f"series must have the {lookback} rows that are looked back on, got {len(series)}")
        values = self._scaling.scaled(series.values[-lookback:].double())
        observed = torch.ones_like(values, dtype=torch.bool)
        if series.observed is not None:
            observed = series.observed[-lookback:]
        return values.masked_fill(~observed, 0).t().float(), observed.t()

    def _errors(self, window: Window, part: str, batch_idx: int) -> tuple[Tensor, Tensor]:
        """The error of each value, and whether it counts."""
        window = Window(*window)
        error = self(window.past, window.past_observed) - window.future
        seen = window.future_observed.to(error.dtype) * self.counted(part, batch_idx, len(error)).to(error.dtype)
        detached = error.detach()
        self.errors[f"{part}_mse"].update(detached.square(), seen)  # type: ignore[operator]
        self.errors[f"{part}_mae"].update(detached.abs(), seen)  # type: ignore[operator]
        return error, seen
