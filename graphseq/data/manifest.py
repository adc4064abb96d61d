"""What is known about each data set before any of it is on disk: the JSON files under ``manifests/``."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from graphseq.data.benchmark import Task

FOLDER = resources.files("graphseq.data") / "manifests"


@dataclass(frozen=True)
class File:
    """One raw file.

    Args:
        path: where a mirror holds it.
        sha256: its checksum, as hexadecimal digits; none where it is not known.
        size: its length in bytes, if known.
        to: where it is put, relative to the data root.
        url: official address of a byte-identical file, where there is one.
        unpack: for an archive, the folder (relative to the data root) that receives its contents.
    """

    path: str
    sha256: str | None
    size: int | None
    to: str
    url: str | None = None
    unpack: str | None = None


@dataclass(frozen=True)
class Manifest:
    """All that is stated about a data set: what it is, where it comes from, and the checksum of each raw file.

    Args:
        name: the name that :func:`graphseq.data.load` takes.
        title: one line for people.
        loader: which loader reads it.
        task: what is predicted and how it is scored.
        num_splits: how many train/validation/test splits there are.
        splits: where the splits come from, in words.
        statistics: graphs, nodes, edges (directed, as loaded), features, classes.
        licence: terms under which the data may be used.
        citation: the paper to cite.
        source: where the files come from.
        arguments: what the loader needs besides the files.
        folder: where it lives, relative to the data root; none for generated data.
        files: the raw files; none for generated data.
    """

    name: str
    title: str
    loader: str
    task: Task
    num_splits: int
    splits: str
    licence: str
    citation: str
    source: str
    statistics: dict[str, int] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None
    files: tuple[File, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        entries = json.loads(text)
        entries["task"] = Task(**entries["task"])
        entries["files"] = tuple(File(**file) for file in entries.get("files", []))
        return cls(**entries)


@cache
def names() -> tuple[str, ...]:
    """Every data set that :func:`graphseq.data.load` knows, in alphabetical order."""
    stems = (Path(entry.name).stem for entry in FOLDER.iterdir() if entry.name.endswith(".json"))
    return tuple(sorted(stems, key=str.lower))


def describe(name: str) -> Manifest:
    """What is stated about a data set; nothing is read or fetched.

    Raises:
        ValueError: if there is no data set of that name; the message proposes the nearest.

    Example:
        >>> describe("MUTAG").statistics["graphs"]
        188
    """
    if name not in names():
        raise ValueError(f"name must be a known data set{nearest(name, names())}, got {name!r}")
    return Manifest.from_json((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that proposes what may have been meant."""
    spellings = {other.lower(): other for other in known}
    close = difflib.get_close_matches(str(word).lower(), list(spellings), n=1, cutoff=0.5)
    return f" (did you mean {spellings[close[0]]!r}?)" if close else f" (one of {', '.join(spellings.values())})"
