"""What the command line can train: kinds of tasks, each with its data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from graphseq.data.manifest import nearest

Pair = tuple[type, type]


def _graph() -> Pair:
    from graphseq.training.datamodule import GraphDataModule
    from graphseq.training.task import GraphTask

    return GraphTask, GraphDataModule


def _forecast() -> Pair:
    from graphseq.training.forecast import ForecastTask
    from graphseq.training.series import SeriesDataModule

    return ForecastTask, SeriesDataModule


def _anomaly() -> Pair:
    from graphseq.training.anomaly import AnomalyTask
    from graphseq.training.series import AnomalyDataModule

    return AnomalyTask, AnomalyDataModule


KINDS: dict[str, Callable[[], Pair]] = {"graph": _graph, "forecast": _forecast, "anomaly": _anomaly}
"""The classes of task and data of each kind; a pair is imported when it is asked for."""


def kind_of(args: Sequence[str] | dict[str, Any]) -> str:
    """The kind that a command line names, by ``--task`` or in a file given by ``--config``, the last one counting.

    It has to be known before the options can be, since they are those of its classes.

    Args:
        args: words, or a configuration as a dictionary, with or without its command.

    Raises:
        ValueError: if there is no kind of that name; the message proposes the nearest.
    """
    if isinstance(args, dict):
        named = [config["task"] for config in (args, args.get(args.get("subcommand", ""), {})) if "task" in config]
    else:
        named = list(_named(list(args)))
    kind = named[-1] if named else "graph"
    if kind not in KINDS:
        raise ValueError(f"task must be a known kind{nearest(str(kind), KINDS)}, got {kind!r}")
    return kind


def _named(words: list[str]) -> Iterable[str]:
    for place, word in enumerate(words):
        option, _, value = word.partition("=")
        value = value or "".join(words[place + 1 : place + 2])
        if option == "--task":
            yield value
        elif option in ("--config", "-c") and Path(value).is_file():
            yield from _named_in(Path(value))


def _named_in(file: Path) -> Iterable[str]:
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError:
        # The parser reads it again, and says where it is wrong.
        return
    if isinstance(content, dict) and "task" in content:
        yield content["task"]
