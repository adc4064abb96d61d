"""``graphseq repeat``: one configuration over seeds and splits, summed up in a record of results."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from graphseq.training.lightning_cli import GraphCLI
from graphseq.training.processes import is_first
from graphseq.training.results import Record


def repeat(words: Sequence[str]) -> Record:
    """Fit and test a configuration for every pair of a seed and a split, and write the record.

    Args:
        words: the options of ``graphseq fit``, with ``--seeds``, ``--splits``, ``--name``, ``--title`` and
            ``--results``.
    """
    command = shlex.join(["graphseq", "repeat", *words])
    plan = _Plan(words, run=False).config.as_dict()
    plan.pop("config", None)
    seeds, splits = plan.pop("seeds"), plan.pop("splits")
    name, title, folder = plan.pop("name"), plan.pop("title"), plan.pop("results")
    # A series has one split.
    runs = [_fit(plan, seed, split) for seed, split in itertools.product(seeds, splits or [plan["data"].get("split")])]
    record = _record(runs, command, seeds, title)
    if is_first():
        path = record.write(folder, name or runs[0].folder.name)
        print(f"{record.metric} {record.value} over {len(runs)} runs, in {path}")
    return record


class _Plan(GraphCLI):
    """The options of ``fit`` and those of the repetition."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--seeds", type=integers, default=[0, 1, 2], help="Seeds, as 0,1,2.")
        parser.add_argument("--splits", type=integers, default=[], help="Splits, as 0,1; that of the data if none.")
        parser.add_argument("--name", type=str, default=None, help="Name of the record.")
        parser.add_argument("--title", type=str, default=None, help="Of the model in the record; its class if none.")
        parser.add_argument("--results", type=str, default="docs/results", help="Folder of the records.")


def integers(text: str | list[int]) -> list[int]:
    return text if isinstance(text, list) else [int(word) for word in str(text).split(",")]


def _fit(plan: dict[str, Any], seed: int, split: int | None) -> GraphCLI:
    suffix = f"_seed{seed}" + ("" if split is None else f"_split{split}")
    data = plan["data"] if split is None else {**plan["data"], "split": split}
    config = {**plan, "seed_everything": seed, "data": data}
    return GraphCLI({"subcommand": "fit", "fit": config}, suffix=suffix)


def _record(runs: list[GraphCLI], command: str, seeds: list[int], title: str | None) -> Record:
    first = runs[0]
    network = first.model.network
    outcomes = [cli.folder.outcome for cli in runs]
    result = first.model.result(first.datamodule)
    further = {name for name in outcomes[0]["test"] if name not in (result["metric"], "loss", "score")}
    return Record.of_values(
        [outcome["test"][result["metric"]] for outcome in outcomes],
        **result,
        split=", ".join(sorted({str(getattr(cli.datamodule, "split", "by time")) for cli in runs})),
        model=title or getattr(network, "title", type(network).__name__),
        seeds=seeds,
        params=outcomes[0]["parameters"],
        budget=f"{first.trainer.max_epochs} epochs",
        command=command,
        epochs=[outcome["epochs"] for outcome in outcomes],
        further={name: [outcome["test"][name] for outcome in outcomes] for name in sorted(further)},
        # What needs labels may be known of the test part alone.
        validation=[outcome["val"][result["metric"]] for outcome in outcomes if result["metric"] in outcome["val"]],
        runs=[str(cli.folder.path) for cli in runs],
    )
