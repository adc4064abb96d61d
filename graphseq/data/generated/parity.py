"""Parity of marked nodes: state tracking on graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphseq.data.generated.dataset import GeneratedDataset, at_least, one_of, size_range


class MarkedParity(GeneratedDataset):
    r"""Each node is marked with probability 1/2; how many marks there are on the way decides between two classes.

    At node level the label of node :math:`i` is the parity of the marks on the way from node 0 to :math:`i`, both
    included; at graph level it is the parity of all marks. Chance is 0.5. A linear recurrence whose decays lie in
    :math:`[0, 1]` cannot track parity at unbounded length, one that reaches :math:`-1` can (Grazzi et al. 2025);
    train on short graphs, test on longer ones.

    Features are [mark, 1 at node 0 else 0].

    Args:
        num_nodes: nodes of each graph, or the (smallest, largest) number to draw from.
        num_graphs: how many graphs.
        shape: ``"path"``, ``"tree"`` (each node hangs on a random earlier one) or ``"cycle"``, which has two ways
            from node 0 to any other and so only the graph-level label.
        level: ``"node"`` or ``"graph"``.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.
    """

    def __init__(
        self,
        num_nodes: int | tuple[int, int] = (2, 40),
        num_graphs: int = 500,
        shape: str = "path",
        *,
        level: str = "node",
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("num_graphs", num_graphs, 1)
        one_of("shape", shape, ("path", "tree", "cycle"))
        one_of("level", level, ("node", "graph"))
        if shape == "cycle" and level == "node":
            raise ValueError("level must be 'graph' for shape 'cycle', where two ways lead to each node, got 'node'")
        low, high = size_range("num_nodes", num_nodes, 3 if shape == "cycle" else 2)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            for _ in range(num_graphs):
                size = int(rng.integers(low, high + 1))
                marks, parent = rng.integers(0, 2, size), _parents(shape, size, rng)
                y = _parity_from_root(marks, parent) if level == "node" else marks.sum(keepdims=True) % 2
                yield Data(
                    x=torch.from_numpy(np.stack([marks, np.arange(size) == 0], axis=1)).float(),
                    edge_index=_edges(parent, closed=shape == "cycle"),
                    y=torch.from_numpy(y),
                )

        super().__init__(graphs(), transform, pre_transform)


def _parents(shape: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """The parent of each node but the first; it comes earlier than its child."""
    nodes = np.arange(1, size)
    return rng.integers(0, nodes) if shape == "tree" else nodes - 1


def _parity_from_root(marks: np.ndarray, parent: np.ndarray) -> np.ndarray:
    parity = marks.copy()
    for node, before in enumerate(parent, start=1):
        parity[node] ^= parity[before]
    return parity


def _edges(parent: np.ndarray, closed: bool) -> torch.Tensor:
    links = np.stack([parent, np.arange(1, len(parent) + 1)])
    if closed:
        links = np.concatenate([links, [[len(parent)], [0]]], axis=1)
    return to_undirected(torch.from_numpy(links))


def path_edges(num_nodes: int) -> torch.Tensor:
    """Both directions of a path."""
    return _edges(np.arange(num_nodes - 1), closed=False)
