"""Signed streams by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphseq.data.loaded import Loaded
from graphseq.data.manifest import File, Manifest, describe
from graphseq.data.mirror import fetch
from graphseq.data.preparing import preparing
from graphseq.data.signed.chunks import as_loaded
from graphseq.data.signed.events import SignedStream
from graphseq.data.signed.formats import read_bitcoin, read_konect, read_wiki_rfa
from graphseq.data.signed.network import SignedNetwork
from graphseq.data.signed.tasks import EVENT_TASKS, EventTask

#: Networks of which no checksum is known here, so that they have no manifest: the file, and what reads it.
_UNCHECKED: dict[str, tuple[File, Callable[[Path], SignedStream]]] = {
    "wiki-RfA": (
        File(
            "signed/wiki-RfA.txt.gz",
            sha256=None,
            size=None,
            to="signed/wiki-RfA.txt.gz",
            url="https://snap.stanford.edu/data/wiki-RfA.txt.gz",
        ),
        read_wiki_rfa,
    ),
    "Epinions": (
        File(
            "signed/download.tsv.epinions.tar.bz2",
            sha256=None,
            size=None,
            to="signed/download.tsv.epinions.tar.bz2",
            url="http://konect.cc/files/download.tsv.epinions.tar.bz2",
        ),
        read_konect,
    ),
}


def load_events(name: str, root: str | Path | None = None, mirror: str | Path | None = None) -> SignedStream:
    """A stream of signed events by name, as PyG's ``TemporalData``, fetched where it is not there yet.

    Bitcoin-OTC and Bitcoin-Alpha are held to their checksums, and :func:`graphseq.data.load` makes benchmarks of them.
    No checksum is known here of wiki-RfA (SNAP) and Epinions (KONECT): a file from their official address or the
    mirror is taken as it is, and a warning states its own. :func:`signed_benchmark` makes a benchmark of them.

    Args:
        name: ``"Bitcoin-OTC"``, ``"Bitcoin-Alpha"``, ``"wiki-RfA"`` or ``"Epinions"``.
        root, mirror: as in :func:`graphseq.data.load`.

    Raises:
        ValueError: if there is no such stream, or the file is not the one of the manifest.
        FileNotFoundError: if the file is in neither place.
    """
    from graphseq.data.catalogue import data_root

    root = data_root(root)
    if name in _UNCHECKED:
        file, read = _UNCHECKED[name]
        files: tuple[File, ...] = (file,)
        folder = "signed"
    else:
        manifest = describe(name)
        if manifest.loader != "signed":
            raise ValueError(f"name must be a stream of signed events, as Bitcoin-OTC is, got {name!r}")
        assert manifest.folder is not None
        files, folder, read = manifest.files, manifest.folder, read_bitcoin
    with preparing(root, folder):
        fetch(files, root, mirror)
        return read(root / files[0].to)


def load_signed(
    manifest: Manifest,
    root: Path,
    split: int,
    *,
    task: str = "sign",
    negatives: int | None = None,
    chunk: int | None = None,
    seed: int = 0,
) -> Loaded:
    """A trust network with a task; options as in :func:`signed_benchmark`.

    Args:
        task: ``"sign"``, ``"existence"``, ``"joint"`` or ``"weight"``.
        negatives: drawn for each event, where the task needs some.
        chunk: about how many events a chunk holds.
        seed: of the drawn pairs.
    """
    stream = read_bitcoin(root / manifest.files[0].to)
    return as_loaded(stream.events, event_task(task, negatives), chunk, seed=seed)


def signed_network(
    *,
    num_nodes: int = 200,
    num_events: int = 4000,
    noise: float = 0.05,
    drift: float = 0.5,
    task: str = "sign",
    negatives: int | None = None,
    chunk: int | None = None,
    seed: int = 0,
) -> Loaded:
    """The generated network with a task."""
    network = SignedNetwork(num_nodes, num_events, noise=noise, drift=drift, seed=seed)
    return as_loaded(network.events, event_task(task, negatives), chunk, seed=seed)


def event_task(name: str, negatives: int | None = None) -> EventTask:
    """A task by name.

    Raises:
        ValueError: if there is none of that name, or it needs negatives and gets none, or the other way round.
    """
    if name not in EVENT_TASKS:
        raise ValueError(f"task must be one of {', '.join(EVENT_TASKS)}, got {name!r}")
    arguments: dict[str, Any] = {} if negatives is None else {"negatives": negatives}
    task = EVENT_TASKS[name](**arguments)
    if (task.negatives > 0) != (EVENT_TASKS[name]().negatives > 0) or task.negatives < 0:
        wanted = "at least 1" if EVENT_TASKS[name]().negatives else "0"
        raise ValueError(f"negatives must be {wanted} for the task {name}, got {task.negatives}")
    return task
