"""A ``pre_transform`` applied once and kept on disk."""

from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch_geometric
from torch import Tensor
from torch_geometric.data import Dataset, InMemoryDataset

import graphseq


class Pretransformed(InMemoryDataset):
    """A data set after a ``pre_transform``.

    PyG keeps one result a folder, and only warns when it was made by another transform. Here each transform has a
    file of its own, named after the transform's pickled parameters and the versions of graphseq and PyG. After a
    change to the *code* of a transform, delete the folder ``pretransformed``.

    Args:
        dataset: what to transform.
        pre_transform: applied to each graph. One that cannot be pickled (a lambda, say) is applied anew each time.
        folder: where results are kept; None for nowhere.
        variant: what else tells this data set from others in the same folder, such as its split.
    """

    def __init__(
        self, dataset: Dataset, pre_transform: Callable, folder: Path | None = None, variant: str = ""
    ) -> None:
        super().__init__(None)
        path = None if folder is None else _path(folder, pre_transform, variant)
        if path is not None and path.exists():
            # Data may have become a subclass; asking the transform costs one graph, and trusts no name found in a file.
            data_class = type(pre_transform(dataset[0]))
            stored, self.slices = torch.load(path, weights_only=True)
            self.data = data_class.from_dict(stored)
            return
        self.data, self.slices = self.collate([pre_transform(data) for data in dataset])
        stored = self._data.to_dict()
        if path is not None and _is_plain(stored):
            _save((stored, self.slices), path)


def _path(folder: Path, pre_transform: Callable, variant: str) -> Path | None:
    made_by = f"{graphseq.__version__} {torch_geometric.__version__} {variant}"
    try:
        parameters = pickle.dumps(pre_transform)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    key = hashlib.sha256(made_by.encode() + parameters).hexdigest()[:16]
    return folder / "pretransformed" / f"{key}.pt"


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, Tensor | str | int | float)


def _save(content: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        torch.save(content, os.path.join(temporary, path.name))
        os.replace(os.path.join(temporary, path.name), path)
