"""Tables of one's own: every cell is taken, masked as told, or refused by name; no column goes without a word."""

import gzip

import numpy as np
import pandas as pd
import pytest
import torch

from graphseq.data.series import Borders, Scaling, Series, Windows

HOURS = [f"2024-01-01 {hour:02d}:00" for hour in range(24)]


def _written(folder, lines, encoding="utf-8"):
    path = folder / "mine.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def _lines(cells, header="t,load,price"):
    """The price is the cell where one is given, else the hour."""
    return [header, *(f"{t},{hour}.5,{cells.get(hour, hour)}" for hour, t in enumerate(HOURS))]


@pytest.mark.parametrize("cell", ["-", "n.a.", "1 000", '"1,5"', '"1,000.5"', "€3", "5 kW", "1e", "0x10", "1_0", "--"])
@pytest.mark.parametrize("missing", ["refuse", "mask"])
def test_a_text_among_numbers_is_refused_by_column_row_and_cell(tmp_path, cell, missing):
    path = _written(tmp_path, _lines({7: cell}))
    with pytest.raises(ValueError, match=r"frame must hold numbers in column 'price', got .* in row 7") as caught:
        Series.from_csv(path, time="t", missing=missing)
    assert repr(cell.strip('"')) in str(caught.value)


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "NaN", "nan", "null", "None", "#N/A", "<NA>", "n/a"])
def test_the_usual_words_for_nothing_are_empty_cells(tmp_path, cell):
    path = _written(tmp_path, _lines({7: cell}))
    with pytest.raises(ValueError, match="values must be finite, got nan in row 7 of 'price': give missing='mask'"):
        Series.from_csv(path, time="t")
    series = Series.from_csv(path, time="t", missing="mask")
    assert series.names == ("load", "price")
    assert series.observed.logical_not().nonzero().tolist() == [[7, 1]]
    assert series.values[:, 1].tolist() == [0 if hour == 7 else hour for hour in range(24)]


@pytest.mark.parametrize("missing", ["refuse", "mask"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_never_observed_and_never_a_gap(missing, value):
    frame = pd.DataFrame({"a": [*range(19), value], "b": np.arange(20.0)})
    with pytest.raises(ValueError, match=f"got {value} in row 19 of 'a': an infinite value is no gap"):
        Series.from_frame(frame, missing=missing)


def test_an_infinite_value_in_a_file_is_refused(tmp_path):
    for cell in ("inf", "-Infinity", "1e999"):
        with pytest.raises(ValueError, match=r"values must be finite, got -?inf in row 3 of 'price'"):
            Series.from_csv(_written(tmp_path, _lines({3: cell})), time="t", missing="mask")


def test_truth_values_and_whole_numbers_are_values(tmp_path):
    lines = ["open,count,share", *(f"{hour % 2 == 0},{hour},0.5" for hour in range(20))]
    series = Series.from_csv(_written(tmp_path, lines))
    assert series.names == ("open", "count", "share")
    assert series.values[3].tolist() == [0, 3, 0.5] and series.values[4].tolist() == [1, 4, 0.5]
    # One empty cell makes another type of the column in pandas.
    lines[5] = ",4,0.5"
    series = Series.from_csv(_written(tmp_path, lines), missing="mask")
    assert series.names == ("open", "count", "share") and not series.observed[4, 0]
    assert series.values[:, 0].tolist() == [hour % 2 == 0 and hour != 4 for hour in range(20)]


def test_numbers_that_are_texts_in_a_frame_are_taken():
    texts = pd.Series([f"{hour}.25" for hour in range(20)], dtype=object)
    frame = pd.DataFrame({"a": texts, "b": pd.array([*range(19), None], dtype="Int64")})
    series = Series.from_frame(frame, missing="mask")
    assert series.values[:, 0].tolist() == [hour + 0.25 for hour in range(20)]
    assert series.observed[:, 1].tolist() == [True] * 19 + [False]


@pytest.mark.parametrize("column", [pd.date_range("2024", periods=20), ["x"] * 20, pd.to_timedelta(range(20), "s")])
def test_a_column_without_numbers_goes_with_one_warning(column):
    frame = pd.DataFrame({"note": column, "other": "Ulm", "a": np.arange(20.0)})
    with pytest.warns(UserWarning, match=r"left out: note, other \(.*Give variates=") as told:
        series = Series.from_frame(frame)
    assert series.names == ("a",) and len(told) == 1
    assert Series.from_frame(frame, variates=["a"]).names == ("a",)
    with pytest.raises(ValueError, match="frame must hold numbers in column 'note'"):
        Series.from_frame(frame, variates=["a", "note"])


def test_complex_numbers_keep_their_imaginary_part_or_are_refused():
    with pytest.raises(ValueError, match="frame must hold numbers in column 'a', got complex128"):
        Series.from_frame(pd.DataFrame({"a": np.arange(20) * 1j}), variates=["a"])


def test_a_file_of_another_notation_is_read_with_its_signs(tmp_path):
    lines = ["t;load;price", *(f"{t};1.00{hour % 10},5;{hour},25" for hour, t in enumerate(HOURS))]
    path = _written(tmp_path, lines)
    series = Series.from_csv(path, time="t", sep=";", decimal=",", thousands=".")
    assert series.values[7].tolist() == [1007.5, 7.25]
    with pytest.raises(ValueError, match=r"as many cells in each line as in the first, 1, got 2 more: is ','"):
        Series.from_csv(path, time="t")
    with pytest.raises(ValueError, match=r"in column 'load', got '1\.000,5' in row 0"):
        Series.from_csv(path, time="t", sep=";")


def test_days_with_dots_are_no_numbers_with_thousands(tmp_path):
    lines = ["t;load", *(f"{day:02d}.02.2024;1.00{day % 10},5" for day in range(1, 21))]
    form = {"sep": ";", "decimal": ",", "thousands": "."}
    series = Series.from_csv(_written(tmp_path, lines), time="t", time_format="%d.%m.%Y", **form)
    assert str(series.time[2])[:10] == "2024-02-03" and series.values[2].item() == 1003.5


def test_one_cell_too_many_is_refused_wherever_it_is(tmp_path):
    lines = [f"{line},9" if place else line for place, line in enumerate(_lines({}))]
    with pytest.raises(ValueError, match="as many cells in each line as in the first, 3, got 1 more"):
        Series.from_csv(_written(tmp_path, lines), time="t")
    lines = [f"{line},9" if place == 7 else line for place, line in enumerate(_lines({}))]
    with pytest.raises(ValueError, match=r"mine\.csv must have 3 cells in each line, .* line 8, saw 4"):
        Series.from_csv(_written(tmp_path, lines), time="t")


@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_and_compression_change_nothing(tmp_path, pack, mark):
    path = tmp_path / ("mine.csv.gz" if pack is gzip.compress else "mine.csv")
    path.write_bytes(pack((mark + "\n".join(_lines({})) + "\n").encode()))
    series = Series.from_csv(path, time="t")
    assert (series.names, series.name, len(series)) == (("load", "price"), "mine", 24)


def test_other_encodings_are_read_when_told(tmp_path):
    lines = _lines({}, header="t,größe,price")
    assert Series.from_csv(_written(tmp_path, lines, "latin-1"), time="t", encoding="latin-1").names[0] == "größe"
    assert Series.from_csv(_written(tmp_path, lines, "utf-16"), time="t", encoding="utf-16").names[0] == "größe"


def test_blank_lines_are_gaps_only_where_a_line_is_one_cell(tmp_path):
    lines = _lines({})
    series = Series.from_csv(_written(tmp_path, [*lines[:5], "", *lines[5:], "", ""]), time="t")
    assert series.values[:, 1].tolist() == list(range(24))
    column = ["load", *map(str, range(9)), "", *map(str, range(10, 20)), "", ""]
    with pytest.raises(ValueError, match="got nan in row 9 of 'load'"):
        Series.from_csv(_written(tmp_path, column))
    series = Series.from_csv(_written(tmp_path, column), missing="mask")
    assert len(series) == 20 and series.values[10:, 0].tolist() == list(range(10, 20))
    assert series.observed.logical_not().nonzero().tolist() == [[9, 0]]
    # What is written as empty is a row, at the end too.
    series = Series.from_csv(_written(tmp_path, [*column[:-2], "NaN"]), missing="mask")
    assert len(series) == 21 and not series.observed[20, 0]


@pytest.mark.parametrize(
    "first", ["0.5,1.5", "2024-01-01,3", "7,8", "3,3", "1e5,2", "2024-01-01 00:00,0.5", "Ulm,0.25", "0.5,", '"1,5",2']
)
def test_a_file_without_names_does_not_lose_its_first_row(tmp_path, first):
    path = _written(tmp_path, [first, *(f"{row}.5,{row}" for row in range(20))])
    with pytest.raises(ValueError, match=r"mine\.csv must begin with a line of .*names, got .*header=None if"):
        Series.from_csv(path)
    frame = pd.read_csv(path, header=None)
    if all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes):
        series = Series.from_csv(path, header=None, missing="mask")
        assert series.names == ("0", "1") and len(series) == 21
        np.testing.assert_array_equal(series.values[0].numpy(), frame.iloc[0].fillna(0))


@pytest.mark.parametrize("first", ["773869,767541", "0.1,0.9"])
def test_names_that_are_numbers_are_taken_when_told(tmp_path, first):
    path = _written(tmp_path, [first, *(f"{row}.5,{row}" for row in range(20))])
    series = Series.from_csv(path, header=0)
    assert series.names == tuple(first.split(",")) and len(series) == 20


@pytest.mark.parametrize("first", ["0,1", ",773869", "t2m,10m_wind", "2m temperature,3"])
def test_usual_names_need_no_word(tmp_path, first):
    path = _written(tmp_path, [first, *(f"{row}.5,{row}" for row in range(20))])
    assert len(Series.from_csv(path)) == 20


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    path = _written(tmp_path, _lines({}, header="t,load,load"))
    with pytest.raises(ValueError, match=r"must begin with a line of different names, got 'load' twice"):
        Series.from_csv(path, time="t")
    frame = pd.DataFrame(np.arange(40.0).reshape(20, 2), columns=["a", "a"])
    with pytest.raises(ValueError, match="frame must have columns of different names, got 'a' twice"):
        Series.from_frame(frame)
    with pytest.raises(ValueError, match="variates must be different names, got 'b' twice"):
        Series.from_frame(frame.set_axis(["a", "b"], axis=1), variates=["b", "b"])


def test_columns_are_named_one_by_one_and_once(unchecked):
    frame = pd.DataFrame({"t": HOURS, "ab": np.arange(24.0), "odd": 0})
    with pytest.raises(TypeError, match="variates must be a list of columns, got the text 'ab'"):
        Series.from_frame(frame, variates="ab")
    with pytest.raises(ValueError, match="variates must be other columns than time and labels, got 'odd' as both"):
        Series.from_frame(frame, time="t", labels="odd", variates=["ab", "odd"])
    with pytest.raises(ValueError, match="header must be 'infer', 0 or None, got 1"):
        Series.from_csv("mine.csv", header=1)


def test_rows_of_several_groups_are_not_mixed():
    index = pd.MultiIndex.from_product([["Ulm", "Bonn"], range(10)])
    with pytest.raises(ValueError, match="frame must have one row a time, got an index of 2 levels"):
        Series.from_frame(pd.DataFrame({"a": np.arange(20.0)}, index=index))


@pytest.mark.parametrize("index", [pd.Index(HOURS), pd.Index(range(24), name="t"), pd.Index(np.arange(24) * 0.5)])
def test_an_index_that_may_be_time_goes_with_a_warning(index):
    with pytest.warns(UserWarning, match="the index is left out: .*give time="):
        assert Series.from_frame(pd.DataFrame({"a": np.arange(24.0)}, index=index)).time is None


def test_numbers_of_rows_go_without_a_word():
    frame = pd.DataFrame({"a": np.arange(48.0)})
    assert Series.from_frame(frame[frame["a"] % 2 == 0]).time is None


def test_integers_beyond_float64_are_refused():
    frame = pd.DataFrame({"a": 2**53 + np.arange(20)})
    with pytest.raises(ValueError, match="column 'a', got the integer 9007199254740993 in row 1"):
        Series.from_frame(frame)


def test_values_that_a_window_cannot_hold_are_refused():
    values = torch.arange(40.0, dtype=torch.float64)[:, None]
    values[5] = 1e39
    series = Series(values, ("a",), Borders(20, 30, 40))
    with pytest.raises(ValueError, match=r"within torch.float32 once they are scaled, got 1e\+39 in row 5 of 'a'"):
        Windows(series, "train", 4, 2, Scaling.identity(1))
    assert bool(Windows(series, "train", 4, 2).values.isfinite().all())
    values[5] = 1e200
    with pytest.raises(ValueError, match=r"squares are within float64, got up to 1e\+200 in 'a'"):
        Scaling.of(series)
