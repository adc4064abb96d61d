"""Anomalies: scores of rows, what they are worth, the detectors, and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from graphseq.data.series import Borders, Series, Windows
from graphseq.training import AnomalyDataModule, AnomalyTask
from graphseq.training.anomaly_scores import detection, labelled_ranges, row_scores
from graphseq.training.cli import main
from graphseq.training.detectors import Autoregression, Extrapolation, MovingMean
from graphseq.training.lightning_cli import GraphCLI

EXAMPLES = Path(__file__).parents[2] / "examples" / "series"
DETECTORS = sorted(path.stem for path in (EXAMPLES / "detectors").glob("*.yaml"))


def _series(rows=200, variates=2, observed=None):
    time = torch.arange(rows, dtype=torch.float64)[:, None]
    values = torch.sin(time / 5 + torch.arange(variates)) + 0.1 * torch.randn(rows, variates, dtype=torch.float64)
    anomalous = torch.zeros(rows, dtype=torch.bool)
    anomalous[170:174] = True
    values[anomalous] += torch.randn(4, variates, dtype=torch.float64)
    names = tuple("abc"[:variates])
    return Series(values, names, Borders(100, 140, rows), observed, anomalous=anomalous)


def test_a_row_has_the_mean_error_of_all_windows_that_hold_it():
    errors, counted = torch.rand(7, 4), torch.randint(0, 3, (7, 4)).float()
    expected = []
    for row in range(10):
        held = [(i, row - i) for i in range(7) if 0 <= row - i < 4]
        total, count = (sum(float(table[place]) for place in held) for table in (errors, counted))
        expected.append(total / max(count, 1))
    torch.testing.assert_close(row_scores(errors, counted), torch.tensor(expected))


def test_detection_is_that_of_scikit_learn_whatever_the_scale():
    # Scores that a sigmoid in single precision would not tell apart.
    scores = 1e-12 * torch.rand(300) + torch.linspace(0, 1e-12, 300)
    anomalous = torch.zeros(300, dtype=torch.bool)
    anomalous[[40, 41, 42, 250]] = True
    found = detection(scores, anomalous, 1.0)
    assert float(found["rocauc"]) == pytest.approx(roc_auc_score(anomalous, scores), abs=1e-6)
    assert float(found["ap"]) == pytest.approx(average_precision_score(anomalous, scores), abs=1e-6)
    assert float(found["f1"]) == 0


@pytest.mark.parametrize(("top", "located"), [(300, 0), (301, 1), (405, 1), (509, 1), (510, 0)])
def test_a_location_may_miss_by_less_than_a_hundred_rows(top, located):
    scores, anomalous = torch.zeros(700), torch.zeros(700, dtype=torch.bool)
    anomalous[400:411] = True
    scores[top] = 1
    assert float(detection(scores, anomalous, 0.5)["located"]) == located


def test_adjustment_marks_a_whole_range_for_one_row():
    anomalous, scores = torch.tensor([0, 1, 1, 1, 0, 0]).bool(), torch.tensor([0.0, 0.0, 2.0, 0.0, 2.0, 0.0])
    found = detection(scores, anomalous, 1.0)
    # One of two flagged rows is right, of three: precision 1/2, recall 1/3; adjusted 3/4 and 1.
    assert float(found["f1"]) == pytest.approx(2 / 5)
    assert float(found["f1_adjusted"]) == pytest.approx(6 / 7)
    assert detection(scores, torch.zeros(6, dtype=torch.bool), 1.0) == {}


def test_ranges_at_both_ends_are_whole():
    assert labelled_ranges(torch.tensor([1, 0, 0, 1, 1]).bool()) == [(0, 1), (3, 5)]


def test_the_autoregression_gives_its_known_score(mirror):
    """The anchor joins the archive's two files, of which the second begins with the first."""
    parts = [pd.read_csv(Path(mirror, f"timeseries/anomaly/UCR135_InternalBleeding16_{part}.csv.gz")) for part in
             ("TRAIN", "TEST")]  # fmt: skip
    frame = pd.concat(parts)
    series = Series.from_frame(frame, variates=["value"], labels="is_anomaly", borders=Borders(1200, 1200, 8701))
    network = Autoregression(64).double()
    network.prepare(Windows(series, "train", 64, 1, dtype=torch.float64))
    windows = Windows(series, "test", 64, 1, dtype=torch.float64).values.unfold(1, 65, 1).movedim(1, 0)
    expected = network(windows)
    counted = ~expected.isnan()
    errors = (expected - windows).masked_fill(~counted, 0).square()
    scores = row_scores(errors.sum(1), counted.sum(1).double())[64:]
    assert int(scores.argmax()) == 4200
    found = detection(scores, series.anomalous[1200:], 1.0)
    assert round(float(found["rocauc"]), 4) == 0.9985 and float(found["located"]) == 1


def test_an_autoregression_finds_the_recurrence_past_a_gap():
    values = [1.0, 0.5]
    for _ in range(200):
        values.append(1.6 * values[-1] - 0.99 * values[-2])
    observed = torch.ones(202, 1, dtype=torch.bool)
    observed[50] = False
    series = Series(torch.tensor(values, dtype=torch.float64)[:, None], ("a",), Borders(150, 180, 202), observed)
    network = Autoregression(2, penalty=0.0).double()
    network.prepare(Windows(series, "train", 4, 1, dtype=torch.float64))
    # Scaling moves the mean, which is near 0 here.
    torch.testing.assert_close(network.weight, torch.tensor([-0.99, 1.6], dtype=torch.float64), rtol=0, atol=1e-2)


@pytest.mark.parametrize("network", [MovingMean(5), Extrapolation(2), Autoregression(3)])
def test_a_detector_sees_what_jumps(network):
    window = torch.linspace(0, 1, 40).repeat(1, 1, 1)
    if isinstance(network, Autoregression):
        network.weight.copy_(torch.tensor([0.0, -1.0, 2.0]))
    assert float((network(window) - window).nan_to_num(0).abs().max()) < 1e-5
    window[..., 20] += 3
    assert int((network(window) - window).nan_to_num(0).abs().argmax()) in (20, 21)


class _Mean(nn.Module):
    """Expects the mean of each window, plus what it has learned."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()))

    def forward(self, window, observed=None):
        return window.mean(-1, keepdim=True).expand_as(window) + self.level


@pytest.mark.parametrize("batch_size", [7, 64])
def test_scores_do_not_depend_on_the_batches(trainer, batch_size):
    observed = torch.ones(200, 2, dtype=torch.bool)
    observed[150, 0] = False
    series = _series(observed=observed)
    data = AnomalyDataModule.from_series(series, window=12, batch_size=batch_size)
    task = AnomalyTask(_Mean())
    test = trainer()
    test.validate(task, datamodule=data, verbose=False)
    scores = test.test(task, datamodule=data, verbose=False)[0]
    values = data.scaling.scaled(series.values).masked_fill(~observed, 0).float()
    total, count = torch.zeros(200), torch.zeros(200)
    for end in range(140, 200):
        window = values[end - 11 : end + 1]
        seen = observed[end - 11 : end + 1]
        error = (window - window.mean(0)).square() * seen
        total[end - 11 : end + 1] += error.sum(1)
        count[end - 11 : end + 1] += seen.sum(1)
    rows = total[140:] / count[140:]
    assert scores["test/largest"] == pytest.approx(float(rows.max()), rel=1e-5)
    assert scores["test/mse"] == pytest.approx(float(total.sum() / count.sum()), rel=1e-5)
    assert scores["test/rocauc"] == pytest.approx(roc_auc_score(series.anomalous[140:], rows), abs=1e-6)
    table = task.scores(series)
    np.testing.assert_allclose(table["score"].to_numpy()[140:], rows.numpy(), rtol=1e-5)
    # The threshold is the quantile of the validation rows.
    assert not bool(table["flagged"].to_numpy()[table["score"] <= float(task.threshold)].any())
    assert 0 < float(task.threshold) < np.inf


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The run's seed travels in the environment, as Lightning's processes expect.
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    series = _series()
    frame = pd.DataFrame(series.values.numpy(), columns=list(series.names))
    frame.insert(0, "date", pd.date_range("2024-03-01", periods=len(frame), freq="h"))
    frame.assign(odd=series.anomalous.int()).to_csv("mine.csv", index=False)
    return tmp_path


def _words(*more):
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    quiet += ["--trainer.enable_model_summary", "false", "--trainer.max_epochs", "1", "--data.window", "16"]
    mine = ["--data.name", "mine.csv", "--data.options.time", "date", "--run.name", "mine", "--run.version", "1"]
    return ["--config", str(EXAMPLES / "anomaly.yaml"), *mine, *quiet, *more]


def test_a_table_of_one_s_own_is_scored_and_drawn(workplace):
    main(["fit", *_words("--data.options.labels", "odd")])
    folder = workplace / "runs/mine/1"
    outcome = json.loads((folder / "metrics.json").read_text())
    labelled = {"located", "rocauc", "ap", "f1", "f1_adjusted"}
    assert set(outcome["test"]) == {"mse", "largest", "score"} | labelled
    assert set(outcome["val"]) == {"mse", "largest", "score"}
    checkpoint = folder / "checkpoints/best.ckpt"
    main(["predict", "--config", str(folder / "config.yaml"), "--ckpt_path", str(checkpoint)])
    table = pd.read_csv(folder / "scores.csv", index_col="time", parse_dates=True)
    assert len(table) == 40 and table.index[0] == pd.Timestamp("2024-03-07 16:00")
    assert (folder / "anomalies.png").read_bytes().startswith(b"\x89PNG")
    # The checkpoint alone scores the whole table.
    series = Series.from_csv("mine.csv", time="date", labels="odd")
    again = AnomalyTask.load_from_checkpoint(checkpoint, weights_only=True).scores(series)
    assert len(again) == 200
    np.testing.assert_allclose(again["score"].to_numpy()[160:], table["score"].to_numpy(), rtol=1e-4)
    np.testing.assert_array_equal(again["flagged"].to_numpy()[160:], table["flagged"].to_numpy())


def test_without_labels_nothing_is_said_about_them(workplace):
    detector = ["--config", str(EXAMPLES / "detectors/differences.yaml")]
    variates = ["--data.options.variates", "[a, b]"]
    main(["repeat", *_words(*detector, *variates, "--seeds", "0", "--name", "mine")])
    record = json.loads(Path("docs/results/mine.json").read_text())
    assert (record["metric"], record["maximize"], record["params"]) == ("mse", False, 0)
    assert set(record["further"]) == {"largest"} and len(record["validation"]) == 1


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_detector_is_laid_over_the_preset(detector):
    words = ["--config", str(EXAMPLES / "anomaly.yaml"), "--config", str(EXAMPLES / f"detectors/{detector}.yaml")]
    cli = GraphCLI(words, run=False)
    made = cli.parser.instantiate(cli.config)
    expected = made.model.network(torch.randn(2, 3, made.data.window))
    assert expected.shape == (2, 3, made.data.window)
    assert expected.isfinite().any(-1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnomalyDataModule("mine.csv", window=1), "window must have at least 2 rows, got 1"),
        (lambda: AnomalyTask(_Mean(), quantile=2.0), "quantile must be between 0 and 1, got 2.0"),
        (lambda: AnomalyTask(_Mean()).scores(_series()), "fit first, or load a checkpoint"),
        (lambda: MovingMean(4), "width must be an odd number from 3, got 4"),
        (lambda: Extrapolation(0), "order must be at least 1, got 0"),
        (lambda: Autoregression(5)(torch.zeros(1, 1, 5)), "window must have more than 5 rows for this detector, got 5"),
        (lambda: MovingMean(5)(torch.zeros(1, 1, 4)), "window must have more than 4 rows for this detector, got 4"),
        (lambda: Extrapolation(2)(torch.zeros(1, 1, 2)), "window must have more than 2 rows for this detector, got 2"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
