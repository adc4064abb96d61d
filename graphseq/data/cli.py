"""What stands behind ``graphseq data``: list, get and verify data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from graphseq.data.catalogue import data_root, load
from graphseq.data.manifest import File, Manifest, describe, nearest
from graphseq.data.manifest import names as dataset_names
from graphseq.data.mirror import check, mirror_folder
from graphseq.data.series import SeriesManifest, describe_series, load_series, series_names

Stated = Manifest | SeriesManifest


def list_(root: str | None = None, mirror: str | None = None) -> None:
    """Show every known data set and series: its task, its size, its licence, and where it is.

    States are ``generated``, ``present`` (under the root), ``in mirror``, ``online`` (at its official address) and
    ``missing``.

    Args:
        root: data root; without it, GRAPHSEQ_DATA, else ``datasets``.
        mirror: folder with raw files; without it, GRAPHSEQ_MIRROR.
    """
    folder, source = data_root(root), mirror_folder(mirror)
    rows = [("name", "task", "metric", "size", "licence", "state")]
    for stated in map(_described, _known()):
        rows.append((stated.name, *_size(stated), stated.licence, state(stated, folder, source)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def get(names: str | list[str], root: str | None = None, mirror: str | None = None) -> None:
    """Fetch and prepare data sets, so that later runs find them ready.

    Args:
        names: one name, or several with commas between: ``MUTAG,Cora``.
        root: data root; without it, GRAPHSEQ_DATA, else ``datasets``.
        mirror: folder with raw files; without it, GRAPHSEQ_MIRROR.
    """
    for stated in [_described(name) for name in _split(names)]:
        if isinstance(stated, SeriesManifest):
            series = load_series(stated.name, root=root, mirror=mirror)
            sizes = f"{series.values.shape[0]} rows, {series.values.shape[1]} variates"
        else:
            benchmark = load(stated.name, root=root, mirror=mirror)
            sizes = ", ".join(f"{part} {len(getattr(benchmark, part))}" for part in ("train", "val", "test"))
        print(f"{stated.name}: {sizes}; licence: {stated.licence}")


def verify(names: str | list[str] | None = None, root: str | None = None) -> None:
    """Hold the raw files under the data root to the checksums of their manifests.

    Args:
        names: one name, or several with commas between; without it, every data set that is there.
        root: data root; without it, GRAPHSEQ_DATA, else ``datasets``.

    Raises:
        SystemExit: if a file is missing or wrong; the message lists all of them.
    """
    folder = data_root(root)
    wrong = []
    for stated in [_described(name) for name in (_split(names) if names else _present(folder))]:
        files = _wanted(stated, folder)
        faults = _faults(stated.name, files, folder)
        print(f"{stated.name}: {f'{len(faults)} faults' if faults else f'{len(files)} files as stated'}")
        wrong += faults
    if wrong:
        raise SystemExit("\n".join(wrong))


COMMANDS: dict[str, Callable[..., None]] = {"list": list_, "get": get, "verify": verify}


def state(stated: Stated, root: Path, mirror: Path | None) -> str:
    """Where a data set is to be had: the nearest place that has all of its files."""
    forms = _forms(stated)
    if not any(forms):
        return "generated"
    if _complete(forms, root, "to"):
        return "present"
    if mirror is not None and _complete(forms, mirror, "path"):
        return "in mirror"
    return "online" if any(all(file.url for file in files) for files in forms) else "missing"


def _forms(stated: Stated) -> list[tuple[File, ...]]:
    """The sets of files of which one is enough: a series is in one file, which may be had in several forms."""
    return [(file,) for file in stated.files] if isinstance(stated, SeriesManifest) else [stated.files]


def _complete(forms: list[tuple[File, ...]], folder: Path, place: str) -> bool:
    return any(all((folder / getattr(file, place)).is_file() for file in files) for files in forms)


def _wanted(stated: Stated, root: Path) -> tuple[File, ...]:
    """The files that are to be there: of several forms the first that is."""
    forms = _forms(stated)
    return next((files for files in forms if _complete([files], root, "to")), forms[-1])


def _size(stated: Stated) -> tuple[str, str, str]:
    """Task, metric, and size, in graphs or in rows and variates."""
    if isinstance(stated, SeriesManifest):
        task = ("series anomaly", "rocauc") if stated.read.get("labels") else ("series forecast", "mse")
        return *task, "{rows} x {variates}".format(**stated.statistics)
    return f"{stated.task.level} {stated.task.kind}", stated.task.metric, str(stated.statistics.get("graphs", "any"))


def _known() -> list[str]:
    return [*dataset_names(), *series_names()]


def _described(name: str) -> Stated:
    if name not in _known():
        raise ValueError(f"name must be a known data set or series{nearest(name, _known())}, got {name!r}")
    return describe_series(name) if name in series_names() else describe(name)


def _split(words: str | Sequence[str]) -> list[str]:
    return words.split(",") if isinstance(words, str) else list(words)


def _present(root: Path) -> list[str]:
    return [name for name in _known() if state(_described(name), root, None) == "present"]


def _faults(name: str, files: Sequence[File], root: Path) -> list[str]:
    faults = []
    for file in files:
        try:
            check(file, root / file.to)
        except FileNotFoundError:
            faults.append(f"{root / file.to} is missing; fetch it with: graphseq data get {name}")
        except ValueError as error:
            faults.append(str(error))
    return faults
