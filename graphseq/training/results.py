"""Records of results, and the tables made from them."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from itertools import groupby
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"

_TITLES = {"accuracy": "accuracy", "rocauc": "ROC-AUC", "ap": "AP", "rmse": "RMSE", "mae": "MAE"}


@dataclasses.dataclass(frozen=True)
class Record:
    """One number: a model's test metric on a data set, its spread, and how it came about.

    Args:
        task: what is predicted, in words.
        dataset: name of the data set.
        split: which split or splits.
        model: name of the network.
        metric: name of the metric.
        mean: over runs.
        std: sample standard deviation over runs; none for a single one.
        seeds: of the runs.
        params: trainable parameters; none if a source does not say.
        budget: what the run was allowed, as ``"100 epochs"``.
        command: what repeats it.
        source: ``"measured"``, or ``"published: …"`` with where.
        maximize: whether larger is better.
        values: of the single runs.
        epochs: that the single runs took.
        runs: folders of the single runs.
        further: other test metrics, by name, of the single runs.
        validation: the metric of the single runs on their validation part, at the epoch that was tested.
    """

    task: str
    dataset: str
    split: str
    model: str
    metric: str
    mean: float
    std: float | None
    seeds: list[int]
    params: int | None
    budget: str
    command: str
    source: str = "measured"
    maximize: bool = True
    values: list[float] = dataclasses.field(default_factory=list)
    epochs: list[int] = dataclasses.field(default_factory=list)
    runs: list[str] = dataclasses.field(default_factory=list)
    further: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    validation: list[float] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.source != "measured" and not self.source.startswith("published: "):
            raise ValueError(f"source must be 'measured' or 'published: …', got {self.source!r}")

    @classmethod
    def of_values(cls, values: list[float], **rest: Any) -> Record:
        """The record of runs with these test metrics."""
        std = statistics.stdev(values) if len(values) > 1 else None
        return cls(mean=statistics.fmean(values), std=std, values=values, **rest)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record.

        Raises:
            ValueError: if the file holds no record, naming it.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except TypeError as error:
            raise ValueError(f"{path} must hold a record of results: {error}") from error

    def write(self, folder: str | Path, name: str) -> Path:
        """Write ``folder/name.json``."""
        path = Path(folder) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n")
        return path

    @property
    def value(self) -> str:
        """Mean and deviation as printed."""
        return f"{self.mean:.4f}" if self.std is None else f"{self.mean:.4f} ± {self.std:.4f}"


def read_records(folder: str | Path) -> list[Record]:
    """All records of a folder; files that are not about a data set's metric (no key ``dataset``) are left out."""
    paths = sorted(Path(folder).glob("*.json"))
    return [Record.read(path) for path in paths if "dataset" in json.loads(path.read_text())]


def render_tables(records: list[Record], *, commands: bool = True) -> str:
    """A Markdown table for each data set and metric, best first.

    Args:
        records: whose results they hold.
        commands: whether the command of each measured number stands below.
    """

    def group(record: Record) -> tuple[str, str]:
        return record.dataset, record.metric

    sections = []
    for (dataset, metric), rows in groupby(sorted(records, key=group), key=group):
        ordered = sorted(rows, key=lambda record: -record.mean if record.maximize else record.mean)
        arrow = "↑" if ordered[0].maximize else "↓"
        lines = [
            f"**{dataset}**, {ordered[0].task}, test {_TITLES.get(metric, metric)} {arrow}",
            "",
            f"| model | {_TITLES.get(metric, metric)} | runs | parameters | budget | source |",
            "|---|---|---|---|---|---|",
            *(_row(record) for record in ordered),
        ]
        measured = [f"- {record.model}: `{record.command}`" for record in ordered if record.source == "measured"]
        lines += ["", *measured] if commands else []
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def update_tables(
    records: str = "docs/results", readme: str = "README.md", page: str = "docs/results.md", check: bool = False
) -> None:
    """Write the tables of results into the README and the page of the site.

    Args:
        records: folder of the records.
        readme: file whose part between the two ``results`` markers is replaced.
        page: file that is written as a whole.
        check: write nothing, and exit with code 1 if a file is not what it should be.
    """
    found = read_records(records)
    head = (
        "# Results\n\nMean ± standard deviation of the test metric at the best validation epoch. "
        "Made by `graphseq results` from the records in `docs/results`.\n\n"
    )
    wanted = {
        Path(readme): _between_markers(Path(readme), render_tables(found, commands=False)),
        Path(page): head + render_tables(found) + "\n",
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if check and stale:
        names = " and ".join(map(str, stale))
        raise SystemExit(f"{names} must hold the tables of {records}: run `graphseq results`")
    for path in stale:
        path.write_text(wanted[path])
        print(f"wrote {path}")


def _row(record: Record) -> str:
    cells = [
        record.model,
        record.value,
        str(len(record.values) or len(record.seeds) or "?"),
        "?" if record.params is None else f"{record.params:,}",
        record.budget,
        record.source,
    ]
    return f"| {' | '.join(cells)} |"


def _between_markers(path: Path, tables: str) -> str:
    text = path.read_text() if path.exists() else ""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{path} must hold the line {BEGIN} and later the line {END}, once")
    return pattern.sub(lambda _: "\n".join(part for part in (BEGIN, tables, END) if part), text)
