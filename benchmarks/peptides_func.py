"""Peptides-func in a fixed time: each network gets as many epochs as it does in 25 minutes of one core.

With ``--long=true``, the two best of them again, five times as large and for an hour.

All share optimiser, batch size, positional encodings, depth, number of parameters and head, and all but the narrow scan
a dropout of 0.1. What is drawn is the score on the validation part over the seconds of the processor; the records hold
the test score at the best epoch and the commands. Run it with ``OMP_NUM_THREADS=1``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
from jsonargparse import auto_cli

from graphseq.training.curves import read_history
from graphseq.training.repeat import repeat

CONFIGS = ("peptides_func", "positional/random_walk")


class Entry(NamedTuple):
    """A network of the study."""

    title: str
    epochs: int
    """That take 25 minutes of one core, or the hour of a long run, while the other core is as busy."""
    lr: float = 0.004
    """GPS learns faster with half of it; GatedGCN does not, and for the last two nothing else was tried."""


ENTRIES = {
    "graph_mamba_narrow": Entry("Graph Mamba, narrow scan", 42),
    "gcn": Entry("GCN", 53),
    "gated_gcn": Entry("GatedGCN", 38),
    "gps": Entry("GPS", 13, lr=0.002),
    "graph_mamba_wang": Entry("Graph Mamba (Wang et al. 2024)", 27),
    "gmn_light": Entry("GMN", 17),
}
LONG_ENTRIES = {
    "graph_mamba_narrow": ENTRIES["graph_mamba_narrow"]._replace(epochs=42, lr=0.002),
    "gcn": ENTRIES["gcn"]._replace(epochs=45, lr=0.002),
}
# The messages of the narrow one stay without dropout.
LONG_OPTIONS = ["--model.parameters=500000", "--model.network.init_args.dropout=0.1"]


def main(
    folder: str = "docs/results/peptides",
    seeds: list[int] | None = None,
    networks: list[str] | None = None,
    long: bool = False,
    options: list[str] | None = None,
) -> None:
    """Train what has no record yet, a seed at a time, then draw all curves.

    Args:
        folder: of records, curves and the figure; those of the long runs are in ``long`` inside.
        seeds: of each network; if not given, 0 and 1, or 0 for the long runs.
        networks: only these.
        long: an hour with 500,000 parameters and a dropout of 0.1, in the narrow one for scans and head alone.
        options: further ones of ``graphseq repeat``, for all.
    """
    entries, given = (LONG_ENTRIES, LONG_OPTIONS) if long else (ENTRIES, [])
    place = Path(folder) / "long" if long else Path(folder)
    for seed in seeds or ([0] if long else [0, 1]):
        for network in networks or entries:
            if not (place / f"{network}-{seed}.json").exists():
                train(network, entries[network], seed, place, [*given, *(options or [])])
    draw(place, entries)


def train(network: str, entry: Entry, seed: int, folder: Path, options: list[str]) -> None:
    """One run: its record, and the curve of its validation score beside it."""
    name = f"{network}-{seed}"
    configs = [f"--config=examples/{config}.yaml" for config in (*CONFIGS, f"networks/{network}")]
    words = [*configs, f"--trainer.max_epochs={entry.epochs}", f"--model.lr={entry.lr}"]
    words += [f"--seeds={seed}", f"--name={name}", f"--title={entry.title}"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    record = repeat([*words, f"--results={folder}", *quiet, *options])
    # The row of the test has neither.
    history = read_history(Path(record.runs[0]) / "metrics.csv")[["cpu_seconds", "val/ap"]].dropna()
    seconds, scores = history["cpu_seconds"].tolist(), history["val/ap"].tolist()
    curve = {"network": network, "seed": seed, "cpu_seconds": seconds, "val_ap": scores}
    (folder / f"curve-{name}.json").write_text(json.dumps(curve) + "\n")


def draw(folder: Path, entries: dict[str, Entry]) -> None:
    """Validation score over time, a colour a network and a line a seed."""
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for number, (network, entry) in enumerate(entries.items()):
        for line, path in enumerate(sorted(folder.glob(f"curve-{network}-*.json"))):
            curve = json.loads(path.read_text())
            minutes = [second / 60 for second in curve["cpu_seconds"]]
            axes.plot(minutes, curve["val_ap"], color=f"C{number}", label=None if line else entry.title)
    axes.set(xlabel="minutes of one core", ylabel="average precision, validation")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(folder / "peptides.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    auto_cli(main)
