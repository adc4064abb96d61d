"""Windows of a series as Lightning data modules."""

from __future__ import annotations

from typing import Any, get_args

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from graphseq.data.manifest import nearest
from graphseq.data.series import Scaling, Series, Windows, flow_series, load_series, series_names
from graphseq.data.series.windows import Part
from graphseq.training.loading import check_batch_size, epoch_loader


class SeriesDataModule(pl.LightningDataModule):
    """Windows of a named series, or of a file of your own, for training, validation and test.

    Every window is used in every part: validation and test never drop the last batch.

    Args:
        name: one of :func:`graphseq.data.series.series_names`, the path of a CSV file, or ``"flow"`` for
            :func:`graphseq.data.series.flow_series`.
        lookback: rows that a model sees.
        horizon: rows that it forecasts.
        root: folder for raw files.
        mirror: folder with raw files, looked into before anything is downloaded.
        batch_size: windows in a step, over all processes.
        num_workers: processes that load.
        scale: standardise by the training rows.
        options: for a CSV file, the arguments of :meth:`~graphseq.data.series.Series.from_csv`; for generated data,
            what it is made with.
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
        """Windows of a series of your own; ``arguments`` as above.

        Raises:
            TypeError: if there is an argument that only says how a named series is loaded.
        """
        for argument in arguments:
            if argument in ("name", "root", "mirror", "options"):
                raise TypeError(f"{argument} says how a named series is loaded; from_series is given one")
        module = cls(series.name, **arguments)
        module._series = series
        return module

    @property
    def series(self) -> Series:
        """The series, loaded on first use."""
        if self._series is None:
            if self.name in series_names():
                self._series = load_series(self.name, self.root, self.mirror)
            elif self.name == "flow":
                self._series = flow_series(**self.options).series
            elif self.name.endswith((".csv", ".csv.gz")):
                self._series = Series.from_csv(self.name, **self.options)
            else:
                known = nearest(self.name, [*series_names(), "flow"])
                raise ValueError(f"name must be a known series{known} or the path of a CSV file, got {self.name!r}")
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
        # What is wrong with a table is said before training begins, for the test part too.
        for part in get_args(Part):
            self.windows(part)

    def check_share(self, processes: int) -> None:
        """Raise a ``ValueError`` if this many processes cannot share a batch equally."""
        check_batch_size(self.batch_size, processes)

    def setup(self, stage: str) -> None:
        _ = self.scaling

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader:
        # Each process sees all windows, so that what is written is whole.
        return self._windows_loader("test", None, shuffle=False)

    def _loader(self, part: Part, *, shuffle: bool = False) -> DataLoader:
        return self._windows_loader(part, self.trainer, shuffle=shuffle)

    def _windows_loader(self, part: Part, trainer: pl.Trainer | None, *, shuffle: bool) -> DataLoader:
        return epoch_loader(
            DataLoader,
            self.windows(part),
            trainer,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            shuffle=shuffle,
            seed=self.seed,
        )


class AnomalyDataModule(SeriesDataModule):
    """Windows of a named series, or of a file of your own, in which anomalies are looked for.

    Training and validation rows are taken to be normal. Every window of ``window`` rows that ends in a part belongs to
    it. In validation and test each process reads all windows, since the score of a row needs all that hold it.

    Args:
        name: as for :class:`SeriesDataModule`.
        window: rows of a window.
        root: folder for raw files.
        mirror: folder with raw files, looked into before anything is downloaded.
        batch_size: windows in a step, over all processes.
        num_workers: processes that load.
        scale: standardise by the training rows.
        options: as for :class:`SeriesDataModule`; ``labels`` names the column of a CSV file that marks anomalies.
        seed: of the order of training windows; that of ``seed_everything`` if not given.

    Raises:
        ValueError: if a window has fewer than two rows.
    """

    def __init__(
        self,
        name: str,
        window: int = 64,
        root: str | None = None,
        mirror: str | None = None,
        batch_size: int = 64,
        num_workers: int = 0,
        scale: bool = True,
        options: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        if window < 2:
            raise ValueError(f"window must have at least 2 rows, got {window}")
        super().__init__(name, window - 1, 1, root, mirror, batch_size, num_workers, scale, options, seed)
        self.window = window

    def _loader(self, part: Part, *, shuffle: bool = False) -> DataLoader:
        return self._windows_loader(part, self.trainer if shuffle else None, shuffle=shuffle)
