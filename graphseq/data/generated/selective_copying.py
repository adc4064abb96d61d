"""Selective copying (Gu & Dao 2023): what to keep depends on what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.generated.dataset import UNLABELLED, GeneratedDataset, at_least, size_range
from graphseq.data.generated.parity import path_edges


class SelectiveCopying(GeneratedDataset):
    r"""A few symbols at random places among blanks, then as many markers: name the symbols in their order.

    A system that treats all tokens alike cannot tell how many blanks lie between two symbols, one that selects by
    content ignores them. Chance is 1 / ``num_symbols``. Train on few blanks, test on more.

    Nodes are places, joined in a path; ``x`` has one integer column: 0 is a blank, 1 a marker, symbol + 2 the rest.
    ``label_mask`` is true at the markers.

    Args:
        num_copied: how many symbols are shown.
        num_symbols: how many there are.
        num_nodes: length of each sequence, markers included, at least twice ``num_copied``; or the (shortest, longest)
            to draw from.
        num_graphs: how many sequences.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.

    Example:
        >>> data = SelectiveCopying(2, num_symbols=9, num_nodes=7, num_graphs=1)[0]
        >>> data.x[:, 0].tolist(), data.y[-2:].tolist()
        ([0, 0, 0, 4, 4, 1, 1], [2, 2])
    """

    def __init__(
        self,
        num_copied: int = 8,
        num_symbols: int = 14,
        num_nodes: int | tuple[int, int] = 64,
        num_graphs: int = 500,
        *,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("num_copied", num_copied, 1)
        at_least("num_symbols", num_symbols, 2)
        at_least("num_graphs", num_graphs, 1)
        low, high = size_range("num_nodes", num_nodes, 2 * num_copied)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            for _ in range(num_graphs):
                size = int(rng.integers(low, high + 1))
                places = np.sort(rng.choice(size - num_copied, num_copied, replace=False))
                symbols = rng.integers(0, num_symbols, num_copied)
                x, y = np.zeros(size, dtype=np.int64), np.full(size, UNLABELLED)
                x[places], x[size - num_copied :] = symbols + 2, 1
                y[size - num_copied :] = symbols
                yield Data(
                    x=torch.from_numpy(x)[:, None],
                    edge_index=path_edges(size),
                    y=torch.from_numpy(y),
                    label_mask=torch.from_numpy(x == 1),
                )

        super().__init__(graphs(), transform, pre_transform)
