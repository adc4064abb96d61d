"""Every score of a task on a trust network: networks as trained by ``graphseq repeat``, beside past counts.

graphseq repeat --config examples/bitcoin/otc.yaml --seeds 0,1,2,3,4 --results docs/results/bitcoin --name otc-sign-scan
python examples/bitcoin/table.py otc sign
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import auto_cli

from graphseq.data import Benchmark, load
from graphseq.semba import answer, answer_by_counts, counted, score_answers, score_unseen
from graphseq.training import GraphTask

NAMES = {"otc": "Bitcoin-OTC", "alpha": "Bitcoin-Alpha"}
NETWORKS = {
    "scan": "scan memory",
    "scan_separate": "scan memory, no balance",
    "gru": "GRU memory (SEMBA)",
    "gru_separate": "GRU memory, no balance",
    "gru_tuned": "GRU memory (SEMBA), tuned",
    "tgn": "TGN, unsigned memory",
}
BASELINES = {"logistic": "logistic regression on past counts", "trees": "boosted trees on past counts"}
# Half of the drawn pairs are former partners. Ranks are among ten, which would be needlessly many to train on.
TRAINED = {"existence": 2, "joint": 2}
ASKED = {"existence": 10, "joint": 2}
BY_UNSEEN = {"sign": "rocauc", "existence": "mrr", "joint": "macro_f1", "weight": "rmse"}

Scores = dict[str, float]


def table(
    network: str, task: str, results: Path = Path("docs/results/bitcoin"), seeds: int = 5, rebuild: bool = False
) -> None:
    """Score the best epoch of every run on record, print a table and write it.

    Rows of runs whose folders are gone stay as they are on record.

    Args:
        network: otc or alpha.
        task: sign, existence, joint or weight.
        results: folder of the records of ``graphseq repeat``, and of the table.
        seeds: of the boosted trees.
        rebuild: score nothing, write the table anew from its own rows.
    """
    path = results / f"table-{network}-{task}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    if not rebuild:
        rows = scored_rows(network, task, results, seeds, {row["model"]: row for row in rows})
    text = markdown(rows)
    published = results / f"published-{network}-{task}.json"
    if published.exists():
        text += "\n\n" + published_markdown(json.loads(published.read_text())["rows"])
    path.write_text(json.dumps({"network": NAMES[network], "task": task, "rows": rows, "table": text}, indent=1) + "\n")
    print(text, f"in {path}", sep="\n\n")


def scored_rows(
    network: str, task: str, results: Path, seeds: int, known: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each network on record and each baseline."""
    rows = []
    for kind, title in NETWORKS.items():
        path = results / f"{network}-{task}-{kind}.json"
        record = json.loads(path.read_text()) if path.exists() else None
        if record is not None and all(Path(run).exists() for run in record["runs"]):
            scores = run_scores(record["runs"], task)
            budget = {"budget": record["budget"], "params": record["params"]}
            rows.append({"model": title, "command": record["command"], **budget, "scores": scores})
        elif title in known:
            rows.append(known[title])
    train = counted(load(NAMES[network], task=task, negatives=TRAINED.get(task)).train)
    bench = load(NAMES[network], task=task, negatives=ASKED.get(task))
    asked = {"val": counted(bench.val), "test": counted(bench.test)}
    for kind, title in BASELINES.items():
        scores = []
        for seed in range(seeds if kind == "trees" else 1):
            found = answer_by_counts(kind, task, train, asked, seed)
            scores.append(all_scores(task, found, bench))
        rows.append({"model": title, "command": "", "scores": scores})
    return rows


def run_scores(runs: list[str], task: str) -> list[Scores]:
    """Of the best epoch of each run, by one pass for validation and one for the test; all are on the same data."""
    data = yaml.safe_load((Path(runs[0]) / "config.yaml").read_text())["data"]
    bench = load(data["name"], **{**(data["options"] or {}), "negatives": ASKED.get(task)})
    scores = []
    for run in runs:
        model = GraphTask.load_from_checkpoint(Path(run) / "checkpoints" / "best.ckpt", weights_only=True).eval()
        found = {"val": answer(model, bench.val), "test": answer(model, bench.test)}
        scores.append(all_scores(task, found, bench))
    return scores


def all_scores(task: str, found: Mapping[str, Any], bench: Benchmark) -> Scores:
    """Of the whole test pass; one of them also on events of which 0, 1 or 2 ends were in no training event."""
    unseen = score_unseen(task, found["val"], found["test"], bench.train)
    name = BY_UNSEEN[task]
    return score_answers(task, found["val"], found["test"]) | {
        f"{name}, {number} unseen": scores[name] for number, scores in unseen.items()
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """Mean and deviation of each score."""
    names = list(rows[0]["scores"][0])
    lines = [f"| model | {' | '.join(names)} | runs |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        values = [[scores[name] for scores in row["scores"]] for name in names]
        cells = [printed(statistics.fmean(value), statistics.stdev(value) if value[1:] else None) for value in values]
        lines.append(f"| {row['model']} | {' | '.join(cells)} | {len(row['scores'])} |")
    return "\n".join(lines)


def published_markdown(rows: list[dict[str, Any]]) -> str:
    """What others report, with the protocol that it holds for."""
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    lines = [f"| published | {' | '.join(names)} | runs | protocol |", "|---" * (len(names) + 3) + "|"]
    for row in rows:
        cells = [printed(*row["scores"][name]) if name in row["scores"] else "" for name in names]
        lines.append(f"| {row['model']} | {' | '.join(cells)} | {row['runs'] or ''} | {row['protocol']} |")
    sources = dict.fromkeys(row["source"].removeprefix("published: ") for row in rows)
    return "\n".join(lines) + "\n\nSources: " + "; ".join(sources) + "."


def printed(mean: float, deviation: float | None) -> str:
    return f"{mean:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")


if __name__ == "__main__":
    auto_cli(table, as_positional=True)
