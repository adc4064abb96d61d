"""Chameleon and Squirrel (Rozemberczki et al. 2021), with and without duplicated nodes (Platonov et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import to_undirected

from graphseq.data.loaded import Loaded
from graphseq.data.manifest import Manifest


class WikipediaPages(InMemoryDataset):
    """One graph of Wikipedia pages and the links between them, made undirected.

    PyG has no reader for these files: its ``WikipediaNetwork`` holds the version with the duplicates.

    Args:
        path: an ``.npz`` of ``node_features``, ``node_labels``, ``edges``, and ten each of ``train_masks``,
            ``val_masks`` and ``test_masks``.
        split: which of the ten splits.
        transform: applied on access.
    """

    def __init__(self, path: str | Path, split: int = 0, transform: Callable | None = None) -> None:
        super().__init__(None, transform)
        with np.load(path) as arrays:
            x = torch.from_numpy(arrays["node_features"]).float()
            edge_index = torch.from_numpy(arrays["edges"]).long().t().contiguous()
            masks = {f"{part}_mask": arrays[f"{part}_masks"][split] for part in ("train", "val", "test")}
            self.data = Data(
                x=x,
                edge_index=to_undirected(edge_index, num_nodes=len(x)),
                y=torch.from_numpy(arrays["node_labels"]).long(),
                **{key: torch.from_numpy(mask) for key, mask in masks.items()},
            )


def load_wikipedia(manifest: Manifest, root: Path, split: int) -> Loaded:
    """The graph with one of its ten splits."""
    return Loaded(WikipediaPages(root / manifest.files[0].to, split))
