"""Detection of anomalies under Lightning: what a network does not expect, having seen the training rows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.data.series import Scaling, Series, Window
from graphseq.extras import needed_by
from graphseq.training.anomaly_picture import plot_anomalies
from graphseq.training.anomaly_scores import detection, row_scores
from graphseq.training.processes import shared_mean
from graphseq.training.series_task import SeriesTask

if TYPE_CHECKING:
    import pandas as pd

    from graphseq.training.series import AnomalyDataModule


class AnomalyTask(SeriesTask):
    r"""Train a network to reconstruct windows, and score each row by its error.

    The network is called as ``network(window, observed)`` and returns the values that it expects, NaN where it expects
    nothing. If it has a method ``prepare``, that gets the training windows before the first step. The loss is the mean
    squared error. The score of a row is that error over its variates and over all windows that hold it.

    Every epoch logs ``{train,val,test}/mse`` and, of the rows of the part, the ``largest`` score. Where a series has
    labels, the test adds what :func:`~graphseq.training.anomaly_scores.detection` says. Rows are flagged above a
    threshold that no label has a say in: a quantile of the scores of the validation rows.

    Args:
        network: the network.
        lr: learning rate of AdamW.
        weight_decay: decay of matrices; vectors and what is marked ``_no_weight_decay`` do not decay.
        warmup_epochs: epochs of linear warm-up, before half a cosine to zero at the last epoch.
        quantile: of the validation scores, above which a row is flagged.

    Raises:
        ValueError: if ``quantile`` is not between 0 and 1.
    """

    curves = ("mse", "largest")
    """What the run folder draws."""

    threshold: Tensor

    def __init__(
        self,
        network: nn.Module,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        warmup_epochs: int = 0,
        quantile: float = 0.99,
    ) -> None:
        super().__init__()
        if not 0 <= quantile <= 1:
            raise ValueError(f"quantile must be between 0 and 1, got {quantile}")
        with warnings.catch_warnings():
            # Whether this is the network or the command line's description of it is seen once it is saved.
            warnings.filterwarnings("ignore", message="Attribute 'network' is an instance of `nn.Module`")
            self.save_hyperparameters(logger=False)
        if isinstance(self.hparams["network"], nn.Module):
            # Only a description is plain data that a checkpoint may hold.
            self.save_hyperparameters(ignore=["network"], logger=False)
        self.network: nn.Module = network
        self.lr, self.weight_decay, self.warmup_epochs, self.quantile = lr, weight_decay, warmup_epochs, quantile
        self.window, self.scaling = 0, None
        # In double precision the sum over a part is exact to the last printed digit whatever the batches.
        self.errors = self.means("mse")
        self.register_buffer("threshold", torch.tensor(torch.inf))
        self._of_windows: list[tuple[Tensor, Tensor]] = []

    def configure_model(self) -> None:
        try:
            data: AnomalyDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        except RuntimeError:
            # No trainer: a checkpoint is being loaded, and brings its sizes.
            return
        self.window, self.scaling = data.window, data.scaling
        super().configure_model()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        scaling = self._scaling
        checkpoint["series"] = {"window": self.window, "mean": scaling.mean, "std": scaling.std}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        stored = checkpoint["series"]
        self.window, self.scaling = stored["window"], Scaling(stored["mean"], stored["std"])

    def forward(self, window: Tensor, observed: Tensor | None = None) -> Tensor:
        """What is expected in a batch of windows, on their scale."""
        return self.network(window, observed)

    def training_step(self, window: Window, batch_idx: int = 0) -> Tensor:
        error, counted = self._compared(window, "train", batch_idx)
        loss = shared_mean(error.sum(), counted.float().sum())
        # What has no parameters, or is solved in closed form, has nothing to train, but several processes need a loss.
        return loss.requires_grad_()

    def validation_step(self, window: Window, batch_idx: int = 0) -> None:
        self._of_windows.append(self._compared(window, "val", batch_idx))

    def test_step(self, window: Window, batch_idx: int = 0) -> None:
        self._of_windows.append(self._compared(window, "test", batch_idx))

    def predict_step(self, window: Window) -> tuple[Tensor, Tensor]:
        return self._compared(window)

    def on_train_epoch_end(self) -> None:
        self.log_errors("train")

    def on_validation_epoch_end(self) -> None:
        scores = self._scores_of_part()
        self.threshold.copy_(scores.quantile(self.quantile))
        self.log_errors("val", largest=scores.max())

    def on_test_epoch_end(self) -> None:
        scores = self._scores_of_part()
        series: Series = self.trainer.datamodule.series  # type: ignore[attr-defined]
        found = {}
        if series.anomalous is not None:
            anomalous = series.anomalous[series.borders.val : series.borders.test].to(scores.device)
            found = detection(scores, anomalous, float(self.threshold))
        self.log_errors("test", largest=scores.max(), **found)

    @torch.no_grad()
    def scores(self, series: Series) -> pd.DataFrame:
        """The score of every row of a series, and whether it is above the threshold.

        Args:
            series: with the variates that the network was trained on.

        Raises:
            ValueError: if it has fewer rows than a window, or another number of variates.
        """
        scaling = self._scaling
        if series.num_variates != len(scaling.mean):
            raise ValueError(
                f"series must have the {len(scaling.mean)} variates of training, got {series.num_variates}"
            )
        if len(series) < self.window:
            raise ValueError(f"series must have the {self.window} rows of a window, got {len(series)}")
        seen = torch.ones_like(series.values, dtype=torch.bool) if series.observed is None else series.observed
        values = scaling.scaled(series.values.double()).masked_fill(~seen, 0).float()
        windows, observed = (part.unfold(0, self.window, 1) for part in (values, seen))
        was_training = self.training
        self.eval()
        parts = zip(windows.split(256), observed.split(256), strict=True)
        errors = [self._difference(x.to(self.device), mask.to(self.device)) for x, mask in parts]
        self.train(was_training)
        return self._table(_of_rows(errors).cpu(), series, 0)

    def write_predictions(self, batches: list[tuple[Tensor, Tensor]], folder: Path, data: AnomalyDataModule) -> str:
        """Scores of the test rows, and a picture of them, into a run folder.

        Args:
            batches: what :meth:`predict_step` returned.
            folder: where they go.
            data: what was predicted.

        Returns:
            A sentence that says what is where.
        """
        scores = _of_rows(batches)[data.lookback :].cpu()
        table = self._table(scores, data.series, data.series.borders.val)
        table.to_csv(folder / "scores.csv")
        plot_anomalies(scores, float(self.threshold), data, folder / "anomalies.png")
        return (
            f"{len(table)} test rows, {int(table['flagged'].sum())} of them flagged, the largest score at "
            f"{table['score'].idxmax()}, in {folder / 'scores.csv'}; a picture in {folder / 'anomalies.png'}"
        )

    def result(self, data: AnomalyDataModule) -> dict[str, Any]:
        """What a record of results says about the data and the metric."""
        labelled = data.series.anomalous is not None
        return {
            "task": f"anomalies in windows of {data.window} rows",
            "dataset": data.series.name,
            "metric": "rocauc" if labelled else "mse",
            "maximize": labelled,
        }

    @property
    def _scaling(self) -> Scaling:
        if self.scaling is None:
            raise ValueError("the scale of the series is known after training: fit first, or load a checkpoint")
        return self.scaling

    def _compared(self, window: Window, part: str | None = None, batch_idx: int = 0) -> tuple[Tensor, Tensor]:
        window = Window(*window)
        x = torch.cat([window.past, window.future], dim=-1)
        error, counted = self._difference(x, torch.cat([window.past_observed, window.future_observed], dim=-1))
        if part is not None:
            counts = self.counted(part, batch_idx, len(x))[:, 0].to(error.dtype)
            error, counted = error * counts, counted * counts
            mean = error.detach() / counted.clamp(min=1)
            self.errors[f"{part}_mse"].update(mean, counted)  # type: ignore[operator]
        return error, counted

    def _difference(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error of each row of each window, summed over variates, and how many values that is."""
        expected = self(x, observed)
        counted = observed & ~expected.isnan()
        error = (expected - x).masked_fill(~counted, 0).square()
        return error.sum(1), counted.sum(1).to(error.dtype)

    def _scores_of_part(self) -> Float[Tensor, " rows"]:
        scores = _of_rows(self._of_windows)[self.window - 1 :]
        self._of_windows = []
        return scores

    def _table(self, scores: Tensor, series: Series, first: int) -> pd.DataFrame:
        with needed_by("a table of scores"):
            import pandas as pd

        rows = slice(first, first + len(scores))
        table = pd.DataFrame({"score": scores.numpy(), "flagged": (scores > self.threshold.cpu()).numpy()})
        if series.time is None:
            table.index = pd.RangeIndex(rows.start, rows.stop, name="row")
        else:
            table.index = series.stamps()[rows].rename("time")
        return table


def _of_rows(errors: list[tuple[Tensor, Tensor]]) -> Tensor:
    total, counted = (torch.cat(parts) for parts in zip(*errors, strict=True))
    return row_scores(total, counted)
