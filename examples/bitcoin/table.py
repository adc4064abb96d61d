"""Every score of a task on a trust network: networks as trained by ``graphseq repeat``, beside past counts.

graphseq repeat --config examples/bitcoin/otc.yaml --seeds 0,1,2,3,4 --results docs/results/bitcoin --name otc-sign-scan
python examples/bitcoin/table.py otc sign
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import auto_cli
from torch import Tensor

from graphseq.data import load
from graphseq.semba import Answers, answer, answer_by_counts, counted, score_answers, unseen_ends
from graphseq.training import GraphTask

NAMES = {"otc": "Bitcoin-OTC", "alpha": "Bitcoin-Alpha"}
NETWORKS = {
    "scan": "scan memory",
    "scan_separate": "scan memory, no balance",
    "gru": "GRU memory (SEMBA)",
    "gru_separate": "GRU memory, no balance",
    "tgn": "TGN, unsigned memory",
}
BASELINES = {"logistic": "logistic regression on past counts", "trees": "boosted trees on past counts"}


def table(network: str, task: str, results: Path = Path("docs/results/bitcoin"), seeds: int = 5) -> None:
    """Score the best epoch of every run on record, print a table and write it.

    Args:
        network: otc or alpha.
        task: sign, existence, joint or weight.
        results: folder of the records of ``graphseq repeat``, and of the table.
        seeds: of the boosted trees.
    """
    bench = load(NAMES[network], task=task, negatives=10 if task == "existence" else None)
    train, val, test = (counted(part) for part in (bench.train, bench.val, bench.test))
    trained = train.questions.pairs
    rows = []
    for kind, title in NETWORKS.items():
        path = results / f"{network}-{task}-{kind}.json"
        if path.exists():
            record = json.loads(path.read_text())
            scores = run_scores(record["runs"], task, trained)
            rows.append({"model": title, "command": record["command"], "scores": scores})
    for kind, title in BASELINES.items():
        scores = []
        for seed in range(seeds if kind == "trees" else 1):
            found = answer_by_counts(kind, task, train, {"val": val, "test": test}, seed)
            scores.append(all_scores(task, found["val"], found["test"], trained))
        rows.append({"model": title, "command": "", "scores": scores})
    text = markdown(rows)
    path = results / f"table-{network}-{task}.json"
    path.write_text(json.dumps({"network": NAMES[network], "task": task, "rows": rows, "table": text}, indent=1) + "\n")
    print(text, f"in {path}", sep="\n\n")


def run_scores(runs: list[str], task: str, trained: Tensor) -> list[dict[str, float]]:
    """Of the best epoch of each run, by one pass for validation and one for the test; all are on the same data."""
    data = yaml.safe_load((Path(runs[0]) / "config.yaml").read_text())["data"]
    bench = load(data["name"], **(data["options"] or {}))
    scores = []
    for run in runs:
        model = GraphTask.load_from_checkpoint(Path(run) / "checkpoints" / "best.ckpt", weights_only=True).eval()
        scores.append(all_scores(task, answer(model, bench.val), answer(model, bench.test), trained))
    return scores


def all_scores(task: str, val: Answers, test: Answers, trained: Tensor) -> dict[str, float]:
    """Of the whole test pass; for signs, also of events of which 0, 1 or 2 ends were in no training event."""
    scores = score_answers(task, val, test)
    if task == "sign":
        unseen = unseen_ends(test.pairs, trained, int(max(test.pairs.max(), trained.max())) + 1)
        for number in range(3):
            rocauc = score_answers(task, val, test.where(unseen == number))["rocauc"]
            scores |= {f"rocauc, {number} unseen": rocauc}
    return scores


def markdown(rows: list[dict[str, Any]]) -> str:
    """Mean and deviation of each score."""
    names = list(rows[0]["scores"][0])
    lines = [f"| model | {' | '.join(names)} | runs |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        values = [[scores[name] for scores in row["scores"]] for name in names]
        cells = [
            f"{statistics.fmean(value):.3f}" + (f" ± {statistics.stdev(value):.3f}" if len(value) > 1 else "")
            for value in values
        ]
        lines.append(f"| {row['model']} | {' | '.join(cells)} | {len(row['scores'])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    auto_cli(table, as_positional=True)
