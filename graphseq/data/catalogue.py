"""The one way in: a name becomes a :class:`Benchmark`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch_geometric.data import Data, Dataset

from graphseq.data.benchmark import Benchmark, Channels
from graphseq.data.generated.recipes import RECIPES
from graphseq.data.loaded import Loaded
from graphseq.data.loaders import LOADERS
from graphseq.data.manifest import Manifest, describe, nearest
from graphseq.data.mirror import fetch
from graphseq.data.preparing import preparing
from graphseq.data.pretransform import Pretransformed

ROOT_VARIABLE = "GRAPHSEQ_DATA"


def load(
    name: str,
    root: str | Path | None = None,
    mirror: str | Path | None = None,
    split: int = 0,
    transform: Callable | None = None,
    pre_transform: Callable | None = None,
    **options: Any,
) -> Benchmark:
    """Load a data set by name, fetching and preparing it where that has not happened yet.

    Several processes may call this at once. ``describe(name)`` tells what a set is, under which licence, and how many
    splits it has.

    Args:
        name: one of :func:`names`.
        root: where raw and processed files live; without it, the environment variable ``GRAPHSEQ_DATA``, else
            ``datasets``.
        mirror: folder with raw files; without it, the environment variable ``GRAPHSEQ_MIRROR``.
        split: which of the set's splits, from 0.
        transform: applied to each graph on every access.
        pre_transform: applied to each graph once; the result is kept on disk.
        **options: what the set's own loader takes: the sizes of a generated task (``num_nodes=20``), say, or
            ``undirected=True`` for WebKB and Actor.

    Raises:
        ValueError: if the name or the split does not exist, or a raw file is not the one stated in the manifest.
        TypeError: if the set has no such option.
        FileNotFoundError: if a raw file is neither in the mirror nor at an official address.

    Example:
        >>> bench = load("ring-transfer", num_nodes=20, num_train=50)
        >>> len(bench.train), bench.in_channels, bench.task.num_outputs
        (50, 5, 5)
    """
    manifest = describe(name)
    if not 0 <= split < manifest.num_splits:
        raise ValueError(f"split must be in 0..{manifest.num_splits - 1} for {name}, got {split}")
    root = data_root(root)
    loaded = _read(manifest, root, mirror, split, options)
    dataset = loaded.dataset
    if pre_transform is not None:
        # A single graph carries the masks of its split, and an option may change its edges.
        variant = f"{split if loaded.split is None else ''} {sorted(options.items())}"
        dataset = _pretransformed(manifest, root, dataset, pre_transform, variant)
    dataset.transform = transform
    train, val, test = [dataset] * 3 if loaded.split is None else [dataset[index] for index in loaded.split]
    made = Benchmark.from_datasets(
        train,
        val,
        test,
        loaded.task or manifest.task,
        name=name,
        in_channels=None if pre_transform else _declared(loaded.node_categories, dataset[0], "x"),
        edge_channels=None if pre_transform else _declared(loaded.edge_categories, dataset[0], "edge_attr"),
        num_splits=manifest.num_splits,
        split=split,
    )
    if pre_transform is None:
        return made
    node_channels = _at_least(made.in_channels, loaded.node_categories)
    edge_channels = None if made.edge_channels is None else _at_least(made.edge_channels, loaded.edge_categories)
    return replace(made, in_channels=node_channels, edge_channels=edge_channels)


def data_root(root: str | Path | None = None) -> Path:
    """The folder of raw and processed files: the one given, else that of the environment, else ``datasets``."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or "datasets")


def _declared(categories: tuple[int, ...] | None, example: Data, key: str) -> tuple[int, ...] | None:
    """What the loader declares, unless a transform has made other columns."""
    features = example.get(key, None)
    fits = categories is not None and features is not None and features.shape[1:] == (len(categories),)
    return categories if fits else None


def _at_least(counted: Channels, declared: tuple[int, ...] | None) -> Channels:
    """What is declared, for as many columns as there were, and more where a transform has made more categories."""
    if declared is None or not isinstance(counted, tuple) or len(counted) != len(declared):
        return counted
    return tuple(map(max, counted, declared))


def _read(manifest: Manifest, root: Path, mirror: str | Path | None, split: int, options: dict[str, Any]) -> Loaded:
    if manifest.folder is None:
        recipe = RECIPES[manifest.loader]
        _check_options(manifest.name, recipe, options)
        return recipe(**options)
    loader: Callable[..., Loaded] = LOADERS[manifest.loader]
    _check_options(manifest.name, loader, options)
    with preparing(root, manifest.folder):
        fetch(manifest.files, root, mirror)
        return loader(manifest, root, split, **options)


def _check_options(name: str, loader: Callable, options: dict[str, Any]) -> None:
    parameters = inspect.signature(loader).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            hint = nearest(option, known) if known else " (it has no options)"
            raise TypeError(f"{name} has no option {option!r}{hint}")


def _pretransformed(
    manifest: Manifest, root: Path, dataset: Dataset, pre_transform: Callable, variant: str
) -> Pretransformed:
    if manifest.folder is None:
        return Pretransformed(dataset, pre_transform)
    with preparing(root, manifest.folder):
        return Pretransformed(dataset, pre_transform, root / manifest.folder, variant)
