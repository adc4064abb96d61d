"""Series of the UCR and UEA archive: what the files hold, and the scores that are known without a model."""

import gzip

import numpy as np
import pytest
import torch

from graphseq.data import load
from graphseq.data.loaders.archive import benchmark_from_arrays, read_ts

# Test accuracy of the largest class, and of the nearest neighbour with shorter series filled up with zeros.
ANCHORS = {
    "BasicMotions": (0.25, 0.6),
    "ItalyPowerDemand": (0.5015, 0.9553),
    "JapaneseVowels": (0.2378, 0.9162),
    "PickupGestureWiimoteZ": (0.1, 0.64),
}


@pytest.mark.parametrize("name", ANCHORS)
def test_scores_without_a_model_are_the_known_ones(mirror, tmp_path, name):
    bench = load(name, root=tmp_path, mirror=mirror)
    parts = [[*bench.train, *bench.val], list(bench.test)]
    longest = max(len(data.x) for part in parts for data in part)
    (x, y), (z, labels) = (
        (
            np.stack([np.pad(data.x.numpy(), ((0, longest - len(data.x)), (0, 0))).ravel() for data in part]),
            np.array([int(data.y) for data in part]),
        )
        for part in parts
    )
    distances = (z**2).sum(1)[:, None] - 2 * z @ x.T + (x**2).sum(1)
    majority = max((labels == label).mean() for label in set(y))
    found = (round(float(majority), 4), round(float((y[distances.argmin(1)] == labels).mean()), 4))
    assert found == ANCHORS[name]


def test_a_file_is_read_line_by_line(tmp_path):
    text = "#note\n@problemName x\n@data\n1,2,3:4,5,6:yes\n\n7,8:9,10:no\n"
    (tmp_path / "a.ts").write_text(text)
    with gzip.open(tmp_path / "a.ts.gz", "wt") as file:
        file.write(text)
    for path in (tmp_path / "a.ts", tmp_path / "a.ts.gz"):
        (first, yes), (second, no) = read_ts(path)
        assert first.tolist() == [[1, 4], [2, 5], [3, 6]] and second.tolist() == [[7, 9], [8, 10]]
        assert (yes, no) == ("yes", "no")


@pytest.mark.parametrize(
    ("line", "message"),
    [("1,2:3:a", r"line 2 must hold dimensions of one length, got \[2, 1\]"), ("1,?:a", "line 2 must hold numbers")],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    (tmp_path / "a.ts").write_text(f"@data\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_ts(tmp_path / "a.ts")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@data\n1,2:a\n1,2:3,4:a\n", "line 3 must hold 1 dimensions like the first, got 2"),
        ("@data\n1,nan:a\n", "line 2 must hold finite numbers, got nan"),
        ("@data\n1,1e999:a\n", "line 2 must hold finite numbers, got inf"),
        ("@data\n1,,2:a\n", "line 2 must hold numbers"),
        ("@data\n1,2:\n", "line 2 must end with a label, got ''"),
        ("@classLabel true a b\n@data\n1,2:c\n", r"line 3 must end with a label of \['a', 'b'\], got 'c'"),
        ("@classLabel false\n@data\n1,2:3,4\n", "must hold a label at the end of each series, got '@classLabel false'"),
        ("1,2:a\n", "must hold series after a line @data, got none"),
        ("@data\n\n", "must hold series after a line @data, got none"),
    ],
)
def test_a_file_that_would_lose_something_is_refused(tmp_path, text, message):
    (tmp_path / "a.ts").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_ts(tmp_path / "a.ts")


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    (tmp_path / "a.ts").write_text("\ufeff@data\n1,2: a\n", encoding="utf-8")
    ((values, label),) = read_ts(tmp_path / "a.ts")
    assert values.tolist() == [[1], [2]] and label == "a"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "test must hold finite values within float32, got nan in series 1, dimension 0, time 2"),
        (-np.inf, "got -inf in series 1, dimension 0, time 2"),
        (1e39, r"got 1e\+39 in series 1, dimension 0, time 2"),
    ],
)
def test_a_value_that_no_network_can_read_is_named(value, message):
    values, labels = np.arange(60.0).reshape(10, 2, 3), np.repeat(["b", "a"], 5)
    spoilt = values.copy()
    spoilt[1, 0, 2] = value
    with pytest.raises(ValueError, match=message):
        benchmark_from_arrays((values, labels), (spoilt, labels))


def test_a_label_that_is_missing_is_no_class():
    values = np.arange(60.0).reshape(10, 2, 3)
    for missing in (None, np.nan, " "):
        labels = np.array([*"ababababa", missing], dtype=object)
        with pytest.raises(ValueError, match=r"train must have a label for each series, got .* in row 9"):
            benchmark_from_arrays((values, labels), (values, labels))
    with pytest.raises(ValueError, match=r"a label for each series, got shapes \[10, 2, 3\] and \[10, 1\]"):
        benchmark_from_arrays((values, np.zeros((10, 1))), (values, np.zeros(10)))
    with pytest.raises(ValueError, match="train must hold values that are numbers, got complex128"):
        benchmark_from_arrays((values * 1j, np.zeros(10)), (values, np.zeros(10)))


def test_arrays_become_a_benchmark():
    values, labels = np.arange(60.0).reshape(10, 2, 3), np.repeat(["b", "a"], 5)
    bench = benchmark_from_arrays((values, labels), (values[:2], labels[:2]), name="mine")
    assert (bench.name, len(bench.train), len(bench.val), len(bench.test)) == ("mine", 8, 2, 2)
    assert bench.test[1].x.tolist() == [[6, 9], [7, 10], [8, 11]] and int(bench.test[1].y) == 1
    assert sorted(int(data.y) for data in bench.val) == [0, 1]
    with pytest.raises(ValueError, match=r"test must have labels of train, \['a', 'b'\], got \['c'\]"):
        benchmark_from_arrays((values, labels), (values[:1], np.array(["c"])))
    with pytest.raises(ValueError, match=r"train must hold values .* got shapes \[10, 2\] and \[10\]"):
        benchmark_from_arrays((values[..., 0], labels), (values, labels))


def test_a_series_is_classified_as_if_it_were_alone():
    from graphseq.chimera import ChimeraSeries

    model = ChimeraSeries(3, 4, channels=6, layers=1, state_size=2, patch=2).double().eval()
    with torch.no_grad():
        model.scale.running_mean.normal_()
    lengths = [5, 7, 5, 2]
    series = [torch.randn(length, 3, dtype=torch.float64) for length in lengths]
    batch = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths))
    together = model(torch.cat(series), batch=batch, batch_size=4)
    alone = torch.cat([model(one) for one in series])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="level must be 'graph' for whole series, got 'node'"):
        ChimeraSeries(3, 4, level="node")
