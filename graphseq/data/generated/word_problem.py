"""Word problems of finite groups: state tracking on sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.generated.dataset import GeneratedDataset, at_least, size_range
from graphseq.data.generated.parity import path_edges


class WordProblem(GeneratedDataset):
    r"""A word of group elements; the label of each place is the product of everything up to it.

    .. math::
        y_t = g_t \cdot g_{t-1} \cdots g_1

    in the group :math:`Z_m` (``"z5"``), the symmetric group :math:`S_n` (``"s3"``) or the alternating group
    :math:`A_n` (``"a5"``). Elements are drawn uniformly, so the product is uniform too and chance is one over the
    order. A recurrence with real diagonal decays cannot count modulo 3; one reflection a token cannot follow
    :math:`S_3`, two can (Siems et al. 2025; Merrill, Petty & Sabharwal 2024). Train on short words, test on longer.

    Nodes are places, joined in a path; ``x`` has one integer column, the number of the element.

    Args:
        group: ``"z"``, ``"s"`` or ``"a"`` and a number.
        num_nodes: length of each word, or the (shortest, longest) to draw from.
        num_graphs: how many words.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.

    Raises:
        ValueError: if there is no such group, or it has more than 5040 elements.

    Example:
        >>> data = WordProblem("z3", num_nodes=4, num_graphs=1)[0]
        >>> bool((data.y == data.x[:, 0].cumsum(0) % 3).all())
        True
    """

    def __init__(
        self,
        group: str = "s3",
        num_nodes: int | tuple[int, int] = (3, 40),
        num_graphs: int = 500,
        *,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("num_graphs", num_graphs, 1)
        low, high = size_range("num_nodes", num_nodes, 2)
        table = product_table(group)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            for _ in range(num_graphs):
                word = rng.integers(0, len(table), int(rng.integers(low, high + 1)))
                products = word.copy()
                for place in range(1, len(word)):
                    products[place] = table[word[place], products[place - 1]]
                yield Data(
                    x=torch.from_numpy(word)[:, None], edge_index=path_edges(len(word)), y=torch.from_numpy(products)
                )

        super().__init__(graphs(), transform, pre_transform)


def product_table(group: str) -> np.ndarray:
    """The product of each pair of elements, ``[order, order]``; element 0 is the neutral one."""
    kind, digits = group[:1], group[1:]
    size = int(digits) if digits.isdigit() else 0
    if kind not in ("z", "s", "a") or size < 2 or (kind != "z" and size > 7):
        raise ValueError(f"group must be z, s or a and a number from 2, for s and a up to 7, such as s3, got {group!r}")
    if kind == "z":
        return (np.arange(size)[:, None] + np.arange(size)) % size
    elements = np.array([p for p in permutations(range(size)) if kind == "s" or _is_even(p)])
    number = {tuple(element): index for index, element in enumerate(elements.tolist())}
    # Product of p and q: first q, then p.
    return np.array([[number[tuple(p[q].tolist())] for q in elements] for p in elements])


def _is_even(permutation: tuple[int, ...]) -> bool:
    inversions = sum(a > b for index, a in enumerate(permutation) for b in permutation[index + 1 :])
    return inversions % 2 == 0
