"""Two processes train as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Labels are missing unevenly, the validation set does not divide by two, and there is no batch norm or dropout: what
# remains of a difference is the rounding of sums in another order.
SCRIPT = """
import importlib.util, json, sys
import lightning.pytorch as pl
from graphseq.data import Benchmark
from graphseq.training import EpochSeed, GraphDataModule, GraphTask
from graphseq.training.quiet import expected_warnings_ignored

spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)

class Losses(pl.Callback):
    def __init__(self):
        self.seen = []
    def on_train_epoch_end(self, trainer, module):
        self.seen.append({name: float(value) for name, value in trainer.callback_metrics.items()})

if __name__ == "__main__":
    parts = [shared.random_graphs("multilabel", size, seed) for seed, size in enumerate((16, 7, 7))]
    data = GraphDataModule.from_benchmark(Benchmark.from_datasets(*parts, shared.TASKS["multilabel"]), batch_size=4)
    losses, processes = Losses(), int(sys.argv[2])
    pl.seed_everything(0)
    with expected_warnings_ignored():
        trainer = pl.Trainer(
            max_epochs=3, accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto",
            callbacks=[EpochSeed(0), losses], logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, log_every_n_steps=1, num_sanity_val_steps=0,
        )
        task = GraphTask(shared.SumNetwork, lr=0.05)
        trainer.fit(task, data)
        losses.seen.append(trainer.test(task, data, verbose=False)[0])
    if trainer.is_global_zero:
        open(sys.argv[3], "w").write(json.dumps(losses.seen))
"""


def _run(folder: Path, processes: int) -> list[dict[str, float]]:
    script, out = folder / "train.py", folder / f"{processes}.json"
    script.write_text(SCRIPT)
    shared = Path(__file__).with_name("conftest.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, str(script), str(shared), str(processes), str(out)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def test_two_processes_reach_the_loss_of_one(tmp_path):
    alone, together = _run(tmp_path, 1), _run(tmp_path, 2)
    for one, two in zip(alone, together, strict=True):
        # Float32 sums in another order, carried through twelve steps of AdamW.
        assert two == pytest.approx(one, rel=1e-5, abs=1e-6)


@pytest.mark.slow
def test_two_processes_of_the_command_line_share_one_folder(tmp_path):
    """With a network whose last edges feed nothing, which plain data parallelism refuses."""
    words = ["--config", str(ROOT / "examples/ring_transfer.yaml"), "--trainer.max_epochs", "1"]
    words += ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.enable_progress_bar", "false"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "graphseq.training.cli", "fit", *words, "--run.name", "two"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs/two").iterdir()
    assert "test" in json.loads((folder / "metrics.json").read_text())
