"""A multivariate time series with its time stamps, its gaps and its split."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from graphseq.data.cells import as_numbers, has_numbers
from graphseq.data.stamps import as_zone, following, in_zone, read_stamps
from graphseq.extras import needed_by

if TYPE_CHECKING:
    import pandas as pd

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_FRACTION_OR_DATE = re.compile(
    r"[+-]?(\d*[.,]\d+|\d+[.,]|\d+([.,]\d*)?[eE][+-]?\d+)|\d{1,4}([-/.])\d{1,2}\3\d{1,4}([T ][\d:.+ZAPM -]*)?", re.ASCII
)


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
        time: the time stamps, ``datetime64``, increasing, in UTC if there is a ``zone``; none if the series has none.
        period: of the main season in rows, where known: 24 for hourly data.
        name: of the series.
        anomalous: which rows are labelled as anomalies; none if the series has no labels.
        zone: the time zone in which stamps are shown, see :meth:`stamps`; none if they name none.

    Raises:
        ValueError: if sizes disagree, a value is NaN or infinite, time stamps are no ``datetime64`` or are not strictly
            increasing, or the borders are not in order.
    """

    values: Float[Tensor, "rows variates"]
    names: tuple[str, ...]
    borders: Borders
    observed: Bool[Tensor, "rows variates"] | None = None
    time: np.ndarray | None = None
    period: int | None = None
    name: str = "series"
    anomalous: Bool[Tensor, " rows"] | None = None
    zone: tzinfo | None = None

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
            value = self.values[row, column].item()
            hint = "give missing='mask' when the series is made, so that gaps are masked"
            if value == value:
                hint = "an infinite value is no gap; leave its cell empty if it is to be one"
            raise ValueError(f"values must be finite, got {value} in row {row} of {self.names[column]!r}: {hint}")
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
        time_format: str | None = None,
        time_unit: str | None = None,
        zone: str | tzinfo | None = None,
    ) -> Series:
        """A series from a table, one row a time.

        Numbers, booleans, and texts that are plain numbers (``"1.5"``) are values. Empty cells are None, NaN, pandas'
        missing values, and the texts that pandas reads as such: ``""``, ``"NA"``, ``"N/A"``, ``"NaN"``, ``"null"``,
        ``"None"`` and their like. Anything else in a column of numbers is refused, infinite values too.

        Time stamps are dates, with or without a time zone, periods, which count by their start, or texts with the year
        first (``2024-01-31 12:00``, ISO 8601), with or without an offset to UTC. Those with a zone are put in order by
        UTC and shown in their zone; where offsets differ from row to row and ``zone`` is not given, in UTC.

        Args:
            frame: the table.
            time: column with the time stamps; the index if it holds dates, else none.
            variates: columns to take; if not given, all that hold numbers, and a warning names those that do not.
            borders: the split; see :meth:`Borders.of_fractions` for what is taken without it.
            missing: what to do about empty cells: ``"refuse"`` them, or ``"mask"`` them.
            period: of the main season in rows.
            name: of the series.
            labels: column that says which rows are anomalies, by 1 or true; it is no variate.
            time_format: how time stamps are written where they are other texts, such as ``"%d/%m/%Y %H:%M"``, or
                numbers, such as ``"%Y"``. Whether 01/02/2024 is a day in January is never guessed.
            time_unit: what time stamps count since the beginning of 1970 in UTC where they are numbers: ``"D"``,
                ``"h"``, ``"m"``, ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
            zone: time zone, such as ``"Europe/Berlin"``: of stamps that name none, so that the hour that the end of
                summer time repeats is in order; the one in which others are shown.

        Raises:
            ValueError: if a column does not exist or holds no numbers, a cell of it is no number, a time stamp cannot
                be read without a guess, or as for :class:`Series`.
            TypeError: if ``variates`` is a single text.

        Example:
            >>> import pandas as pd
            >>> when = pd.date_range("2024-03-31", periods=10, freq="h", tz="Europe/Berlin")
            >>> series = Series.from_frame(pd.DataFrame({"load": range(10)}, index=when))
            >>> str(series.time[2]), str(series.stamps()[2])
            ('2024-03-31T01:00:00.000000', '2024-03-31 03:00:00+02:00')
        """
        if missing not in ("refuse", "mask"):
            raise ValueError(f"missing must be 'refuse' or 'mask', got {missing!r}")
        if isinstance(variates, str):
            raise TypeError(f"variates must be a list of columns, got the text {variates!r}")
        _check_columns(frame, time, labels, variates)
        chosen = _numeric(frame, [time, labels]) if variates is None else list(variates)
        if not chosen:
            raise ValueError("frame must have at least one column of numbers, got none")
        when = _times(frame, time, time_format, time_unit, zone)
        hint = ": write it as a plain number, or leave the cell empty and give missing='mask'"
        values = torch.from_numpy(np.stack([as_numbers(frame[column], column, hint=hint) for column in chosen], axis=1))
        observed = None
        if missing == "mask":
            observed = ~values.isnan()
            values = values.masked_fill(~observed, 0)
        names = tuple(map(str, chosen))
        split = borders or Borders.of_fractions(len(frame))
        return cls(values, names, split, observed, when[0], period, name, _labels(frame, labels), when[1])

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        sep: str = ",",
        decimal: str = ".",
        thousands: str | None = None,
        encoding: str = "utf-8",
        header: int | str | None = "infer",
        **options: object,
    ) -> Series:
        """A series from a file of values with commas, or something else, between them.

        Args:
            path: the file, compressed or not. In a file of one column, a blank line before the last number is an empty
                cell; other blank lines are skipped.
            sep: what is between cells.
            decimal: what is before the fraction of a number.
            thousands: what is between the thousands of a number, if anything.
            encoding: of the file; a byte-order mark is skipped.
            header: without it, the first line must be names, and is refused where it looks like data. 0 says that it
                holds names though they are numbers or dates; None that the file has no names, so that columns are
                called ``"0"``, ``"1"`` and so on.
            options: those of :meth:`from_frame`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the first line is no header, names a column twice, or has fewer cells than others, or as for
                :meth:`from_frame`.
        """
        form = {"sep": sep, "decimal": decimal, "thousands": thousands, "encoding": encoding}
        # With a dot between thousands, pandas reads 01.02.2024 as a number.
        texts = {options["time"]: str} if thousands is not None and options.get("time") is not None else None
        frame = _read_csv(path, form, header, texts)
        return cls.from_frame(frame, **{"name": Path(path).name.split(".")[0], **options})  # type: ignore[arg-type]

    @property
    def num_variates(self) -> int:
        """Columns."""
        return self.values.shape[1]

    def stamps(self) -> pd.DatetimeIndex:
        """The time stamps in the zone of the series.

        Raises:
            ValueError: if it has none.
        """
        if self.time is None:
            raise ValueError("series must have time stamps, got none: name their column as time when it is made")
        return in_zone(self.time, self.zone)

    def following(self, rows: int) -> pd.Index:
        """Stamps of the rows that come after the last, or their numbers if the series has no stamps.

        Time goes on by the median step. Where that is whole days by the clock of the zone it stays so over a change to
        or from summer time.

        Args:
            rows: how many.
        """
        with needed_by("a time stamp"):
            import pandas as pd

        if self.time is None:
            return pd.RangeIndex(len(self), len(self) + rows)
        return in_zone(following(self.time, rows, self.zone), self.zone)

    def __len__(self) -> int:
        return self.values.shape[0]


def _check_columns(frame: pd.DataFrame, time: str | None, labels: str | None, variates: Sequence[str] | None) -> None:
    named = [column for column in (time, labels) if column is not None]
    for column in [*named, *(variates or ())]:
        if column not in frame.columns:
            raise ValueError(f"frame must have a column {column!r}, got {', '.join(map(str, frame.columns))}")
    for column in variates or ():
        if column in named:
            raise ValueError(f"variates must be other columns than time and labels, got {column!r} as both")
    chosen = [column for column in frame.columns if variates is None or column in [*named, *variates]]
    for what, names in (("frame must have columns of", chosen), ("variates must be", variates or ())):
        if twice := [text for text, count in Counter(map(str, names)).items() if count > 1]:
            raise ValueError(f"{what} different names, got {twice[0]!r} twice")


def _numeric(frame: pd.DataFrame, named: list[str | None]) -> list[Any]:
    """The columns that hold numbers; the user is told of the others."""
    others = [column for column in frame.columns if column not in named]
    taken = [column for column in others if has_numbers(frame[column])]
    if left := [column for column in others if column not in taken]:
        first = frame[left[0]].iloc[0]
        warnings.warn(
            f"columns without numbers are left out: {', '.join(map(str, left))} (the first cell of {left[0]} is "
            f"{first!r}). Give variates= to say what to take, and time= if one of them holds time stamps",
            stacklevel=3,
        )
    return taken


def _times(
    frame: pd.DataFrame, time: str | None, time_format: str | None, time_unit: str | None, zone: str | tzinfo | None
) -> tuple[np.ndarray | None, tzinfo | None]:
    with needed_by("a time stamp"):
        import pandas as pd

    if isinstance(frame.index, pd.MultiIndex):
        raise ValueError(
            f"frame must have one row a time, got an index of {frame.index.nlevels} levels: make a series of each "
            "group, or put the levels into columns by reset_index()"
        )
    if time is not None:
        return read_stamps(frame[time], time, time_format=time_format, time_unit=time_unit, zone=zone)
    if isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        return read_stamps(frame.index, "index", time_unit=time_unit, zone=zone)
    for argument, value in (("time_format", time_format), ("time_unit", time_unit), ("zone", as_zone(zone))):
        if value is not None:
            raise ValueError(f"{argument} says how time stamps are read, got {value} without time, the column of them")
    if frame.index.name is not None or not pd.api.types.is_integer_dtype(frame.index.dtype):
        warnings.warn(
            f"the index is left out: {frame.index.name or frame.index[:1].tolist()} holds no dates. If it holds time "
            "stamps, put it into a column by reset_index() and give time=",
            stacklevel=3,
        )
    return None, None


def _read_csv(path: str | Path, form: dict[str, Any], header: int | str | None, dtype: Any) -> pd.DataFrame:
    with needed_by("a CSV file"):
        import pandas as pd

    if header not in ("infer", 0, None):
        raise ValueError(f"header must be 'infer', 0 or None, got {header!r}")
    as_texts: dict[str, Any] = {"dtype": str, "keep_default_na": False, **form}
    first = [cell.strip() for cell in pd.read_csv(path, header=None, nrows=1, **as_texts).iloc[0]]
    if header is not None:
        _check_header(path, first, header)
    place = None if header is None else 0
    # A line that is one cell has a place in time even where it is blank.
    single = len(first) == 1
    try:
        frame = pd.read_csv(
            path,
            header=place,
            float_precision="round_trip",
            skip_blank_lines=not single,
            low_memory=False,
            dtype=dtype,
            **form,
        )
    except pd.errors.ParserError as error:
        raise ValueError(
            f"{path} must have {len(first)} cells in each line, separated by {form['sep']!r}: {error}"
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError(
            f"{path} must have as many cells in each line as in the first, {len(first)}, got {frame.index.nlevels} "
            f"more: is {form['sep']!r} what separates cells, and {form['decimal']!r} the decimal sign?"
        )
    if single:
        cells = pd.read_csv(path, header=place, skip_blank_lines=False, **as_texts).iloc[:, 0].fillna("")
        filled = np.flatnonzero(cells.str.strip() != "")
        frame = frame.iloc[: filled[-1] + 1 if len(filled) else 0]
    return frame.rename(columns=str) if header is None else frame


def _check_header(path: str | Path, cells: list[str], header: int | str) -> None:
    hint = "" if header == 0 else ": give header=None if that is data"
    if twice := [cell for cell, count in Counter(cells).items() if cell and count > 1]:
        raise ValueError(f"{path} must begin with a line of different names, got {twice[0]!r} twice{hint}")
    if header == "infer" and _is_data(cells):
        shown = ", ".join(cells[:6]) + (" …" if len(cells) > 6 else "")
        raise ValueError(f"{path} must begin with a line of names, got {shown}{hint}, header=0 if these are the names")


def _is_data(cells: list[str]) -> bool:
    """Whether a line looks like no names: it has a fraction or a date, or whole numbers alone."""
    if any(_FRACTION_OR_DATE.fullmatch(cell) for cell in cells):
        return True
    # Columns without names are counted from 0 by pandas; names of sensors stand beside one of another kind.
    return cells != [str(place) for place in range(len(cells))] and all(_WHOLE.fullmatch(cell) for cell in cells)


def _labels(frame: pd.DataFrame, column: str | None) -> Tensor | None:
    if column is None:
        return None
    if not frame[column].isin([0, 1]).all():
        row = int((~frame[column].isin([0, 1])).to_numpy().argmax())
        raise ValueError(f"labels must be 0 or 1, got {frame[column].iloc[row]} in row {row} of {column!r}")
    return torch.from_numpy(frame[column].to_numpy(bool, copy=True))


def _check_times(time: np.ndarray, rows: int) -> None:
    kind = getattr(time, "dtype", type(time).__name__)
    if not isinstance(time, np.ndarray) or not np.issubdtype(time.dtype, np.datetime64):
        raise ValueError(f"time must be an array of datetime64, got {kind}: Series.from_frame reads other stamps")
    if time.shape != (rows,):
        raise ValueError(f"time must have one stamp for each of the {rows} rows, got shape {list(time.shape)}")
    if np.isnat(time).any():
        raise ValueError(f"time must be a date in every row, got none in row {int(np.isnat(time).argmax())}")
    if not (later := np.diff(time) > np.timedelta64(0)).all():
        row = int((~later).argmax()) + 1
        what = "the same stamp twice" if time[row] == time[row - 1] else "an earlier stamp after a later one"
        raise ValueError(f"time must be strictly increasing, got {what} in row {row}: {time[row - 1]}, {time[row]}")
