"""Peptides-func of the Long Range Graph Benchmark (Dwivedi et al. 2022), from finished arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from graphseq.data.loaded import Loaded, Split
from graphseq.data.manifest import Manifest

ATOM_CATEGORIES = (119, 5, 12, 12, 10, 6, 6, 2, 2)
BOND_CATEGORIES = (5, 6, 2)


class PeptidesFunc(InMemoryDataset):
    """15,535 peptides as molecular graphs with ten yes/no functions each.

    The arrays are already what :class:`~torch_geometric.data.InMemoryDataset` keeps in memory, all graphs one after
    another, so there is nothing to process and no second copy on disk (PyG's ``LRGBDataset`` would write 700 MB).

    Args:
        path: the ``.npz`` of the arrays ``x``, ``num_nodes``, ``num_bonds``, ``bond_index``, ``bond_attr`` and ``y``.
        transform: applied to each graph on access.
    """

    def __init__(self, path: str | Path, transform: Callable | None = None) -> None:
        super().__init__(None, transform)
        with np.load(path) as arrays:
            nodes, bonds = (torch.from_numpy(arrays[key]).long() for key in ("num_nodes", "num_bonds"))
            self.data = Data(
                x=torch.from_numpy(arrays["x"]).long(),
                edge_index=_both_ways(torch.from_numpy(arrays["bond_index"])),
                edge_attr=torch.from_numpy(arrays["bond_attr"]).long().repeat_interleave(2, 0),
                y=torch.from_numpy(arrays["y"]).float(),
            )
        edge_ends = _starts(2 * bonds)
        self.slices = {
            "x": _starts(nodes),
            "edge_index": edge_ends,
            "edge_attr": edge_ends,
            "y": torch.arange(len(nodes) + 1),
        }


def load_peptides(manifest: Manifest, root: Path, split: int) -> Loaded:
    """Peptides-func with the published split."""
    assert manifest.folder is not None
    path = root / manifest.folder / "peptides_func.npz"
    with np.load(path) as arrays:
        index = Split(*(torch.from_numpy(arrays[f"idx_{part}"]).long() for part in ("train", "val", "test")))
    return Loaded(PeptidesFunc(path), index, node_categories=ATOM_CATEGORIES, edge_categories=BOND_CATEGORIES)


def _both_ways(bonds: Tensor) -> Tensor:
    # OGB's order: each bond is followed at once by its reverse.
    return torch.stack([bonds, bonds.flip(0)], dim=-1).flatten(1).long()


def _starts(lengths: Tensor) -> Tensor:
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
