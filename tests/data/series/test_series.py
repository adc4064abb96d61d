"""Series, their scaling and their windows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from graphseq.data.series import Borders, Scaling, Series, Windows, describe_series, load_series, series_names


def _frame(rows=40):
    time = pd.date_range("2020-01-01", periods=rows, freq="h")
    rng = np.random.default_rng(0)
    return pd.DataFrame({"date": time, "a": rng.normal(3, 2, rows), "b": rng.normal(size=rows)})


def test_a_table_becomes_a_series():
    with pytest.warns(UserWarning, match="columns without numbers are left out: note .* is 'x'"):
        series = Series.from_frame(_frame().assign(note="x"), time="date", period=24)
    assert (series.names, len(series), series.num_variates, series.period) == (("a", "b"), 40, 2, 24)
    assert series.borders == Borders(28, 32, 40)
    assert series.time is not None and series.time[1] - series.time[0] == np.timedelta64(1, "h")
    np.testing.assert_array_equal(series.values.numpy(), _frame()[["a", "b"]].to_numpy())


def test_a_file_becomes_the_same_series(tmp_path):
    _frame().to_csv(tmp_path / "mine.csv", index=False)
    series = Series.from_csv(tmp_path / "mine.csv", time="date", variates=["b"])
    assert (series.name, series.names) == ("mine", ("b",))
    np.testing.assert_array_equal(series.values[:, 0].numpy(), _frame()["b"].to_numpy())


def test_every_window_of_a_part_is_there_once():
    values = torch.arange(40.0, dtype=torch.float64)[:, None]
    series = Series(values, ("a",), Borders(20, 30, 38))
    identity = Scaling.identity(1)
    starts = {}
    for part in ("train", "val", "test"):
        windows = Windows(series, part, 4, 3, identity)
        starts[part] = [int(windows[i].past[0, 0]) for i in range(len(windows))]
        for i in (0, len(windows) - 1):
            whole = torch.cat([windows[i].past, windows[i].future], dim=1)[0]
            assert whole.diff().tolist() == [1.0] * 6
    assert starts == {"train": list(range(14)), "val": list(range(16, 24)), "test": list(range(26, 32))}
    with pytest.raises(IndexError, match=r"index must be in 0..5, got 6"):
        Windows(series, "test", 4, 3, identity)[6]


def test_scaling_reads_observed_training_rows_alone():
    series = Series.from_frame(_frame(), time="date")
    scaling = Scaling.of(series)
    train = series.values[:28]
    torch.testing.assert_close(scaling.mean, train.mean(0))
    torch.testing.assert_close(scaling.std, train.std(0, correction=0))
    torch.testing.assert_close(scaling.restored(scaling.scaled(series.values)), series.values)
    observed = torch.ones(40, 2, dtype=torch.bool)
    observed[3] = False
    other = series.values.clone()
    other[3] = 1e9
    other[28:] = -1e9
    masked = Scaling.of(Series(other, series.names, series.borders, observed))
    torch.testing.assert_close(masked.mean, train[observed[:28, 0]].mean(0))


def test_gaps_are_masked_when_asked_for():
    frame = _frame()
    frame.loc[5, "a"] = np.nan
    with pytest.raises(ValueError, match=r"values must be finite, got nan in row 5 of 'a': give missing='mask'"):
        Series.from_frame(frame, time="date")
    series = Series.from_frame(frame, time="date", missing="mask")
    assert series.observed is not None and series.observed.logical_not().nonzero().tolist() == [[5, 0]]
    window = Windows(series, "train", 10, 2)[0]
    assert window.past[0, 5] == 0 and not window.past_observed[0, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(date=f["date"][::-1].to_numpy()), "an earlier stamp after a later one in row 1"),
        (lambda f: f.assign(date=f["date"].to_numpy()[[0, 1, 1, *range(3, 40)]]), "the same stamp twice in row 2"),
        (lambda f: f.assign(date=[pd.NaT, *f["date"][1:]]), "time must be a date in every row, got none in row 0"),
        (lambda f: f.assign(a=np.inf), "values must be finite, got inf in row 0 of 'a'"),
        (lambda f: f.assign(b=2), "labels must be 0 or 1, got 2 in row 0 of 'b'"),
        (lambda f: f.drop(columns=["a"]), "frame must have at least one column of numbers"),
        (lambda f: f.rename(columns={"date": "when"}), "frame must have a column 'date', got when, a, b"),
    ],
)
def test_a_table_that_is_no_series_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Series.from_frame(change(_frame().assign(b=0)), time="date", labels="b")


def test_labels_are_no_variate():
    frame = _frame().assign(odd=[1, 0] * 20)
    series = Series.from_frame(frame, time="date", labels="odd")
    assert series.names == ("a", "b")
    assert series.anomalous.tolist() == [True, False] * 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: Scaling.of(Series(0 * s.values + 0.1, s.names, s.borders)), "'a' is constant there"),
        (
            lambda s: Scaling.of(Series(s.values, s.names, s.borders, torch.zeros(40, 2, dtype=torch.bool))),
            "'a' is never observed there",
        ),
        (lambda s: Windows(s, "train", 30, 5), r"must have 35 rows .* train part \(lookback 30, horizon 5\), got 28"),
        (lambda s: Windows(s, "val", 4, 5), "must have 9 rows for one window of its val part .* got 8"),
        (lambda s: Windows(s, "train", 0, 5), "lookback must be at least 1, got 0"),
        (lambda s: Series(s.values, ("a",), s.borders), "names must name the 2 variates, got 1"),
        (lambda s: Series(s.values, s.names, Borders(30, 20, 40)), r"borders must be increasing .* got \[30, 20, 40\]"),
        (lambda s: Borders.of_fractions(10, 0.9, 0.2), "train and test must be positive"),
        (lambda s: describe_series("ETTh3"), r"name must be a known series \(did you mean 'ETTh"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(Series.from_frame(_frame(), time="date"))


# Windows of training, validation and test part at look-back and horizon 96, as the published harnesses count them.
COUNTS = {
    "ETTh1": (8449, 2785, 2785),
    "ETTh2": (8449, 2785, 2785),
    "ETTm1": (34369, 11425, 11425),
    "ETTm2": (34369, 11425, 11425),
    "Exchange": (5120, 665, 1422),
    "InternalBleeding16": (769, 145, 6206),
    "Weather": (36696, 5175, 10444),
}
ONLINE = ("ETTm1", "ETTm2", "Weather")


def test_every_known_series_is_counted():
    assert set(series_names()) == set(COUNTS)


def _windows(series):
    return tuple(len(Windows(series, part, 96, 96)) for part in ("train", "val", "test"))


@pytest.mark.parametrize("name", sorted(set(COUNTS) - set(ONLINE)))
def test_known_series_have_their_published_sizes(mirror, tmp_path, name):
    series, stated = load_series(name, root=tmp_path), describe_series(name).statistics
    assert (len(series), series.num_variates) == (stated["rows"], stated["variates"])
    assert _windows(series) == COUNTS[name]


def test_the_labelled_anomaly_lies_where_the_archive_says(mirror, tmp_path):
    series = load_series("InternalBleeding16", root=tmp_path)
    assert series.names == ("value",)
    assert series.anomalous.nonzero().flatten().tolist() == list(range(4187, 4199))
    # The archive's training part is the beginning of the same series.
    first = pd.read_csv(Path(mirror, "timeseries/anomaly/UCR135_InternalBleeding16_TRAIN.csv.gz"))
    np.testing.assert_array_equal(series.values[:1200, 0].numpy(), first["value"].to_numpy())
    assert series.borders.val == len(first) == 1200


@pytest.fixture
def served(monkeypatch):
    """A table of the right size at every official address; returns the addresses that were asked for."""
    monkeypatch.delenv("GRAPHSEQ_MIRROR", raising=False)
    asked = []

    def download(url, folder, filename):
        asked.append(url)
        stated = describe_series({"weather.csv": "Weather"}.get(filename, filename.split(".")[0])).statistics
        stamps = pd.date_range("2016-07-01", periods=stated["rows"], freq="15min").astype(str).tolist()
        if filename == "weather.csv":
            stamps[19044] = stamps[19043]
        ends = ["," + ",".join([str(parity)] * stated["variates"]) for parity in (0, 1)]
        lines = [stamp + ends[row % 2] for row, stamp in enumerate(stamps)]
        header = ",".join(["date", *(f"v{column}" for column in range(stated["variates"]))])
        Path(folder, filename).write_text("\n".join([header, *lines]) + "\n")

    monkeypatch.setattr("graphseq.data.mirror.download_url", download)
    return asked


@pytest.mark.parametrize("name", ONLINE)
def test_a_series_comes_from_its_official_address(served, monkeypatch, tmp_path, name):
    manifest = describe_series(name)
    (file,) = manifest.files
    with pytest.raises(ValueError, match=f"{file.url}.* must have SHA-256 {file.sha256}"):
        load_series(name, root=tmp_path)
    assert list(tmp_path.rglob("*.csv")) == []
    unchecked = replace(manifest, files=(replace(file, sha256=None),))
    monkeypatch.setattr("graphseq.data.series.catalogue.describe_series", lambda _: unchecked)
    with pytest.warns(UserWarning, match="no checksum is known"):
        series = load_series(name, root=tmp_path)
    assert served == [file.url] * 2
    assert (len(series), series.num_variates) == (manifest.statistics["rows"], manifest.statistics["variates"])
    assert _windows(series) == COUNTS[name]
