"""Time stamps of a user's table: instants, in order in UTC, and the time zone in which they were written."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphseq.data.cells import EMPTY, first_row, is_missing, shown
from graphseq.extras import needed_by

if TYPE_CHECKING:
    import pandas as pd

UNITS = ("D", "h", "m", "s", "ms", "us", "ns")

_LAST_SECOND = 253_402_300_799
_YEAR_FIRST = re.compile(r"\d{4}([-/.]\d|\d{4}(?!\d)|$)")
_OFFSET = re.compile(r"[T ]\d{1,2}.*([Zz]|[+-]\d{2}(:?\d{2})?)$")


class Stamps(NamedTuple):
    """One stamp a row.

    Args:
        time: ``datetime64``; in UTC where there is a zone.
        zone: the time zone in which they were written; none if they name none.
    """

    time: np.ndarray
    zone: tzinfo | None


def read_stamps(
    column: Any,
    name: object,
    *,
    time_format: str | None = None,
    time_unit: str | None = None,
    zone: str | tzinfo | None = None,
) -> Stamps:
    """Dates of a column, of which none is guessed.

    Taken are dates of NumPy, pandas and Python, with or without a time zone; pandas' periods, by their start; and
    texts with the year first (ISO 8601, also with ``/`` or ``.``), with or without an offset to UTC. Other texts need
    ``time_format``, since 01/02/2024 is a day in January or one in February, and numbers need ``time_unit`` or, such
    as years, ``time_format``.

    Where offsets differ from row to row, as they do over a change to summer time, the zone is UTC unless ``zone``
    names another.

    Args:
        column: an array, a list, or a column or the index of a pandas ``DataFrame``.
        name: of the column, for messages.
        time_format: how texts are written, in the signs of ``strftime``, such as ``"%d/%m/%Y %H:%M"``.
        time_unit: what a number counts since the beginning of 1970 in UTC: ``"D"``, ``"h"``, ``"m"``, ``"s"``,
            ``"ms"``, ``"us"`` or ``"ns"``.
        zone: the zone of stamps that name none; those that do are told in it. Of an hour that the end of summer time
            repeats, the rows in order say which is which.

    Raises:
        ValueError: if a stamp cannot be read without a guess, some have a zone and others none, or ``zone`` is none.

    Example:
        >>> stamps = read_stamps(["2024-03-31T01:30+01:00", "2024-03-31T03:30+02:00"], "t", zone="Europe/Berlin")
        >>> stamps.time.astype("datetime64[m]").tolist()[1].isoformat(), str(stamps.zone)
        ('2024-03-31T01:30:00', 'Europe/Berlin')
    """
    with needed_by("a time stamp"):
        import pandas as pd

    if time_format is not None and time_unit is not None:
        raise ValueError(f"time_format and time_unit must not both be given, got {time_format!r} and {time_unit!r}")
    if time_unit is not None and time_unit not in UNITS:
        raise ValueError(f"time_unit must be one of {', '.join(UNITS)}, got {time_unit!r}")
    chosen = as_zone(zone)
    values = pd.Series(column).reset_index(drop=True)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    index = _index(values.infer_objects(), name, time_format, time_unit)
    if index.isna().any():
        raise ValueError(f"time must be a date in every row, got none in row {int(index.isna().argmax())}")
    if index.tz is None and chosen is not None and time_unit is None:
        index = _localized(index, chosen, name)
    if index.tz is None:
        return Stamps(index.to_numpy(copy=True), chosen)
    return Stamps(index.tz_convert("UTC").tz_localize(None).to_numpy(copy=True), chosen or index.tz)


def as_zone(zone: str | tzinfo | None) -> tzinfo | None:
    """A time zone by its name, such as ``"Europe/Berlin"`` or ``"+02:00"``.

    Raises:
        ValueError: if there is none of that name.
    """
    if not isinstance(zone, str):
        return zone
    with needed_by("a time zone"):
        import pandas as pd

    try:
        return pd.Timestamp(0, tz=f"UTC{zone}" if re.fullmatch(r"[+-]\d{2}:\d{2}", zone) else zone).tz
    except Exception as error:  # pandas, pytz and zoneinfo raise different ones
        raise ValueError(f"zone must be the name of a time zone, such as 'Europe/Berlin', got {zone!r}") from error


def _index(values: pd.Series, name: object, time_format: str | None, time_unit: str | None) -> pd.DatetimeIndex:
    """The dates, with the zone that they name."""
    with needed_by("a time stamp"):
        import pandas as pd

    kind = values.dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        return _of_numbers(values, name, time_format, time_unit)
    if time_unit is not None:
        raise ValueError(f"time must hold numbers for time_unit={time_unit!r}, got {kind} in column {name!r}")
    if isinstance(kind, pd.PeriodDtype):
        return pd.PeriodIndex(values).to_timestamp(how="start")
    if pd.api.types.is_datetime64_any_dtype(kind):
        return pd.DatetimeIndex(values)
    if pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind):
        return _of_objects(values.astype(object), name, time_format)
    raise ValueError(f"time must hold dates, got {kind} in column {name!r}")


def _of_numbers(values: pd.Series, name: object, time_format: str | None, time_unit: str | None) -> pd.DatetimeIndex:
    with needed_by("a time stamp"):
        import pandas as pd

    kind = values.dtype
    if time_format is not None and pd.api.types.is_integer_dtype(kind):
        return _of_texts([None if pd.isna(cell) else str(cell) for cell in values], name, time_format)
    if time_unit is None:
        raise ValueError(
            f"time must hold dates, got {kind} in column {name!r}: give time_unit='s' for seconds since 1970, "
            "time_format='%Y' for years; or leave time out if the column only counts rows"
        )
    if not pd.api.types.is_integer_dtype(kind) and np.dtype(getattr(kind, "numpy_dtype", kind)).itemsize < 8:
        raise ValueError(
            f"time must be integers or float64, got {kind} in column {name!r}, which resolves seconds since 1970 only "
            "to about two minutes"
        )
    rough = values.to_numpy(np.float64, na_value=np.nan)
    limit = _LAST_SECOND * (np.timedelta64(1, "s") / np.timedelta64(1, time_unit))  # type: ignore[call-overload]
    # NaN, an empty cell, is told later.
    if (beyond := np.abs(rough) > limit).any():
        row = int(beyond.argmax())
        raise ValueError(
            f"time must lie before the year 10000, got {rough[row]:g} {time_unit} since 1970 in row {row} of column "
            f"{name!r}: is time_unit right?"
        )
    if pd.api.types.is_integer_dtype(kind) and not values.isna().any():
        return pd.DatetimeIndex(values.to_numpy(np.int64).astype(f"datetime64[{time_unit}]"))
    # Whole units and the rest apart: their product in microseconds need not fit the 53 bits of float64.
    whole, rest = np.floor(np.nan_to_num(rough)), np.nan_to_num(rough) % 1
    microseconds = np.rint(rest * (np.timedelta64(1, time_unit) / np.timedelta64(1, "us")))  # type: ignore[call-overload]
    exact = whole.astype(np.int64).astype(f"datetime64[{time_unit}]") + microseconds.astype("timedelta64[us]")
    return pd.DatetimeIndex(np.where(np.isnan(rough), np.datetime64("NaT"), exact))


def _of_objects(values: pd.Series, name: object, time_format: str | None) -> pd.DatetimeIndex:
    with needed_by("a time stamp"):
        import pandas as pd

    cells = values.to_numpy()
    if (row := first_row(cells, lambda cell: isinstance(cell, str))) is not None:
        other = first_row(cells, lambda cell: not isinstance(cell, str) and not is_missing(cell))
        if other is not None:
            raise ValueError(
                f"time must hold one kind of stamps in column {name!r}, got {shown(cells[row])} in row {row} and "
                f"{shown(cells[other])} in row {other}"
            )
        texts = [None if is_missing(cell) or cell.strip() in EMPTY else cell for cell in cells]
        return _of_texts(texts, name, time_format)
    if (row := first_row(cells, lambda cell: not _is_date(cell) and not is_missing(cell))) is not None:
        raise ValueError(f"time must hold dates, got {shown(cells[row])} in row {row} of column {name!r}")
    _refuse_some_with_zone(cells, _has_zone, name)
    zones = {str(cell.tzinfo): cell.tzinfo for cell in cells if _has_zone(cell)}
    index = pd.DatetimeIndex(pd.to_datetime(values, utc=bool(zones)))
    return index.tz_convert(next(iter(zones.values()))) if len(zones) == 1 else index


def _is_date(cell: Any) -> bool:
    # Numbers, say, would be read as nanoseconds.
    return isinstance(cell, date | np.datetime64)


def _has_zone(cell: Any) -> bool:
    return getattr(cell, "tzinfo", None) is not None


def _of_texts(texts: list[str | None], name: object, time_format: str | None) -> pd.DatetimeIndex:
    with needed_by("a time stamp"):
        import pandas as pd

    cells = np.array([None if text is None else text.strip() for text in texts], dtype=object)
    if time_format is None:
        row = first_row(cells, lambda cell: cell is not None and _YEAR_FIRST.match(cell) is None)
        if row is not None:
            raise ValueError(
                f"time must be written with the year first, such as 2024-01-31 12:00, got {shown(cells[row])} in row "
                f"{row} of column {name!r}: give time_format, such as '%d/%m/%Y %H:%M'"
            )
        _refuse_some_with_zone(cells, _has_offset, name)
        aware = first_row(cells, _has_offset) is not None
    else:
        aware = "%z" in time_format or "%Z" in time_format
    index = pd.DatetimeIndex(
        pd.to_datetime(pd.Series(cells, dtype=object), format=time_format or "ISO8601", utc=aware, errors="coerce")
    )
    row = first_row(np.asarray([cell is not None for cell in cells]) & index.isna(), bool)
    if row is not None:
        wanted = "as time_format says" if time_format else "such as 2024-01-31 12:00"
        raise ValueError(f"time must be a date {wanted}, got {shown(cells[row])} in row {row} of column {name!r}")
    offsets = (
        {} if time_format else {match.group(1): match for cell in cells if cell and (match := _OFFSET.search(cell))}
    )
    return index.tz_convert(_as_offset(next(iter(offsets)))) if len(offsets) == 1 else index


def _has_offset(text: Any) -> bool:
    return text is not None and _OFFSET.search(text) is not None


def _as_offset(text: str) -> tzinfo:
    """Of ``Z``, ``+01``, ``+0130`` or ``+01:30``."""
    if text in "Zz":
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-size if text[0] == "-" else size)


def _refuse_some_with_zone(cells: np.ndarray, has_zone: Callable[[Any], bool], name: object) -> None:
    with_one = first_row(cells, has_zone)
    without = first_row(cells, lambda cell: not is_missing(cell) and not has_zone(cell))
    if with_one is not None and without is not None:
        raise ValueError(
            f"time must name a zone in all rows of column {name!r} or in none, got {cells[with_one]!s} in row "
            f"{with_one} and {cells[without]!s} in row {without}"
        )


def _localized(index: pd.DatetimeIndex, zone: tzinfo, name: object) -> pd.DatetimeIndex:
    try:
        return index.tz_localize(zone, ambiguous="infer")
    except Exception as error:  # pandas and pytz raise different ones
        raise ValueError(
            f"time must be hours that there are in {zone}, told apart where summer time repeats one, in column "
            f"{name!r}; got stamps of which pandas says: {error}"
        ) from error


def following(time: np.ndarray, rows: int, zone: tzinfo | None) -> np.ndarray:
    """Stamps that go on by the median step; whole days by the clock of the zone, others by time that passes.

    Args:
        time: stamps so far, in UTC where there is a zone.
        rows: how many more.
        zone: whose clock it is.
    """
    if zone is not None:
        clock = in_zone(time, zone).tz_localize(None).to_numpy()
        step = np.median(np.diff(clock))
        if step > np.timedelta64(0) and step % np.timedelta64(1, "D") == np.timedelta64(0):
            later = _index_of(clock[-1] + np.arange(1, rows + 1) * step)
            local = later.tz_localize(zone, ambiguous=np.ones(rows, dtype=bool), nonexistent="shift_forward")
            return local.tz_convert("UTC").tz_localize(None).to_numpy()
    return time[-1] + np.arange(1, rows + 1) * np.median(np.diff(time))


def in_zone(time: np.ndarray, zone: tzinfo | None) -> pd.DatetimeIndex:
    """Stamps as people of the zone write them."""
    index = _index_of(time)
    return index if zone is None else index.tz_localize("UTC").tz_convert(zone)


def _index_of(time: np.ndarray) -> pd.DatetimeIndex:
    with needed_by("a time stamp"):
        import pandas as pd

    return pd.DatetimeIndex(time)
