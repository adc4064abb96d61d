"""A multivariate time series with its time stamps, its gaps and its split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd


class Borders(NamedTuple):
    """The rows at which training, validation and test data end; rows beyond the last are not used."""

    train: int
    val: int
    test: int

    @classmethod
    def of_fractions(cls, rows: int, train: float = 0.7, test: float = 0.2) -> Borders:
        """The split of most forecasting papers: the first 70 %, the last 20 %, and what lies between.

        Args:
            rows: length of the series.
            train: fraction of the rows, rounded down.
            test: fraction of the rows, rounded down.

        Raises:
            ValueError: unless both are positive and leave something between.
        """
        if not (train > 0 and test > 0 and train + test < 1):
            raise ValueError(f"train and test must be positive and sum to less than 1, got {train} and {test}")
        return cls(int(train * rows), rows - int(test * rows), rows)


@dataclass(frozen=True)
class Series:
    """Values of several variates at common times, in order.

    Args:
        values: one row a time, one column a variate; what is not observed holds zero.
        names: of the variates.
        borders: where training, validation and test data end.
        observed: which values were observed; all if not given.
        time: the time stamps, increasing; none if the series has none.
        period: of the main season in rows, where known: 24 for hourly data.
        name: of the series.
        anomalous: which rows are labelled as anomalies; none if the series has no labels.

    Raises:
        ValueError: if sizes disagree, a value is NaN or infinite without being marked as missing, time stamps are not
            strictly increasing, or the borders are not in order.
    """

    values: Float[Tensor, "rows variates"]
    names: tuple[str, ...]
    borders: Borders
    observed: Bool[Tensor, "rows variates"] | None = None
    time: np.ndarray | None = None
    period: int | None = None
    name: str = "series"
    anomalous: Bool[Tensor, " rows"] | None = None

    def __post_init__(self) -> None:
        rows, variates = self.values.shape
        if len(self.names) != variates:
            raise ValueError(f"names must name the {variates} variates, got {len(self.names)}")
        if not 0 < self.borders.train <= self.borders.val <= self.borders.test <= rows:
            raise ValueError(f"borders must be increasing and within the {rows} rows, got {list(self.borders)}")
        if self.observed is not None and self.observed.shape != self.values.shape:
            raise ValueError(
                f"observed must have the shape of values, {[rows, variates]}, got {list(self.observed.shape)}"
            )
        if self.anomalous is not None and self.anomalous.shape != (rows,):
            raise ValueError(f"anomalous must have one label for each of the {rows} rows, got {len(self.anomalous)}")
        bad = ~self.values.isfinite()
        if bool(bad.any()):
            row, column = bad.nonzero()[0].tolist()
            raise ValueError(
                f"values must be finite, got {self.values[row, column].item()} in row {row} of {self.names[column]!r}: "
                "give missing='mask' when the series is made, so that gaps are masked"
            )
        if self.time is not None:
            _check_times(self.time, rows)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        time: str | None = None,
        variates: Sequence[str] | None = None,
        borders: Borders | None = None,
        missing: str = "refuse",
        period: int | None = None,
        name: str = "series",
        labels: str | None = None,
    ) -> Series:
        """A series from a table, one row a time.

        Args:
            frame: the table.
            time: column with the time stamps; the index if it holds dates, else none.
            variates: columns to take; all that are numbers if not given.
            borders: the split; see :meth:`Borders.of_fractions` for what is taken without it.
            missing: what to do about empty cells: ``"refuse"`` them, or ``"mask"`` them.
            period: of the main season in rows.
            name: of the series.
            labels: column that says which rows are anomalies, by 1 or true; it is no variate.

        Raises:
            ValueError: if a column does not exist or holds no numbers, or as for :class:`Series`.
        """
        import pandas as pd

        if missing not in ("refuse", "mask"):
            raise ValueError(f"missing must be 'refuse' or 'mask', got {missing!r}")
        named = [column for column in (time, labels) if column]
        for column in [*named, *(variates or ())]:
            if column not in frame.columns:
                raise ValueError(f"frame must have a column {column!r}, got {', '.join(map(str, frame.columns))}")
        chosen = frame.drop(columns=named)
        chosen = chosen[list(variates)] if variates is not None else chosen.select_dtypes("number")
        for column, kind in chosen.dtypes.items():
            if not pd.api.types.is_numeric_dtype(kind):
                raise ValueError(f"frame must hold numbers in column {column!r}, got {kind}")
        if chosen.shape[1] == 0:
            raise ValueError("frame must have at least one column of numbers, got none")
        dated = isinstance(frame.index, pd.DatetimeIndex)
        stamps = pd.to_datetime(frame[time]).to_numpy() if time else frame.index.to_numpy() if dated else None
        values = torch.from_numpy(chosen.to_numpy(np.float64, copy=True))
        observed = None
        if missing == "mask":
            observed = ~values.isnan()
            values = values.nan_to_num(0.0)
        names = tuple(map(str, chosen.columns))
        split = borders or Borders.of_fractions(len(frame))
        return cls(values, names, split, observed, stamps, period, name, _labels(frame, labels))

    @classmethod
    def from_csv(cls, path: str | Path, **options: object) -> Series:
        """A series from a file of comma-separated values; ``options`` are those of :meth:`from_frame`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: as for :meth:`from_frame`.
        """
        import pandas as pd

        frame = pd.read_csv(path, float_precision="round_trip")
        return cls.from_frame(frame, **{"name": Path(path).name.split(".")[0], **options})  # type: ignore[arg-type]

    @property
    def num_variates(self) -> int:
        """Columns."""
        return self.values.shape[1]

    def __len__(self) -> int:
        return self.values.shape[0]


def _labels(frame: pd.DataFrame, column: str | None) -> Tensor | None:
    if column is None:
        return None
    if not frame[column].isin([0, 1]).all():
        row = int((~frame[column].isin([0, 1])).to_numpy().argmax())
        raise ValueError(f"labels must be 0 or 1, got {frame[column].iloc[row]} in row {row} of {column!r}")
    return torch.from_numpy(frame[column].to_numpy(bool, copy=True))


def _check_times(time: np.ndarray, rows: int) -> None:
    if time.shape != (rows,):
        raise ValueError(f"time must have one stamp for each of the {rows} rows, got shape {list(time.shape)}")
    if np.isnat(time).any():
        raise ValueError(f"time must be a date in every row, got none in row {int(np.isnat(time).argmax())}")
    if not (later := np.diff(time) > np.timedelta64(0)).all():
        row = int((~later).argmax()) + 1
        what = "the same stamp twice" if time[row] == time[row - 1] else "an earlier stamp after a later one"
        raise ValueError(f"time must be strictly increasing, got {what} in row {row}: {time[row - 1]}, {time[row]}")
