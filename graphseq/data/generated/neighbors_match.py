"""Tree-NeighborsMatch (Alon & Yahav 2021): as many messages as there are leaves must pass one node."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.utils import add_self_loops

from graphseq.data.generated.dataset import GeneratedDataset, at_least, labelled_node

MOST_PERMUTATIONS = 1000
MOST_GRAPHS = 32_000


class TreeNeighborsMatch(GeneratedDataset):
    r"""The root of a full binary tree asks for a key; the leaf with that key has the value.

    With :math:`L = 2^\text{depth}` leaves, leaf :math:`i` has key :math:`i` and value :math:`v_i`, :math:`v` a
    permutation, and the root has key :math:`k`. The root's label is :math:`v_k`, one of :math:`L` classes. Edges lead
    from child to parent, and each node has a self-loop. Every permutation comes with all :math:`L` keys.

    ``x`` has two integer columns, key + 1 and value + 1, where 0 stands for none: the authors' one-hot code, as an
    index.

    Args:
        depth: distance from root to leaves.
        num_permutations: how many permutations; without it, the authors' number: 1000 but no more than there are, and
            beyond depth 3 at most 32,000 graphs in all.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.

    Example:
        >>> len(TreeNeighborsMatch(depth=2))
        96
    """

    def __init__(
        self,
        depth: int = 3,
        num_permutations: int | None = None,
        *,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("depth", depth, 1)
        leaves = 2**depth
        most = math.factorial(leaves)
        wanted = _authors_number(depth) if num_permutations is None else num_permutations
        if not 1 <= wanted <= most:
            raise ValueError(f"num_permutations must be in 1..{most} at depth {depth}, got {wanted}")
        rng = np.random.default_rng(seed)
        nodes = 2 * leaves - 1
        children = torch.arange(1, nodes)
        edge_index, _ = add_self_loops(torch.stack([children, (children - 1) // 2]), num_nodes=nodes)

        def graphs() -> Iterator[Data]:
            for values in _distinct_permutations(rng, leaves, wanted):
                tree = torch.zeros(nodes, 2, dtype=torch.long)
                tree[leaves - 1 :, 0] = torch.arange(leaves) + 1
                tree[leaves - 1 :, 1] = torch.tensor(values) + 1
                for key in range(leaves):
                    x = tree.clone()
                    x[0, 0] = key + 1
                    yield Data(x=x, edge_index=edge_index, **labelled_node(nodes, 0, values[key]))

        super().__init__(graphs(), transform, pre_transform)


def _authors_number(depth: int) -> int:
    leaves = 2**depth
    at_most = MOST_PERMUTATIONS if depth <= 3 else min(MOST_PERMUTATIONS, max(1, MOST_GRAPHS // leaves))
    return min(at_most, math.factorial(leaves))


def _distinct_permutations(rng: np.random.Generator, length: int, count: int) -> list[tuple[int, ...]]:
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        found[tuple(rng.permutation(length).tolist())] = None
    return list(found)
