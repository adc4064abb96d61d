"""Multi-query associative recall (Arora et al. 2024), on sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.generated.dataset import UNLABELLED, GeneratedDataset, at_least
from graphseq.data.generated.parity import path_edges


class AssociativeRecall(GeneratedDataset):
    r"""First all keys with their values, then all keys again, in another order: recall each one's value.

    The first :math:`K` of :math:`2K` tokens hold a different key and a random value each, the others the same keys
    without one. What is needed is a state that can hold :math:`K` associations, so the task is one of state size:
    chance is 1 / ``num_values``. A pair is one token, so that no convolution has to join key and value.

    Nodes are places, joined in a path. ``x`` has two integer columns, key + 1 and value + 1, where 0 stands for none;
    ``label_mask`` is true at the second half.

    Args:
        num_pairs: :math:`K`.
        num_keys: how many keys there are to draw from, at least :math:`K`.
        num_values: how many values.
        num_graphs: how many sequences.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.

    Example:
        >>> AssociativeRecall(num_pairs=4, num_graphs=1)[0].x.shape
        torch.Size([8, 2])
    """

    def __init__(
        self,
        num_pairs: int = 16,
        num_keys: int = 64,
        num_values: int = 16,
        num_graphs: int = 500,
        *,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("num_pairs", num_pairs, 1)
        at_least("num_keys", num_keys, num_pairs)
        at_least("num_values", num_values, 2)
        at_least("num_graphs", num_graphs, 1)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            for _ in range(num_graphs):
                keys = rng.permutation(num_keys)[:num_pairs]
                values = rng.integers(0, num_values, num_pairs)
                asked = rng.permutation(num_pairs)
                x = np.zeros((2 * num_pairs, 2), dtype=np.int64)
                x[:num_pairs] = np.stack([keys, values], axis=1) + 1
                x[num_pairs:, 0] = keys[asked] + 1
                y = np.full(2 * num_pairs, UNLABELLED)
                y[num_pairs:] = values[asked]
                yield Data(
                    x=torch.from_numpy(x),
                    edge_index=path_edges(2 * num_pairs),
                    y=torch.from_numpy(y),
                    label_mask=torch.arange(2 * num_pairs) >= num_pairs,
                )

        super().__init__(graphs(), transform, pre_transform)
