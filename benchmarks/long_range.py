"""Who carries information far: transfer along rings and lollipops, and trees with as many messages as leaves.

Every network has about as many parameters. The recurrence and attention have three layers whatever the distance; the
convolutions have as many as the distance, since fewer could not do it. The transfer tasks hold five different graphs
for each length (Bodnar et al. 2021), so that training and test coincide, and Tree-NeighborsMatch is scored on its
training set (Alon & Yahav 2021): what is asked is whether a network can be fitted at all.

Each cell is a run of ``graphseq repeat``, and its record holds the command.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
from jsonargparse import auto_cli

from graphseq.training.curves import read_history
from graphseq.training.repeat import repeat
from graphseq.training.results import Record

CONFIG = "examples/long_range.yaml"
MODELS = ("GraphMamba", "GraphMamba-delta", "GPS", "GIN", "GCN")
LAYERS = 3
# A memory whose keys have length one and which overwrites, in place of Mamba-2's, which only fades.
DELTA_RULE = "{class_path: graphseq.sequence.DeltaNet, init_args: {heads: 2, key_size: 32, conv_size: 1}}"
TITLES = {
    "ring-transfer": ("Ring", "distance"),
    "clique-path-transfer": ("Clique and path", "distance"),
    "tree-neighbors-match": ("Tree-NeighborsMatch", "depth"),
}


class Cell(NamedTuple):
    """One task at one size."""

    task: str
    size: int

    @property
    def distance(self) -> int:
        """From the node that reads to what it must know."""
        return {
            "ring-transfer": self.size // 2,
            "clique-path-transfer": self.size // 2 + 1,
            "tree-neighbors-match": self.size,
        }[self.task]

    @property
    def models(self) -> list[str]:
        """On rings and paths Mamba-2's memory is enough."""
        return [name for name in MODELS if name != "GraphMamba-delta" or self.task == "tree-neighbors-match"]

    def words(self, model: str) -> list[str]:
        """Options of ``graphseq repeat``."""
        tree, mamba = self.task == "tree-neighbors-match", model.startswith("GraphMamba")
        # A convolution on a tree has one layer more than needed, as in the paper.
        layers = LAYERS if mamba or model == "GPS" else self.distance + tree
        options = f"{{depth: {self.size}}}" if tree else f"{{num_nodes: {self.size}, num_train: 200}}"
        words = [] if mamba else [f"--model.network=graphseq.training.baselines.{model}"]
        words += [f"--model.network.init_args.layers={layers}"]
        words += [f"--data.name={self.task}", f"--data.options={options}"]
        if model == "GraphMamba-delta":
            words += [f"--model.network.init_args.block={DELTA_RULE}"]
            words += [f"--model.network.init_args.{size}=null" for size in ("state_size", "expand", "conv_size")]
        if tree and mamba:
            # A new order in every step keeps the network from learning orders by heart.
            words += ["--model.network.init_args.ties=graphseq.graph_mamba.RandomTies"]
        if tree:
            words += ["--data.batch_size=64", "--trainer.callbacks.init_args.monitor=train/score"]
            words += ["--trainer.callbacks.init_args.stopping_threshold=0.995"]
            words += [f"--trainer.max_epochs={ {2: 400, 3: 40, 4: 24, 5: 16}[self.size] }"]
        return words


CELLS = [Cell("ring-transfer", size) for size in (20, 50, 100, 200)]
CELLS += [Cell("clique-path-transfer", size) for size in (20, 50)]
CELLS += [Cell("tree-neighbors-match", depth) for depth in (2, 3, 4, 5)]


def main(
    folder: str = "docs/results/long_range",
    seeds: str = "0,1,2",
    tasks: list[str] | None = None,
    models: list[str] | None = None,
    sizes: list[int] | None = None,
) -> None:
    """Train what has no record yet, then draw all records.

    Args:
        folder: of the records and the figure.
        seeds: of each cell.
        tasks: only these.
        models: only these.
        sizes: only these.
    """
    for cell in CELLS:
        for model in models or cell.models:
            name = f"{cell.task}-{cell.size}-{model}"
            wanted = cell.task in (tasks or TITLES) and cell.size in (sizes or [cell.size])
            if wanted and not (Path(folder) / f"{name}.json").exists():
                train(cell, model, seeds, folder, name)
    draw(Path(folder))


def train(cell: Cell, model: str, seeds: str, folder: str, name: str) -> None:
    """One cell for one model; on trees the best accuracy on the training set takes the place of the test's."""
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    words = ["--config", CONFIG, *cell.words(model), f"--seeds={seeds}", f"--name={name}", f"--results={folder}"]
    record = repeat([*words, *quiet])
    if cell.task == "tree-neighbors-match":
        fitted = [read_history(Path(run) / "metrics.csv")["train/accuracy"].max() for run in record.runs]
        rest = {key: value for key, value in vars(record).items() if key not in ("mean", "std", "values")}
        Record.of_values(fitted, **{**rest, "metric": "training accuracy"}).write(folder, name)


def draw(folder: Path) -> None:
    """Accuracy over distance, a panel a task."""
    records = {path.stem: Record(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))}
    figure, axes = plt.subplots(1, len(TITLES), figsize=(11, 3), sharey=True, layout="constrained")
    for axis, (task, (title, unit)) in zip(axes, TITLES.items(), strict=True):
        for place, model in enumerate(MODELS):
            found = [
                (cell.distance, records.get(f"{cell.task}-{cell.size}-{model}")) for cell in CELLS if cell.task == task
            ]
            points = [(distance, record) for distance, record in found if record is not None]
            if points:
                at, means = [point[0] for point in points], [point[1].mean for point in points]
                spread = [point[1].std or 0.0 for point in points]
                label = model.replace("-delta", ", delta rule")
                style = {"marker": "osv^D"[place], "color": f"C{place}", "zorder": len(MODELS) - place, "label": label}
                axis.errorbar(at, means, yerr=spread, capsize=2, **style)
        ticks = [cell.distance for cell in CELLS if cell.task == task]
        axis.set(title=title, xlabel=unit, xticks=ticks, ylim=(0, 1.05))
    axes[0].set_ylabel("accuracy")
    figure.legend(*axes[-1].get_legend_handles_labels(), frameon=False, loc="outside right center")
    figure.savefig(folder / "long_range.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    auto_cli(main)
