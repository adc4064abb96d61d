"""Forecasting under Lightning: windows of a series, and the task of predicting what follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric

from graphseq.data.series import Scaling, Series, Window, Windows, load_series, series_names
from graphseq.data.series.windows import Part
from graphseq.training.loading import epoch_loader
from graphseq.training.optimisation import parameter_groups, warmup_cosine


class SeriesDataModule(pl.LightningDataModule):
    """Windows of a named series, or of a file of your own, for training, validation and test.

    Every window is used in every part: validation and test never drop the last batch.

    Args:
        name: one of :func:`graphseq.data.series.series_names`, or the path of a CSV file.
        lookback: rows that a model sees.
        horizon: rows that it forecasts.
        root: folder for raw files.
        mirror: folder with raw files, looked into before anything is downloaded.
        batch_size: windows in a step, over all processes.
        num_workers: processes that load.
        scale: standardise by the training rows.
        options: for a CSV file, the arguments of :meth:`~graphseq.data.series.Series.from_csv`.
        seed: of the order of training windows; that of ``seed_everything`` if not given.
    """

    def __init__(
        self,
        name: str,
        lookback: int = 96,
        horizon: int = 96,
        root: str | None = None,
        mirror: str | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        scale: bool = True,
        options: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.name: str = name
        self.lookback, self.horizon = lookback, horizon
        self.root, self.mirror, self.scale = root, mirror, scale
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.options = options or {}
        self._series: Series | None = None
        self._scaling: Scaling | None = None

    @classmethod
    def from_series(cls, series: Series, **arguments: Any) -> SeriesDataModule:
        """Windows of a series of your own; ``arguments`` as above."""
        module = cls(series.name, **arguments)
        module._series = series
        return module

    @property
    def series(self) -> Series:
        """The series, loaded on first use."""
        if self._series is None:
            if self.name in series_names():
                self._series = load_series(self.name, self.root, self.mirror)
            elif self.name.endswith((".csv", ".csv.gz")):
                self._series = Series.from_csv(self.name, **self.options)
            else:
                known = ", ".join(series_names())
                raise ValueError(f"name must be a known series ({known}) or the path of a CSV file, got {self.name!r}")
        return self._series

    @property
    def scaling(self) -> Scaling:
        """How values are scaled."""
        if self._scaling is None:
            series = self.series
            self._scaling = Scaling.of(series) if self.scale else Scaling.identity(series.num_variates)
        return self._scaling

    def windows(self, part: Part) -> Windows:
        """The windows of a part."""
        return Windows(self.series, part, self.lookback, self.horizon, self.scaling)

    def prepare_data(self) -> None:
        _ = self.series

    def setup(self, stage: str) -> None:
        _ = self.scaling

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader:
        return self._loader("test")

    def _loader(self, part: Part, *, shuffle: bool = False) -> DataLoader:
        return epoch_loader(
            DataLoader,
            self.windows(part),
            self.trainer,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            shuffle=shuffle,
            seed=self.seed,
        )


class ForecastTask(pl.LightningModule):
    r"""Train a forecaster on the mean squared error of all steps and variates that were observed.

    The network is made as ``network(lookback, horizon, variates=…)`` once the data are known, and called as
    ``network(past, observed)``; if it has a method ``prepare``, that gets the training windows before the first step.
    Every epoch logs ``{train,val,test}/mse`` and ``…/mae``, sums over all values divided by their exact number, so that
    they do not depend on the batch size, and ``…/score``, the negative of the first.

    Args:
        network: makes the network.
        lr: learning rate of AdamW.
        weight_decay: decay of matrices; vectors and what is marked ``_no_weight_decay`` do not decay.
        warmup_epochs: epochs of linear warm-up, before half a cosine to zero at the last epoch.
    """

    def __init__(
        self,
        network: Callable[[int, int], nn.Module],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        warmup_epochs: int = 0,
    ) -> None:
        super().__init__()
        self.make_network: Callable[..., nn.Module] = network
        self.lr, self.weight_decay, self.warmup_epochs = lr, weight_decay, warmup_epochs
        self.network: nn.Module | None = None
        self.errors = nn.ModuleDict({f"{part}_{name}": _mean() for part in _PARTS for name in _METRICS})

    def build(self, lookback: int, horizon: int, variates: int) -> nn.Module:
        """Make the network; a second call changes nothing."""
        if self.network is None:
            self.network = self.make_network(lookback, horizon, variates=variates)
        return self.network

    def configure_model(self) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.build(data.lookback, data.horizon, data.series.num_variates)

    def on_fit_start(self) -> None:
        prepare = getattr(self.network, "prepare", None)
        # A resumed run goes on with what it has learned.
        if prepare is not None and self.trainer.current_epoch == 0 and self.trainer.global_step == 0:
            prepare(self.trainer.datamodule.windows("train"))  # type: ignore[attr-defined]

    def forward(self, past: Tensor, observed: Tensor | None = None) -> Tensor:
        """Forecasts of a batch, on the scale of its windows."""
        if self.network is None:
            raise ValueError("the network is made with its data: call build(lookback, horizon, variates) or fit first")
        return self.network(past, observed)

    def training_step(self, window: Window) -> Tensor:
        error = self._errors(window, "train")
        return (error.square() * window.future_observed).sum() / window.future_observed.sum().clamp(min=1)

    def validation_step(self, window: Window) -> None:
        self._errors(window, "val")

    def test_step(self, window: Window) -> None:
        self._errors(window, "test")

    def predict_step(self, window: Window) -> Tensor:
        return self(window.past, window.past_observed)

    def on_train_epoch_end(self) -> None:
        self._log("train")

    def on_validation_epoch_end(self) -> None:
        self._log("val")

    def on_test_epoch_end(self) -> None:
        self._log("test")

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizer = torch.optim.AdamW(parameter_groups(self, self.weight_decay), lr=self.lr)
        return [optimizer], [warmup_cosine(optimizer, self.warmup_epochs, self.trainer.max_epochs or 1)]

    def _errors(self, window: Window, part: str) -> Tensor:
        window = Window(*window)
        error = self(window.past, window.past_observed) - window.future
        seen = window.future_observed.to(error.dtype)
        detached = error.detach()
        self.errors[f"{part}_mse"].update(detached.square(), seen)  # type: ignore[operator]
        self.errors[f"{part}_mae"].update(detached.abs(), seen)  # type: ignore[operator]
        return error

    def _log(self, part: str) -> None:
        values = {}
        for name in _METRICS:
            metric = self.errors[f"{part}_{name}"]
            values[name] = metric.compute()  # type: ignore[operator]
            metric.reset()  # type: ignore[operator]
        for name, value in {**values, "score": -values["mse"]}.items():
            self.log(f"{part}/{name}", value, prog_bar=name == "mse", batch_size=1)


_PARTS, _METRICS = ("train", "val", "test"), ("mse", "mae")


def _mean() -> MeanMetric:
    # In double precision the sum over a test set is exact to the last printed digit whatever the batches.
    return MeanMetric().set_dtype(torch.float64)  # type: ignore[return-value]
