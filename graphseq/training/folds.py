"""``graphseq folds``: the cross-validation protocols of the TU collection, both from one set of runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.cli import LightningArgumentParser

from graphseq.training.curves import read_history
from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.processes import is_first
from graphseq.training.repeat import integers
from graphseq.training.results import Record

Protocol = Callable[[np.ndarray], np.ndarray]

LAST = 10
"""Epochs at the end of a run that the first protocol averages over."""


def last_epochs(scores: np.ndarray) -> np.ndarray:
    """A fold's number is the mean over its last ten epochs (Mitton & Murray-Smith 2023): nothing is chosen."""
    return scores[:, -LAST:].mean(1)


def best_common_epoch(scores: np.ndarray) -> np.ndarray:
    """All folds at the one epoch whose mean over folds is best (Xu et al. 2019): chosen on the test folds."""
    return scores[:, scores.mean(0).argmax()]


PROTOCOLS: dict[str, Protocol] = {"last 10 epochs": last_epochs, "best common epoch": best_common_epoch}


def folds(words: Sequence[str]) -> dict[str, Record]:
    """Train on each fold with nothing held out for validation, test after every epoch, and record both protocols.

    What a fold scored after each epoch is kept beside the records, in ``NAME-folds.json``, as soon as the fold is done,
    and no fold that stands there is trained again: a run may be stopped, and ten folds done a few at a time.

    Args:
        words: the options of ``graphseq fit``, with ``--folds``, ``--name`` and ``--results``.

    Raises:
        ValueError: if a smaller metric is better, which no set of the collection has, or folds of that name were
            trained with other options.
    """
    command = shlex.join(["graphseq", "folds", *words])
    plan = _Plan(words, run=False).config.as_dict()
    plan.pop("config", None)
    chosen, name, folder = plan.pop("folds"), plan.pop("name"), plan.pop("results")
    network = plan["model"]["network"]
    kind = network["class_path"] if isinstance(network, dict) else network
    name = name or f"{plan['data']['name']}-{kind.rpartition('.')[2]}"
    kept = _Kept(Path(folder) / f"{name}-folds.json", plan)
    for fold in chosen:
        if fold not in kept.folds:
            kept.add(fold, _fit(plan, fold))
    records = {}
    for title, protocol in PROTOCOLS.items():
        records[title] = kept.record(title, protocol, command)
        if is_first():
            path = records[title].write(folder, f"{name}-{title.replace(' ', '_')}")
            print(f"{records[title].metric}: {records[title].value} over {len(kept.folds)} folds, in {path}")
    return records


class _Kept:
    """What the folds that are done scored.

    Args:
        path: file that keeps it.
        plan: options of the runs.
    """

    def __init__(self, path: Path, plan: dict[str, Any]) -> None:
        self.path = path
        # Where a run leaves its files, and whether it went on after a stop, changes no score.
        options = {key: value for key, value in plan.items() if key not in ("run", "resume")}
        self._content: dict[str, Any] = {"options": json.loads(json.dumps(options, default=str)), "folds": {}}
        if path.exists():
            stored = json.loads(path.read_text())
            if stored["options"] != self._content["options"]:
                raise ValueError(f"name must be that of folds trained with the same options, or new, got {path}")
            self._content = stored

    @property
    def folds(self) -> list[int]:
        """Numbers of the folds that are done."""
        return sorted(map(int, self._content["folds"]))

    def add(self, fold: int, run: Any) -> None:
        """Keep the scores of a finished :class:`GraphCLI`."""
        task = run.datamodule.benchmark.task
        if not task.maximize:
            raise ValueError(f"data must have a metric of which more is better, got {task.metric}")
        outcome = run.folder.outcome
        self._content |= {
            "task": f"{task.level} {task.kind}",
            "metric": task.metric,
            "model": getattr(run.model.network, "title", type(run.model.network).__name__),
            "params": outcome["parameters"],
        }
        history = read_history(run.folder.path / "metrics.csv")[f"val/{task.metric}"]
        self._content["folds"][str(fold)] = {
            "scores": history.tolist(),
            "cpu_seconds": outcome["cpu_seconds"],
            "run": str(run.folder.path),
        }
        if not is_first():
            return
        if self.path.exists():  # other folds may be trained beside this one
            self._content["folds"] = json.loads(self.path.read_text())["folds"] | self._content["folds"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self._content, indent=1) + "\n")

    def record(self, title: str, protocol: Protocol, command: str) -> Record:
        """The folds under a protocol."""
        rows = [self._content["folds"][str(fold)] for fold in self.folds]
        options = self._content["options"]
        return Record.of_values(
            protocol(np.array([row["scores"] for row in rows])).tolist(),
            task=self._content["task"],
            dataset=options["data"]["name"],
            split=", ".join(map(str, self.folds)),
            model=self._content["model"],
            metric=f"{self._content['metric']}, {title}",
            maximize=True,
            seeds=[int(options["seed_everything"])],
            params=self._content["params"],
            budget=f"{options['trainer']['max_epochs']} epochs",
            command=command,
            epochs=[len(row["scores"]) for row in rows],
            runs=[row["run"] for row in rows],
        )


class _Plan(GraphCLI):
    """The options of ``fit`` and those of the folds."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--folds", type=integers, default=list(range(10)), help="Folds, as 0,1,2; all ten if none.")
        parser.add_argument("--name", type=str, default=None, help="Name of the records.")
        parser.add_argument("--results", type=str, default="docs/results", help="Folder of the records.")


def _fit(plan: dict[str, Any], fold: int) -> GraphCLI:
    run = {**plan["run"], "test": False}
    data = {**plan["data"], "split": fold, "validate_on_test": True}
    return GraphCLI({"subcommand": "fit", "fit": {**plan, "data": data, "run": run}}, suffix=f"_fold{fold}")
