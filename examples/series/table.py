"""Tables of the forecasting records, with published numbers beside them: docs/results/series/tables.md.

graphseq repeat --config examples/series/etth1.yaml --seeds 0,1,2 --results docs/results/series --name ETTh1-96-chimera
python examples/series/table.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from jsonargparse import auto_cli

from graphseq.training.results import Record

MODELS = {
    "chimera": "Chimera",
    "wide": "Chimera, one patch of 96 rows",
    "separable": "Chimera, one-way coupling",
    "independent": "Chimera, each variate by itself",
    "linear": "linear map in closed form",
    "joint_linear": "linear map of all variates in closed form",
    "repeat": "last value repeated",
    "seasonal_naive": "last day repeated",
    "dlinear": "DLinear",
    "mamba": "Mamba, each variate by itself",
    "itransformer": "iTransformer-style encoder",
    "patchtst": "PatchTST",
    "tsm2": "TSM2",
    "tpgn": "TPGN",
}

Errors = dict[str, dict[int, tuple[float, float]]]
"""MSE and MAE at each horizon, by model."""

PRESETS = {"Chimera": ("chimera", "wide")}
"""Of these presets the one counts, at each horizon, whose error on the validation rows is smaller."""


def tables(results: Path = Path("docs/results/series"), check: bool = False) -> None:
    """Write the tables, or say that they are stale.

    Args:
        results: folder of the records; ``published.json`` in it holds the numbers of others.
        check: write nothing, and exit with code 1 if the file is not what it should be.
    """
    published = json.loads((results / "published.json").read_text())
    groups: dict[str, list[tuple[float, str]]] = {}
    errors: dict[str, Errors] = {}
    for path in sorted(results.glob("*-*.json")):
        group, _, model = path.stem.rpartition("-")
        record = Record.read(path)
        groups.setdefault(group, []).append((record.mean, _row(record, MODELS[model])))
        _add(errors, group, MODELS[model], record.mean, statistics.fmean(record.further["mae"]))
    for group, rows in published["rows"].items():
        for model, (mse, mae) in rows.items():
            groups.setdefault(group, []).append((mse, f"| {model} | {mse:.3f} | {mae:.3f} | | | published |"))
            _add(errors, group, f"{model} (published)", mse, mae)
    for model, presets in PRESETS.items():
        _choose(results, errors, model, presets)
    means = [_means(name, errors[name]) for name in sorted(errors)]
    text = "\n\n".join([*means, *(_table(group, groups[group]) for group in sorted(groups, key=_by_horizon))])
    text += f"\n\nPublished: {published['source']}\n"
    file = results / "tables.md"
    if check and (not file.exists() or file.read_text() != text):
        raise SystemExit(f"{file} must hold the tables of {results}: run python examples/series/table.py")
    if not check:
        file.write_text(text)
        print(text)


def _add(errors: dict[str, Errors], group: str, model: str, mse: float, mae: float) -> None:
    name, _, horizon = group.partition("-")
    if horizon:
        errors.setdefault(name, {}).setdefault(model, {})[int(horizon)] = (mse, mae)


def _choose(results: Path, errors: dict[str, Errors], model: str, presets: tuple[str, ...]) -> None:
    for name, horizon in [(name, horizon) for name in errors for horizon in (96, 192, 336, 720)]:
        paths = [results / f"{name}-{horizon}-{preset}.json" for preset in presets]
        if all(path.exists() for path in paths):
            best = min(map(Record.read, paths), key=lambda record: statistics.fmean(record.validation))
            title = f"{model}, chosen by validation of {len(presets)} presets"
            _add(errors, f"{name}-{horizon}", title, best.mean, statistics.fmean(best.further["mae"]))


def _means(name: str, errors: Errors) -> str:
    """The mean over all horizons, of models that have been measured at each."""
    horizons = sorted({horizon for rows in errors.values() for horizon in rows})
    rows = []
    for model, found in errors.items():
        if sorted(found) == horizons:
            mse, mae = (statistics.fmean(values) for values in zip(*found.values(), strict=True))
            rows.append((mse, f"| {model} | {mse:.4f} | {mae:.4f} |"))
    title = f"**{name}**, mean over {', '.join(map(str, horizons[:-1]))} and {horizons[-1]} rows ahead from 96"
    return "\n".join([title, "", "| model | MSE | MAE |", "|---|---|---|", *(row for _, row in sorted(rows))])


def _row(record: Record, model: str) -> str:
    mae = statistics.fmean(record.further["mae"])
    return f"| {model} | {record.value} | {mae:.4f} | {len(record.values)} | {record.params:,} | measured |"


def _table(group: str, rows: list[tuple[float, str]]) -> str:
    name, _, horizon = group.partition("-")
    title = f"**{name}**, {horizon} rows ahead from 96" if horizon else f"**{name}** (generated), 6 rows ahead from 24"
    head = ["| model | MSE | MAE | runs | parameters | source |", "|---|---|---|---|---|---|"]
    return "\n".join([title, "", *head, *(row for _, row in sorted(rows))])


def _by_horizon(group: str) -> tuple[str, int]:
    name, _, horizon = group.partition("-")
    return name, int(horizon or 0)


if __name__ == "__main__":
    auto_cli(tables)
