"""A run that is killed and resumed ends as if nothing had happened."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """
model:
  network: {class_path: graphseq.training.baselines.GCN, init_args: {channels: 8, layers: 2, dropout: 0.3}}
data:
  name: ring-transfer
  batch_size: 4
  options: {num_nodes: 10, num_train: 400, num_val: 20, num_test: 20}
trainer: {max_epochs: 3, accelerator: cpu, enable_progress_bar: false}
"""


@pytest.fixture
def start(tmp_path):
    """Starts ``graphseq fit`` in a process of its own."""
    (tmp_path / "config.yaml").write_text(CONFIG)

    def run(version: str, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "graphseq.training.cli", "fit", "--config", "config.yaml"]
        command += ["--run.name", "ring", "--run.version", version, *words]
        # One thread: the same sums in the same order, whatever else the machine does.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    return run


def _finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "Warning" not in errors


def _kill_in_second_epoch(process: subprocess.Popen, folder: Path) -> None:
    deadline = time.monotonic() + 100
    while not (folder / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.kill()
    process.wait()
    process.stderr.close()
    assert not (folder / "metrics.json").exists(), "the run had ended before it was killed"


def _numbers(folder):
    """The epochs of a run, without the clock."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "cpu_seconds"} for row in csv.DictReader(file)]


def test_a_killed_run_resumes_to_the_same_numbers(start, tmp_path):
    whole, broken = tmp_path / "runs/ring/whole", tmp_path / "runs/ring/broken"
    _finish(start("whole"))
    _kill_in_second_epoch(start("broken"), broken)
    _finish(start("broken", "--resume"))
    assert _numbers(broken) == _numbers(whole)
    outcomes = [json.loads((folder / "metrics.json").read_text()) for folder in (whole, broken)]
    for outcome in outcomes:
        del outcome["seconds"], outcome["cpu_seconds"]
    assert outcomes[0] == outcomes[1]
    # A run that had ended is left as it is, its clock too.
    before = (whole / "metrics.csv").read_text()
    _finish(start("whole", "--resume"))
    assert (whole / "metrics.csv").read_text() == before
