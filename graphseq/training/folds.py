"""``graphseq folds``: the cross-validation protocols of the TU collection, both from one set of runs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.cli import LightningArgumentParser

from graphseq.training.curves import read_history
from graphseq.training.lightning_cli import GraphCLI
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

    Args:
        words: the options of ``graphseq fit``, with ``--folds``, ``--name`` and ``--results``.

    Raises:
        ValueError: if a smaller metric is better, which no set of the collection has.
    """
    command = shlex.join(["graphseq", "folds", *words])
    plan = _Plan(words, run=False).config.as_dict()
    plan.pop("config", None)
    chosen, name, folder = plan.pop("folds"), plan.pop("name"), plan.pop("results")
    runs = [_fit(plan, fold) for fold in chosen]
    task = runs[0].datamodule.benchmark.task
    if not task.maximize:
        raise ValueError(f"data must have a metric of which more is better, got {task.metric}")
    scores = np.stack([read_history(run.folder.path / "metrics.csv")[f"val/{task.metric}"] for run in runs])
    records = {}
    for title, protocol in PROTOCOLS.items():
        records[title] = _record(runs, protocol(scores).tolist(), title, command, chosen)
        path = records[title].write(folder, f"{name or runs[0].folder.name}-{title.replace(' ', '_')}")
        print(f"{task.metric}, {title}: {records[title].value} over {len(runs)} folds, in {path}")
    return records


class _Plan(GraphCLI):
    """The options of ``fit`` and those of the folds."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--folds", type=integers, default=list(range(10)), help="Folds, as 0,1,2; all ten if none.")
        parser.add_argument("--name", type=str, default=None, help="Name of the records.")
        parser.add_argument("--results", type=str, default="docs/results", help="Folder of the records.")


def _fit(plan: dict[str, Any], fold: int) -> GraphCLI:
    version = plan["run"]["version"] or time.strftime("%Y-%m-%d_%H-%M-%S")
    run = {**plan["run"], "version": f"{version}_fold{fold}", "test": False}
    data = {**plan["data"], "split": fold, "validate_on_test": True}
    return GraphCLI({"subcommand": "fit", "fit": {**plan, "data": data, "run": run}})


def _record(runs: list[GraphCLI], values: list[float], protocol: str, command: str, chosen: list[int]) -> Record:
    first = runs[0]
    task = first.datamodule.benchmark.task
    outcomes = [cli.folder.outcome for cli in runs]
    return Record.of_values(
        values,
        task=f"{task.level} {task.kind}",
        dataset=first.datamodule.name,
        split=", ".join(map(str, chosen)),
        model=type(first.model.network).__name__,
        metric=f"{task.metric}, {protocol}",
        maximize=task.maximize,
        seeds=[int(first.config["fit"]["seed_everything"])],
        params=outcomes[0]["parameters"],
        budget=f"{first.trainer.max_epochs} epochs",
        command=command,
        epochs=[outcome["epochs"] for outcome in outcomes],
        runs=[str(cli.folder.path) for cli in runs],
    )
