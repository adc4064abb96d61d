"""One folder for all that a run leaves behind."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import distributed

from graphseq.extras import needed_by
from graphseq.training.budget import count_parameters
from graphseq.training.curves import plot_curves, read_history
from graphseq.training.environment import environment
from graphseq.training.processes import process_count, summed

_VERSIONS = "GRAPHSEQ_RUN_VERSIONS"
_TAKEN = itertools.count()


class RunFolder(pl.Callback):
    """Keeps a run under ``root/name/version``.

    ====================  ==========================================================================================
    ``config.yaml``       the whole configuration, from which the command line repeats or resumes the run
    ``metrics.csv``       every epoch, and the seconds of the processor up to its end
    ``metrics.json``      the outcome: best epoch, validation and test there, parameters, epochs, seconds by the
                          clock and of the processor, which other work on the machine stretches less
    ``checkpoints/``      ``best.ckpt`` by validation score, ``last.ckpt`` of the last whole epoch
    ``environment.json``  versions, machine, threads, seed, commit
    ``curves.png``        loss and metric over epochs
    ``tensorboard/``      the same for TensorBoard
    ====================  ==========================================================================================

    Of several processes that train together, the first one writes, and seconds of the processor are those of all.

    From Python: ``Trainer(callbacks=[run, *run.checkpoints()], logger=run.loggers())``.

    Args:
        root: folder of all runs.
        name: what is trained; the command line takes data set and network.
        version: tells the runs of one name apart; the time if not given, with a number where that is taken.
        test: the command line tests the best checkpoint after ``fit``.

    Raises:
        ValueError: without a version, in processes that another program has started, which could not agree on one.
    """

    def __init__(
        self, root: str = "runs", name: str | None = None, version: str | None = None, test: bool = True
    ) -> None:
        self.root, self.name = root, name or "run"
        self.version = version or shared_version(root, self.name)
        self.test = test
        self._past: list[dict[str, Any]] = []
        self._elapsed = _Elapsed()

    @property
    def path(self) -> Path:
        return Path(self.root) / self.name / self.version

    @property
    def best_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    def loggers(self) -> list[Logger]:
        """CSV, written after every epoch so that a killed run keeps its past, and TensorBoard."""
        with needed_by("a run folder"):
            import tensorboard  # noqa: F401  Lightning's own sentence does not say which extra brings it
        # Lightning's CSV logger begins its file anew: see _restore_history.
        self._past = _rows(self.path / "metrics.csv")
        return [
            CSVLogger(self.root, name=self.name, version=self.version, flush_logs_every_n_steps=1),
            TensorBoardLogger(self.root, name=self.name, version=self.version, sub_dir="tensorboard"),
        ]

    def checkpoints(self) -> list[ModelCheckpoint]:
        """The best epoch, of equal ones the earliest, then the last one, whose file thus knows of the best."""
        folder = self.path / "checkpoints"
        every_epoch: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
        return [
            _MovableCheckpoint(folder, "best", monitor="val/score", mode="max", **every_epoch),
            _MovableCheckpoint(folder, "last", **every_epoch),
        ]

    def state_dict(self) -> dict[str, float]:
        return self._elapsed.seconds

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self._elapsed = _Elapsed(state_dict)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._elapsed.start()
        if trainer.is_global_zero:
            _write(self.path / "environment.json", environment())

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._restore_history(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # What a curve over equal time needs.
        self._elapsed.gather(trainer)
        pl_module.log("cpu_seconds", self._elapsed.seconds["cpu_seconds"], sync_dist=True)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._elapsed.gather(trainer)
        self._write_outcome(trainer, pl_module)

    @rank_zero_only
    def _write_outcome(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A finished run that is resumed trains no epoch.
        self._restore_history(trainer)
        if not (self.path / "metrics.csv").exists():  # a dry run (fast_dev_run) logs nothing
            return
        history = read_history(self.path / "metrics.csv")
        outcome: dict[str, Any] = {
            "epochs": trainer.current_epoch,
            **self._elapsed.seconds,
            "parameters": count_parameters(pl_module),
        }
        best = None
        if "val/score" in history and history["val/score"].notna().any():
            best = int(history["val/score"].idxmax())
            outcome |= {"best_epoch": best, "val": _of_split(history.loc[best].to_dict(), "val")}
        self._update_outcome(outcome)
        quantities = getattr(pl_module, "curves", ("loss", "score"))
        plot_curves(history, quantities, self.path / "curves.png", best_epoch=best)

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._update_outcome({"test": _of_split(numbers, "test")})

    @property
    def outcome(self) -> dict[str, Any]:
        """What ``metrics.json`` holds so far."""
        file = self.path / "metrics.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def _update_outcome(self, outcome: dict[str, Any]) -> None:
        _write(self.path / "metrics.json", {**self.outcome, **outcome})

    def _restore_history(self, trainer: pl.Trainer) -> None:
        """A resumed run goes on with the epochs that it had finished."""
        finished = [row for row in self._past if int(row["epoch"]) < trainer.current_epoch]
        self._past = []
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger) and finished and trainer.is_global_zero:
                logger.experiment.metrics[:0] = finished
                logger.experiment.save()


def shared_version(root: str, name: str, suffix: str = "") -> str:
    """A new version, the same in all processes that train together.

    Lightning starts processes beside the first by running the same program again. They come to the same places, and
    take the versions that the first one made before it started them.

    Args:
        root: folder of all runs.
        name: what is trained.
        suffix: the end of the version.

    Raises:
        ValueError: in processes that another program has started, which could not agree on one.
    """
    if process_count() > 1:
        agreed = [new_version(root, name, suffix) if distributed.get_rank() == 0 else ""]
        distributed.broadcast_object_list(agreed, src=0)
        return agreed[0]
    made = json.loads(os.environ.get(_VERSIONS, "{}"))
    if made.get("process") == os.getppid() and "LOCAL_RANK" in os.environ:
        return made["versions"][next(_TAKEN)]
    if made.get("process") != os.getpid():
        if _started_by_another_program():
            raise ValueError(
                "version must be given where another program starts the processes, so that all know their folder, "
                "got none"
            )
        made = {"process": os.getpid(), "versions": []}
    made["versions"].append(new_version(root, name, suffix))
    os.environ[_VERSIONS] = json.dumps(made)
    return made["versions"][-1]


def _started_by_another_program() -> bool:
    if SLURMEnvironment.detect() and int(os.environ["SLURM_NTASKS"]) > 1:
        return True
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 or os.environ.get("NODE_RANK", "0") != "0"


def new_version(root: str, name: str, suffix: str = "") -> str:
    """A version that no other run of a name has: the time, and a number where that is taken.

    Its folder is made at once, so that it stays taken, whichever process asks next.

    Args:
        root: folder of all runs.
        name: what is trained.
        suffix: the end of the version.
    """
    now = time.strftime("%Y-%m-%d_%H-%M-%S")
    version, number = now + suffix, 1
    while not _made(Path(root, name, version)):
        number += 1
        version = f"{now}_{number}{suffix}"
    return version


def _made(folder: Path) -> bool:
    """Whether a folder was made just now, and not by another process."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


class _MovableCheckpoint(ModelCheckpoint):
    """Remembers the best score where the run's folder has been moved; Lightning would forget it."""

    @property
    def state_key(self) -> str:
        # Checkpoints know this callback by the name of its base.
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths if name in state_dict}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})


class _Elapsed:
    """Seconds of a run over all its sittings.

    Args:
        before: seconds of the sittings before this one.
    """

    def __init__(self, before: dict[str, float] | None = None) -> None:
        self._before = before or {}
        self.start()

    def start(self) -> None:
        """Begin this sitting here."""
        self._started, self._of_others = self._now(), 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """So far: ``seconds`` by the clock, ``cpu_seconds`` of the processor."""
        spent = self._spent()
        spent["cpu_seconds"] += self._of_others
        return {name: round(self._before.get(name, 0.0) + value, 3) for name, value in spent.items()}

    def gather(self, trainer: pl.Trainer) -> None:
        """Learn what the other processes have spent."""
        own = torch.tensor(self._spent()["cpu_seconds"], device=trainer.strategy.root_device)
        self._of_others = float(summed(own) - own)

    def _spent(self) -> dict[str, float]:
        now = self._now()
        return {name: now[name] - self._started[name] for name in now}

    @staticmethod
    def _now() -> dict[str, float]:
        return {"seconds": time.monotonic(), "cpu_seconds": time.process_time()}


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if value != ""} for row in csv.DictReader(file)]


def _of_split(numbers: dict[str, float], split: str) -> dict[str, float | None]:
    prefix = f"{split}/"
    return {
        name.removeprefix(prefix): None if math.isnan(value) else value
        for name, value in numbers.items()
        if name.startswith(prefix)
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
