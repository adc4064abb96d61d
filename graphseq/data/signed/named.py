"""Signed streams by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graphseq.data.loaded import Loaded
from graphseq.data.manifest import Manifest, describe
from graphseq.data.mirror import fetch
from graphseq.data.preparing import preparing
from graphseq.data.signed.chunks import as_loaded
from graphseq.data.signed.events import SignedStream
from graphseq.data.signed.formats import read_bitcoin
from graphseq.data.signed.network import SignedNetwork
from graphseq.data.signed.tasks import EVENT_TASKS, EventTask


def load_events(name: str, root: str | Path | None = None, mirror: str | Path | None = None) -> SignedStream:
    """A stream of signed events by name, as PyG's ``TemporalData``, fetched and checked where it is not there yet.

    :func:`graphseq.data.load` makes the same stream into a benchmark.

    Args:
        name: ``"Bitcoin-OTC"`` or ``"Bitcoin-Alpha"``.
        root, mirror: as in :func:`graphseq.data.load`.

    Raises:
        ValueError: if there is no such stream, or the file is not the one of the manifest.
        FileNotFoundError: if the file is in neither place.
    """
    from graphseq.data.catalogue import data_root

    manifest = describe(name)
    if manifest.loader != "signed":
        raise ValueError(f"name must be a stream of signed events, as Bitcoin-OTC is, got {name!r}")
    assert manifest.folder is not None
    root = data_root(root)
    with preparing(root, manifest.folder):
        fetch(manifest.files, root, mirror)
        return read_bitcoin(root / manifest.files[0].to)


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
