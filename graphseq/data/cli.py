"""What stands behind ``graphseq data``: list, get and verify data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from graphseq.data.catalogue import data_root, load
from graphseq.data.manifest import Manifest, describe, names
from graphseq.data.mirror import check, mirror_folder


def list_(root: str | None = None, mirror: str | None = None) -> None:
    """Show every known data set: its task, its size, its licence, and where it is.

    States are ``generated``, ``present`` (under the root), ``in mirror``, ``online`` (at its official address) and
    ``missing``.

    Args:
        root: data root; without it, GRAPHSEQ_DATA, else ``datasets``.
        mirror: folder with raw files; without it, GRAPHSEQ_MIRROR.
    """
    folder, source = data_root(root), mirror_folder(mirror)
    rows = [("name", "task", "metric", "graphs", "licence", "state")]
    for manifest in map(describe, names()):
        task, graphs = manifest.task, manifest.statistics.get("graphs", "any")
        rows.append(
            (
                manifest.name,
                f"{task.level} {task.kind}",
                task.metric,
                str(graphs),
                manifest.licence,
                state(manifest, folder, source),
            )
        )
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
    for name in _split(names):
        benchmark = load(name, root=root, mirror=mirror)
        sizes = ", ".join(f"{part} {len(getattr(benchmark, part))}" for part in ("train", "val", "test"))
        print(f"{name}: {sizes}; licence: {describe(name).licence}")


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
    for manifest in [describe(name) for name in _split(names)] if names else _present(folder):
        faults = _faults(manifest, folder)
        print(f"{manifest.name}: {f'{len(faults)} faults' if faults else f'{len(manifest.files)} files as stated'}")
        wrong += faults
    if wrong:
        raise SystemExit("\n".join(wrong))


COMMANDS: dict[str, Callable[..., None]] = {"list": list_, "get": get, "verify": verify}


def state(manifest: Manifest, root: Path, mirror: Path | None) -> str:
    """Where a data set is to be had: the nearest place that has all of its files."""
    files = manifest.files
    if not files:
        return "generated"
    if all((root / file.to).is_file() for file in files):
        return "present"
    if mirror is not None and all((mirror / file.path).is_file() for file in files):
        return "in mirror"
    return "online" if all(file.url for file in files) else "missing"


def _split(words: str | Sequence[str]) -> list[str]:
    return words.split(",") if isinstance(words, str) else list(words)


def _present(root: Path) -> list[Manifest]:
    return [manifest for manifest in map(describe, names()) if state(manifest, root, None) == "present"]


def _faults(manifest: Manifest, root: Path) -> list[str]:
    faults = []
    for file in manifest.files:
        try:
            check(file, root / file.to)
        except FileNotFoundError:
            faults.append(f"{root / file.to} is missing; fetch it with: graphseq data get {manifest.name}")
        except ValueError as error:
            faults.append(str(error))
    return faults
