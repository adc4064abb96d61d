"""Forecasting from the command line: a table of one's own, and every network that is laid over a preset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from graphseq.chimera import ChimeraForecaster
from graphseq.data.series import Series
from graphseq.training import ForecastTask
from graphseq.training.cli import main
from graphseq.training.forecasters import PatchTST
from graphseq.training.kinds import kind_of
from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.results import read_records

EXAMPLES = Path(__file__).parents[2] / "examples" / "series"
NETWORKS = sorted(path.stem for path in (EXAMPLES / "networks").glob("*.yaml"))
QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
QUIET += ["--trainer.enable_model_summary", "false", "--trainer.max_epochs", "1"]
SMALL = ["--data.lookback", "24", "--data.horizon", "6"]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The run's seed travels in the environment, as Lightning's processes expect.
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    hours = np.arange(240)
    rng = np.random.default_rng(0)
    table = {"date": pd.date_range("2024-03-01", periods=240, freq="h")}
    for name, phase in (("north", 0.0), ("south", 1.0)):
        table[name] = 50 + 0.1 * hours + 5 * np.sin(2 * np.pi * hours / 24 + phase) + rng.normal(size=240)
    frame = pd.DataFrame(table)
    frame.loc[30:33, "south"] = np.nan
    frame.to_csv("mine.csv", index=False)
    return tmp_path


def test_a_table_of_one_s_own_is_forecast_and_drawn(workplace):
    given = ["--config", str(EXAMPLES / "csv.yaml"), *SMALL, *QUIET, "--data.options.time", "date"]
    main(["fit", *given, "--run.name", "mine", "--run.version", "1"])
    folder = workplace / "runs/mine/1"
    outcome = json.loads((folder / "metrics.json").read_text())
    assert set(outcome["test"]) == {"mse", "mae", "score"}
    assert (folder / "curves.png").exists()
    checkpoint = folder / "checkpoints/best.ckpt"
    main(["predict", "--config", str(folder / "config.yaml"), "--ckpt_path", str(checkpoint)])
    ahead = pd.read_csv(folder / "forecast.csv", index_col="time", parse_dates=True)
    assert list(ahead.columns) == ["north", "south"]
    assert ahead.index[0] == pd.Timestamp("2024-03-11") and len(ahead) == 6
    # In the units of the table: a level of 74 at its end, a season of 5 about it.
    assert 60 < float(ahead.to_numpy().mean()) < 90
    windows = torch.load(folder / "predictions.pt", weights_only=True)["forecast"]
    assert windows.shape == (48 - 6 + 1, 2, 6)
    assert (folder / "forecast.png").read_bytes().startswith(b"\x89PNG")
    # The checkpoint alone goes on where the table ends.
    series = Series.from_csv("mine.csv", time="date", missing="mask")
    again = ForecastTask.load_from_checkpoint(checkpoint, weights_only=True).forecast(series)
    np.testing.assert_allclose(again.to_numpy(), ahead.to_numpy(), rtol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_is_laid_over_a_preset(network):
    if network == "patchtst":
        pytest.importorskip("transformers")
    words = ["--config", str(EXAMPLES / "etth1.yaml"), "--config", str(EXAMPLES / f"networks/{network}.yaml")]
    cli = GraphCLI(words, run=False)
    task = cli.parser.instantiate(cli.config).model
    past = torch.randn(2, 3, 96)
    assert task.build(96, 30, 3)(past).shape == (2, 3, 30)
    if network in ("separable", "independent"):
        coupled = ChimeraForecaster(96, 30, **_arguments(EXAMPLES / "etth1.yaml"))
        sizes = [sum(p.numel() for p in net.parameters()) for net in (task.network, coupled)]
        assert sizes[0] == sizes[1]
        mixed = _hears(task.network, 3)
        assert mixed == (network == "separable")


def test_the_head_of_patchtst_reads_all_patches():
    """A mean over them, the library's default, is another model."""
    pytest.importorskip("transformers")
    network = PatchTST(96, 30, 3, channels=8, patch=16, stride=8)
    assert network.network.head.projection.in_features == ((96 - 16) // 8 + 1) * 8


def _arguments(path):
    given = GraphCLI(["--config", str(path)], run=False).config.model.network.init_args
    return {key: given[key] for key in ("channels", "layers", "patch", "expand", "state_size", "train_linear")}


def _hears(network, variates):
    """Whether the forecast of the first variate depends on the last."""
    with torch.no_grad():
        torch.nn.init.normal_(network.head.weight)
    past = torch.randn(1, variates, 96, requires_grad=True)
    (gradient,) = torch.autograd.grad(network.eval()(past)[0, 0].square().sum(), past)
    return bool((gradient[0, -1].abs() > 1e-9).any())


def test_what_has_nothing_to_train_is_recorded_like_the_rest(workplace):
    given = ["--config", str(EXAMPLES / "flow.yaml"), "--config", str(EXAMPLES / "networks/repeat.yaml"), *QUIET]
    main(["repeat", *given, "--data.options.rows", "150", "--seeds", "0", "--title", "naive", "--name", "last"])
    (record,) = read_records("docs/results")
    assert (record.dataset, record.metric, record.params, record.maximize) == ("flow", "mse", 0, False)
    assert record.model == "naive"
    assert len(record.validation) == len(record.further["mae"]) == 1


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ([], "graph"),
        (["--task", "forecast"], "forecast"),
        (["--task=forecast", "--task", "graph"], "graph"),
        (["--config", str(EXAMPLES / "etth1.yaml")], "forecast"),
        ([f"--config={EXAMPLES / 'etth1.yaml'}", "--config", str(EXAMPLES / "networks/tsm2.yaml")], "forecast"),
        ({"subcommand": "fit", "fit": {"task": "forecast"}}, "forecast"),
    ],
)
def test_the_kind_of_task_is_the_last_that_is_named(words, kind):
    assert kind_of(words) == kind


def _written(change):
    frame = pd.read_csv("mine.csv")
    change(frame).to_csv("mine.csv", index=False)


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (lambda f: f, ["--data.options.missing", "refuse"], "values must be finite, got nan in row 30 of 'south'"),
        (lambda f: f, ["--data.lookback", "300"], "series must have 306 rows for one window of its train part"),
        (lambda f: f.assign(north=1.0), [], "'north' is constant there: leave it out, or do not scale"),
        (lambda f: f[::-1], [], "time must be strictly increasing, got an earlier stamp after a later one in row 1"),
        (lambda f: pd.concat([f[:9], f[8:]]), [], "got the same stamp twice in row 9"),
        (lambda f: f, ["--data.name", "other.csv"], "other.csv"),
        (lambda f: f, ["--data.name", "ETTh9"], "did you mean 'ETTh"),
        (lambda f: f, ["--task", "forcast"], "did you mean 'forecast'"),
    ],
)
def test_a_table_that_cannot_be_forecast_is_answered_with_a_sentence(workplace, capsys, change, words, message):
    _written(change)
    given = ["--config", str(EXAMPLES / "csv.yaml"), *SMALL, *QUIET, "--data.options.time", "date"]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *given, *words])
    assert stopped.value.code == 2
    errors = capsys.readouterr().err
    assert message in " ".join(errors.split())
    assert "Traceback" not in errors


def test_the_tables_of_forecasts_are_those_of_the_records():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "examples/series/table.py", "--check", "true"], cwd=root, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(root)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
