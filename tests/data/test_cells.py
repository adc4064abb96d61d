"""Columns of a user's table: which cells are numbers, which are empty, and which are refused by name."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from graphseq.data.cells import as_numbers, has_numbers


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        ([1, 2.5, True, None], [1, 2.5, 1, np.nan]),
        (["1", " -2.5e3 ", "NA", ""], [1, -2500, np.nan, np.nan]),
        ([Decimal("0.1"), np.float32(0.5), np.int8(-3), pd.NA], [0.1, 0.5, -3, np.nan]),
        (pd.array([1, None, 3], dtype="Int64"), [1, np.nan, 3]),
        (pd.array([True, None], dtype="boolean"), [1, np.nan]),
        (pd.Series(["1", "2", "1"], dtype="category"), [1, 2, 1]),
        (np.array([250, 3], dtype=np.uint8), [250, 3]),
        (np.array([2**60, -(2**60)]), [2.0**60, -(2.0**60)]),
        (np.array([2**64 - 2**11], dtype=np.uint64), [2.0**64 - 2.0**11]),
        (["inf", "-Infinity"], [np.inf, -np.inf]),
        ([], []),
    ],
)
def test_numbers_in_any_dress_are_taken(column, numbers):
    np.testing.assert_array_equal(as_numbers(column, "a"), numbers)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, "-", 3], r"frame must hold numbers in column 'a', got '-' in row 1"),
        (["1", "2,5"], r"got '2,5' in row 1"),
        (["1,234.5"], r"got '1,234.5' in row 0"),
        (["1_000"], r"got '1_000' in row 0"),
        ([1, 2j], r"got 2j in row 1"),
        ([0.5, "١"], r"in row 1"),
        (np.array([1j]), r"got complex128"),
        (pd.to_datetime(["2024-01-01"]), r"got datetime64"),
        (np.array([1], dtype="timedelta64[s]"), r"got timedelta64"),
        (pd.Series(pd.period_range("2024-01", periods=1, freq="M")), r"in row 0"),
        (np.array([1, 2**53 + 1]), r"exactly in column 'a', got the integer 9007199254740993 in row 1"),
        (np.array([2**64 - 1], dtype=np.uint64), r"got the integer 18446744073709551615 in row 0"),
        ([0.5, 2**53 + 1], r"got the integer 9007199254740993 in row 1"),
        ([0.5, 10**400], r"in row 1"),
        ([[1, 2], "x"], r"got \[1, 2\] in row 0"),
    ],
)
def test_what_is_no_number_is_named(column, message):
    with pytest.raises(ValueError, match=message):
        as_numbers(column, "a")


@pytest.mark.parametrize("cells", [["x", "3"], ["x", 3], ["1,5"], ["€ 3"], ["12 kW"], ["1'000"], [None, None], [True]])
def test_a_column_that_may_hold_numbers_is_seen(cells):
    assert has_numbers(pd.Series(cells, dtype=object))


@pytest.mark.parametrize("cells", [["Berlin"], ["2024-01-01"], ["01.02.2024 10:00"], ["12:30", None], ["A1"], ["-"]])
def test_names_and_dates_are_no_numbers(cells):
    assert not has_numbers(pd.Series(cells, dtype=object))
