"""Arrow pointing: networks of one size, trained at one resolution and tested at twice that, beside one another.

``python benchmarks/arrows.py train --models plstm,vit --seeds 0,1,2`` trains what has not been trained yet, and
``python benchmarks/arrows.py collect`` writes docs/results/arrows.json and the figure.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
import yaml
from jsonargparse import auto_cli

from graphseq.training import GraphDataModule, GraphTask
from graphseq.training.lightning_cli import GraphCLI

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "images"
RESULTS = ROOT / "docs" / "results" / "arrows.json"
# Epochs of each network over those of pLSTM, for about the same time of the processor.
EPOCHS = {"plstm": 1.0, "plstm_p": 1.0, "plstm_d": 1.0, "plstm_no_positions": 1.0, "vit": 2.2}
TITLES = {
    "plstm": "pLSTM",
    "plstm_p": "P only",
    "plstm_d": "D only",
    "plstm_no_positions": "no positions",
    "vit": "ViT",
}
RUNS = Path("runs", "arrows")


def train(models: str = "plstm,vit", seeds: str = "0,1,2", preset: str = "arrow_pointing_quick") -> None:
    """Fit each network with each seed, and test the best epoch at both resolutions.

    Args:
        models: names out of plstm, plstm_p, plstm_d, plstm_no_positions and vit, with commas between them.
        seeds: numbers, with commas between them.
        preset: the name of a file in examples/images.
    """
    for seed in map(int, seeds.split(",")):
        for model in models.split(","):
            folder = RUNS / preset / f"{model}_seed{seed}"
            if not (folder / "arrows.json").exists():
                outcome = _run(model, seed, preset, folder)
                print(outcome, flush=True)
                (folder / "arrows.json").write_text(json.dumps(outcome, indent=1) + "\n")


def _run(model: str, seed: int, preset: str, folder: Path) -> dict[str, Any]:
    path = EXAMPLES / f"{preset}.yaml"
    settings = yaml.safe_load(path.read_text())
    words = ["fit", "--config", str(path)]
    if model != "plstm":
        words += ["--config", str(EXAMPLES / "networks" / f"{model}.yaml")]
    if model == "vit":
        # A layer of pLSTM is two blocks.
        layers = 2 * settings["model"]["network"]["init_args"]["layers"]
        words += ["--model.network.init_args.layers", str(layers)]
    epochs = round(EPOCHS[model] * settings["trainer"]["max_epochs"])
    words += ["--trainer.max_epochs", str(epochs), "--seed_everything", str(seed), "--run.root", str(folder.parent)]
    words += ["--run.name", "fits", "--run.version", folder.name, "--run.test", "false"]
    cli = GraphCLI([*words, "--trainer.enable_progress_bar", "false"])
    outcome = cli.folder.outcome
    best = GraphTask.load_from_checkpoint(cli.folder.best_checkpoint, weights_only=True)
    options = cli.datamodule.options
    sizes = {
        side: _accuracy(cli, best, {**options, "test_size": side}) for side in (options["size"], 2 * options["size"])
    }
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "model": model,
        "seed": seed,
        "parameters": outcome["parameters"],
        "epochs": outcome["epochs"],
        "best_epoch": outcome["best_epoch"],
        "cpu_seconds": outcome["cpu_seconds"],
        "accuracy": {str(side): accuracy for side, accuracy in sizes.items()},
        "checkpoint": str(cli.folder.best_checkpoint),
    }


def _accuracy(cli: GraphCLI, task: GraphTask, options: dict[str, Any]) -> float:
    data = GraphDataModule("arrow-pointing", batch_size=50, options={**options, "num_train": 1, "num_val": 1})
    return cli.trainer.test(task, datamodule=data, verbose=False)[0]["test/accuracy"]


def collect(preset: str = "arrow_pointing_quick") -> None:
    """Write the record and the figure of all runs that are there.

    Args:
        preset: of the runs.
    """
    runs = [json.loads(path.read_text()) for path in sorted((RUNS / preset).glob("*/arrows.json"))]
    sides = list(runs[0]["accuracy"])
    table = {}
    for model in TITLES:
        own = [run for run in runs if run["model"] == model]
        if own:
            table[model] = {side: _spread([run["accuracy"][side] for run in own]) for side in sides}
            print(model, {side: table[model][side] for side in sides}, f"{len(own)} runs")
    content = {
        "benchmark": "arrow pointing, accuracy at the resolution of the training images and at twice that",
        "command": f"python benchmarks/arrows.py train --preset {preset} && python benchmarks/arrows.py collect",
        "preset": yaml.safe_load((EXAMPLES / f"{preset}.yaml").read_text()),
        "accuracy": table,
        "runs": [{key: value for key, value in run.items() if key != "checkpoint"} for run in runs],
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")
    _draw(content, runs, sides)


def _spread(values: list[float]) -> dict[str, float | None]:
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else None}


def _draw(content: dict[str, Any], runs: list[dict[str, Any]], sides: list[str]) -> None:
    figure = plt.figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2, 3))
    axis = left.subplots()
    models = list(content["accuracy"])
    for number, side in enumerate(sides):
        for place, model in enumerate(models):
            values = [run["accuracy"][side] for run in runs if run["model"] == model]
            label = f"{side} pixels" if place == 0 else None
            axis.plot([place + 0.2 * number - 0.1] * len(values), values, "os"[number], color=f"C{number}", label=label)
    axis.axhline(0.5, color="0.7", linewidth=1)
    axis.set(ylabel="test accuracy, each seed", xticks=range(len(models)), xlim=(-0.5, len(models) - 0.5))
    axis.set_xticklabels([TITLES[model] for model in models], rotation=20)
    axis.legend(fontsize=8)
    _draw_answers(right, content["preset"]["data"]["options"], next(run for run in runs if run["model"] == "plstm"))
    figure.savefig(RESULTS.with_suffix(".png"), dpi=140)


def _draw_answers(figure: Any, options: dict[str, Any], run: dict[str, Any]) -> None:
    """What pLSTM answers about the first test images of twice the resolution, with its probability."""
    data = GraphDataModule("arrow-pointing", options={**options, "num_train": 1, "num_val": 1, "num_test": 8})
    task = GraphTask.load_from_checkpoint(run["checkpoint"], weights_only=True).eval()
    batch = next(iter(data.test_dataloader()))
    with torch.no_grad():
        chance = task(batch).softmax(-1)[:, 1].tolist()
    side = 2 * options["size"]
    for axis, image, hit, p in zip(
        figure.subplots(2, 4).flat, batch.x.view(-1, side, side), batch.y.tolist(), chance, strict=True
    ):
        axis.imshow(image, cmap="gray_r")
        answer = "hit" if p > 0.5 else "miss"
        right = (p > 0.5) == bool(hit)
        axis.set_title(f"{answer} ({max(p, 1 - p):.2f})", fontsize=8, color="C2" if right else "C3")
        axis.set(xticks=[], yticks=[])


if __name__ == "__main__":
    auto_cli([train, collect])
