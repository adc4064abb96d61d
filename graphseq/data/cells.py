"""Cells of a user's table as numbers: each is taken, counts as empty, or is refused by column and row."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

#: Texts that stand for an empty cell: those of pandas' readers.
EMPTY = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
# A sign or a currency, then a digit: 1,5 or 1'000.0 or €3 or 12 kW, but neither 2024-01-01 nor 12:30.
_ALMOST = re.compile(r"[^\w\s]{0,2}\s*\d")
_DATE = re.compile(r"\d{1,4}([-/.:])\d{1,2}\b(?!$)|\d{1,2}:\d{2}|\d{4}-\d{1,2}$")


def as_numbers(column: Any, name: object, table: str = "frame", hint: str = "") -> np.ndarray:
    """A column in float64, NaN where a cell is empty.

    Numbers, booleans and texts that are plain numbers (``"1.5"``, ``"1e-3"``) are taken. Empty are None, NaN, pandas'
    missing values and the texts of :data:`EMPTY`.

    Args:
        column: an array, a list or a column of a pandas ``DataFrame``.
        name: of the column, for messages.
        table: of the argument that the column is from, for messages.
        hint: what the message about a cell ends with.

    Raises:
        ValueError: if a cell is none of these, or is an integer that float64 does not hold exactly.

    Example:
        >>> as_numbers(["1.5", None, 2], "load")
        array([1.5, nan, 2. ])
        >>> as_numbers([1.5, "-"], "load")
        Traceback (most recent call last):
            ...
        ValueError: frame must hold numbers in column 'load', got '-' in row 1
    """
    cells = as_cells(column)
    if cells.dtype.kind in "fb":
        return cells.astype(np.float64)
    if cells.dtype.kind in "iu":
        exact = cells.astype(np.float64)
        # The largest of uint64 would come back as another number, or not at all.
        for place in np.flatnonzero(np.abs(exact) >= 2.0**53).tolist():
            if int(exact[place]) != int(cells[place]):
                _refuse_inexact(cells, place, name, table)
        return exact
    if cells.dtype.kind not in "OUST":
        raise ValueError(f"{table} must hold numbers in column {name!r}, got {cells.dtype}")
    numbers = np.empty(len(cells))
    for row, cell in enumerate(cells):
        number = _number(cell)
        if number is None:
            raise ValueError(f"{table} must hold numbers in column {name!r}, got {shown(cell)} in row {row}{hint}")
        if isinstance(cell, int) and number != cell:
            _refuse_inexact(cells, row, name, table)
        numbers[row] = number
    return numbers


def as_cells(column: Any) -> np.ndarray:
    """A column as an array with one axis, in which texts and numbers of a list stay what they are."""
    if isinstance(column, list | tuple) and len({type(cell) for cell in column}) > 1:
        cells = np.empty(len(column), dtype=object)
        cells[:] = column
        return cells
    return np.asarray(column)


def shown(cell: Any) -> str:
    """A cell as messages quote it, whether NumPy holds it or Python."""
    return repr(cell.item() if isinstance(cell, np.generic) else cell)


def is_missing(cell: Any) -> bool:
    """Whether a cell is None, NaN or one of pandas' missing values."""
    if cell is None or cell is getattr(sys.modules.get("pandas"), "NA", None):
        return True
    # NaN and NaT alone differ from themselves; an array, say, answers with another array.
    return (cell != cell) is True or (isinstance(cell, np.generic) and bool(cell != cell))


def has_numbers(column: Any) -> bool:
    """Whether any cell is a number or looks like one that is written in some other way, or all are empty."""
    cells = as_cells(column)
    if cells.dtype.kind not in "OUST":
        return cells.dtype.kind in "fbiu"
    filled = [cell for cell in cells if not _is_empty(cell)]
    return not filled or any(_looks_like_number(cell) for cell in filled)


def first_row(cells: np.ndarray, is_so: Callable[[Any], bool]) -> int | None:
    """The first row whose cell is so, if there is one."""
    return next((row for row, cell in enumerate(cells) if is_so(cell)), None)


def is_plain(text: str) -> bool:
    """Whether a text is a number as Python writes it."""
    return _PLAIN.fullmatch(text.strip()) is not None


def _number(cell: Any) -> float | None:
    """None for what is no number."""
    if _is_empty(cell):
        return float("nan")
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell
    if isinstance(text, str):
        return float(text) if is_plain(text) else None
    if not isinstance(cell, Real | Decimal | np.bool_):
        return None
    try:
        return float(cell)
    except OverflowError:
        return None


def _is_empty(cell: Any) -> bool:
    return cell.strip() in EMPTY if isinstance(cell, str) else is_missing(cell)


def _looks_like_number(cell: Any) -> bool:
    if not isinstance(cell, str):
        return _number(cell) is not None
    text = cell.strip()
    return is_plain(text) or (_ALMOST.match(text) is not None and _DATE.match(text) is None)


def _refuse_inexact(cells: np.ndarray, row: int, name: object, table: str) -> None:
    raise ValueError(
        f"{table} must hold numbers that float64 holds exactly in column {name!r}, got the integer {cells[row]} in "
        f"row {row}"
    )
