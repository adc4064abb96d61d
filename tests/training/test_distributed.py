"""Two processes train as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from graphseq.training.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}

# What a network of each kind of task and data comes to, see the script.
KINDS = [
    "graphs", "repeated", "balanced", "nodes", "images", "events", "memory", "forecast", "prepared", "huber", "closed",
    "naive", "anomaly", "detector",
]  # fmt: skip


def _run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What one and what two processes logged of every task; all tasks in one pair, since starting it takes seconds."""
    folder = tmp_path_factory.mktemp("together")
    script = str(Path(__file__).with_name("together.py"))
    for processes in ("1", "2"):
        _run(folder, script, processes, f"{processes}.json")
    return [json.loads((folder / f"{processes}.json").read_text()) for processes in ("1", "2")]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_reach_the_loss_of_one(outcomes, kind):
    alone, together = (outcome[kind] for outcome in outcomes)
    numbers = [[*outcome["epochs"], outcome["test"]] for outcome in (alone, together)]
    for one, two in zip(*numbers, strict=True):
        # Float32 sums in another order, carried through a dozen steps of AdamW.
        assert two == pytest.approx(one, rel=1e-5, abs=1e-6)


def test_all_processes_hold_the_same_network(outcomes):
    """Whatever each of them prepared it to be, and its running statistics too."""
    _, together = outcomes
    assert {kind for kind, outcome in together.items() if not outcome["agreed"]} == set()
    assert set(together) == {*KINDS, "norms"}


def test_each_process_predicts_everything(outcomes):
    alone, together = outcomes
    batches = [{kind: outcome["predicted"] for kind, outcome in each.items()} for each in (alone, together)]
    assert batches[0] == batches[1]


CONFIG = """
model:
  network: {class_path: graphseq.training.baselines.GCN, init_args: {channels: 8, layers: 2}}
data:
  name: ring-transfer
  batch_size: 10
  options: {num_nodes: 6, num_train: 20, num_val: 5, num_test: 5}
trainer:
  {max_epochs: 1, accelerator: cpu, devices: 2, strategy: ddp, enable_progress_bar: false, enable_model_summary: false}
"""


def test_two_processes_repeat_into_one_folder_a_run(tmp_path):
    """The processes of the first run go on with the second."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    words = ["-m", "graphseq.training.cli", "repeat", "--config", "config.yaml", "--seeds", "0,1", "--name", "ring"]
    said = _run(tmp_path, *words)
    assert said.count("over 2 runs") == 1
    record = json.loads((tmp_path / "docs/results/ring.json").read_text())
    folders = sorted((tmp_path / "runs/ring-transfer-GCN").iterdir())
    assert [str(folder.relative_to(tmp_path)) for folder in folders] == sorted(record["runs"])
    outcomes = [json.loads((folder / "metrics.json").read_text()) for folder in folders]
    assert record["values"] == [outcome["test"]["accuracy"] for outcome in outcomes]


@pytest.mark.slow
def test_two_processes_of_the_command_line_share_one_folder(tmp_path):
    words = ["--config", str(ROOT / "examples/ring_transfer.yaml"), "--trainer.max_epochs", "1"]
    words += ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.enable_progress_bar", "false"]
    _run(tmp_path, "-m", "graphseq.training.cli", "fit", *words, "--run.name", "two")
    (folder,) = (tmp_path / "runs/two").iterdir()
    assert "test" in json.loads((folder / "metrics.json").read_text())
    rest = ["--config", str(folder / "config.yaml"), "--ckpt_path", str(folder / "checkpoints/best.ckpt")]
    said = _run(tmp_path, "-m", "graphseq.training.cli", "predict", *rest)
    assert said.count("predictions of") == 1
    # The nodes of all test graphs, in the order of the data set.
    key = torch.load(folder / "predictions.pt", weights_only=True)["key"]
    assert key.unique(dim=0).equal(key)


@pytest.fixture
def alone(monkeypatch):
    """A process of its own, whatever started the tests."""
    for name in ("GRAPHSEQ_RUN_VERSIONS", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("alone")
def test_a_process_that_is_started_beside_another_takes_its_folders(tmp_path):
    made = [RunFolder(str(tmp_path)).version for _ in range(2)]
    code = "from graphseq.training import RunFolder; print([RunFolder('.').version for _ in range(2)])"
    beside = {**os.environ, "PYTHONPATH": str(ROOT), "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=beside, capture_output=True, text=True)
    assert done.stdout.strip() == str(made), done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == set(made)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "started",
    [{"LOCAL_RANK": "0", "WORLD_SIZE": "2"}, {"NODE_RANK": "1"}, {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train"}],
)
def test_processes_that_another_program_starts_must_be_told_their_folder(tmp_path, monkeypatch, started):
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="version must be given where another program starts the processes"):
        RunFolder(str(tmp_path))
    assert RunFolder(str(tmp_path), version="told").path == tmp_path / "run" / "told"
