"""Node-classification sets of one graph each, by PyG's own classes."""

from __future__ import annotations

import warnings
from pathlib import Path

from torch_geometric.data import InMemoryDataset
from torch_geometric.datasets import Actor, HeterophilousGraphDataset, Planetoid, WebKB
from torch_geometric.utils import to_undirected

from graphseq.data.loaded import Loaded
from graphseq.data.manifest import Manifest


def load_planetoid(manifest: Manifest, root: Path, split: int) -> Loaded:
    """Citation graphs (Yang et al. 2016), with the public split or the ten of Pei et al. (2020).

    The raw files are pickles, and PyG's reader unpickles them. What makes that safe is that each has passed the
    SHA-256 of the manifest just before.
    """
    arguments = manifest.arguments
    with warnings.catch_warnings():
        # The pickles are older than NumPy's present scalar types.
        warnings.filterwarnings("ignore", message="dtype", category=UserWarning)
        dataset = Planetoid(str(root / "planetoid"), arguments["dataset"], split=arguments["split"])
    return Loaded(_choose_split(dataset, split))


def load_webkb(manifest: Manifest, root: Path, split: int, *, undirected: bool = False) -> Loaded:
    """Web pages of a university (Pei et al. 2020).

    Args:
        undirected: make each link go both ways, as most papers do; PyG keeps them as they are.
    """
    dataset = WebKB(str(root / "webkb"), manifest.name)
    return Loaded(_choose_split(_undirected(dataset) if undirected else dataset, split))


def load_actor(manifest: Manifest, root: Path, split: int, *, undirected: bool = False) -> Loaded:
    """Actors that occur on the same Wikipedia page (Pei et al. 2020); ``undirected`` as in :func:`load_webkb`."""
    dataset = Actor(str(root / "actor"))
    return Loaded(_choose_split(_undirected(dataset) if undirected else dataset, split))


def load_heterophilous(manifest: Manifest, root: Path, split: int) -> Loaded:
    """Two-class graphs of Platonov et al. (2023); labels are real, one column, scored by ROC-AUC."""
    dataset = HeterophilousGraphDataset(str(root / "heterophilous"), manifest.name)
    dataset._data.y = dataset._data.y.float().unsqueeze(1)
    return Loaded(_choose_split(dataset, split))


def _choose_split(dataset: InMemoryDataset, split: int) -> InMemoryDataset:
    for key in ("train_mask", "val_mask", "test_mask"):
        mask = dataset._data[key]
        # Some come as bytes, which would index nodes 0 and 1 instead of masking.
        dataset._data[key] = (mask if mask.dim() == 1 else mask[:, split]).bool()
    return dataset


def _undirected(dataset: InMemoryDataset) -> InMemoryDataset:
    data = dataset._data
    data.edge_index = to_undirected(data.edge_index, num_nodes=data.num_nodes)
    return dataset
