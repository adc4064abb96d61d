"""Associative recall on a tree: multi-query recall of sequence models (Arora et al. 2024), carried over to graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphseq.data.generated.dataset import UNLABELLED, GeneratedDataset, at_least


class WalkRecall(GeneratedDataset):
    r"""Some nodes of a random tree hold a key with a value, as many others ask for the value of a key.

    The tree is drawn uniformly from all labelled trees. Of its nodes, ``num_keys`` hold each a different key and a
    random value, and ``num_keys`` more hold one of these keys each and no value. Label of an asking node: the value
    of its key. How many keys a model gets right, set against the size of its state, is what the task is for. Chance
    is 1 / ``num_values``.

    ``x`` has two integer columns, key + 1 and value + 1, where 0 stands for none; ``label_mask`` is true at the
    asking nodes.

    Args:
        num_keys: how many keys :math:`K`.
        num_values: how many values.
        num_graphs: how many graphs.
        num_nodes: nodes of each tree, at least :math:`2K`; without it, :math:`3K`.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.
    """

    def __init__(
        self,
        num_keys: int = 8,
        num_values: int = 8,
        num_graphs: int = 500,
        *,
        num_nodes: int | None = None,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        import networkx as nx

        at_least("num_keys", num_keys, 1)
        at_least("num_values", num_values, 2)
        at_least("num_graphs", num_graphs, 1)
        size = 3 * num_keys if num_nodes is None else num_nodes
        at_least("num_nodes", size, 2 * num_keys)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            for _ in range(num_graphs):
                # Prüfer sequences and labelled trees correspond one to one.
                tree = nx.from_prufer_sequence(rng.integers(0, size, size - 2).tolist())
                edge_index = to_undirected(torch.tensor(list(tree.edges)).t())
                yield Data(edge_index=edge_index, **_contents(rng, size, num_keys, num_values))

        super().__init__(graphs(), transform, pre_transform)


def _contents(rng: np.random.Generator, size: int, num_keys: int, num_values: int) -> dict[str, torch.Tensor]:
    places = rng.permutation(size)
    holders, askers = places[:num_keys], places[num_keys : 2 * num_keys]
    values = rng.integers(0, num_values, num_keys)
    x = np.zeros((size, 2), dtype=np.int64)
    x[holders] = np.stack([np.arange(num_keys), values], axis=1) + 1
    x[askers, 0] = np.arange(num_keys) + 1
    y = np.full(size, UNLABELLED)
    y[askers] = values
    mask = np.zeros(size, dtype=bool)
    mask[askers] = True
    return {"x": torch.from_numpy(x), "y": torch.from_numpy(y), "label_mask": torch.from_numpy(mask)}
