"""Known series by name, held to their checksums."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from filelock import FileLock

from graphseq.data.catalogue import data_root
from graphseq.data.manifest import File, nearest
from graphseq.data.mirror import fetch, mirror_folder
from graphseq.data.series.series import Borders, Series
from graphseq.extras import needed_by

FOLDER = resources.files("graphseq.data.series") / "manifests"


@dataclass(frozen=True)
class SeriesManifest:
    """What is stated about a series: where it comes from, its split, and its raw files.

    Args:
        name: the name that :func:`load_series` takes.
        title: one line for people.
        borders: the rows at which training, validation and test data end.
        period: of the main season in rows; none where there is none.
        licence: terms under which the data may be used.
        citation: the paper to cite.
        source: where the data come from.
        read: how the table is read: its ``time`` column, its ``variates``, its ``labels``, or ``header`` none.
        statistics: rows and variates.
        files: the same table in one or more forms, of which one is enough.
    """

    name: str
    title: str
    borders: Borders
    period: int | None
    licence: str
    citation: str
    source: str
    read: dict[str, Any]
    statistics: dict[str, int]
    files: tuple[File, ...]


@cache
def series_names() -> tuple[str, ...]:
    """Every series that :func:`load_series` knows."""
    return tuple(sorted(Path(entry.name).stem for entry in FOLDER.iterdir() if entry.name.endswith(".json")))


def describe_series(name: str) -> SeriesManifest:
    """What is stated about a series; nothing is read or fetched.

    Raises:
        ValueError: if there is no series of that name; the message proposes the nearest.

    Example:
        >>> describe_series("ETTh1").statistics
        {'rows': 17420, 'variates': 7}
    """
    if name not in series_names():
        raise ValueError(f"name must be a known series{nearest(name, series_names())}, got {name!r}")
    entries = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    files = tuple(File(**file) for file in entries["files"])
    return SeriesManifest(**{**entries, "borders": Borders(*entries["borders"]), "files": files})


def load_series(name: str, root: str | Path | None = None, mirror: str | Path | None = None) -> Series:
    """Load a series by name, fetching its file where that is not there yet.

    Args:
        name: one of :func:`series_names`.
        root: where files live; without it, the environment variable ``GRAPHSEQ_DATA``, else ``datasets``.
        mirror: folder with raw files; without it, the environment variable ``GRAPHSEQ_MIRROR``.

    Raises:
        ValueError: if the name does not exist, or the file is not the one stated in the manifest.
        FileNotFoundError: if the file is neither in the mirror nor at an official address.
    """
    with needed_by("a named series"):
        import pandas as pd

    manifest = describe_series(name)
    folder = data_root(root)
    folder.mkdir(parents=True, exist_ok=True)
    file = _nearest_file(manifest, folder, mirror)
    with FileLock(folder / ".lock"):
        fetch([file], folder, mirror)
    frame = pd.read_csv(folder / file.to, header=manifest.read.get("header", "infer"), float_precision="round_trip")
    frame = frame.rename(columns=str)
    time, labels = manifest.read.get("time"), manifest.read.get("labels")
    numbers = [column for column in frame.select_dtypes("number").columns if column not in (time, labels)]
    return Series.from_frame(
        frame,
        time=time,
        # The stamps of some files are in no order, so that they have no time and a column of text.
        variates=manifest.read.get("variates") or numbers,
        labels=labels,
        borders=manifest.borders,
        period=manifest.period,
        name=name,
    )


def _nearest_file(manifest: SeriesManifest, root: Path, mirror: str | Path | None) -> File:
    """The form that is there already, else the one of the mirror, else the last: the one with an official address."""
    here = [file for file in manifest.files if (root / file.to).exists()]
    source = mirror_folder(mirror)
    mirrored = [file for file in manifest.files if source is not None and (source / file.path).is_file()]
    return [*here, *mirrored, manifest.files[-1]][0]
