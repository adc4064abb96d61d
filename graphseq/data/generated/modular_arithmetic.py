"""Modular arithmetic without and with brackets (Delétang et al. 2023): state tracking on sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.generated.dataset import UNLABELLED, GeneratedDataset, at_least, size_range
from graphseq.data.generated.parity import path_edges

#: Tokens after the digits, in order.
SIGNS = "+-*()"


class ModularArithmetic(GeneratedDataset):
    r"""An expression of digits, ``+``, ``-`` and ``*``; the label of a place is the value of everything up to it.

    Values are taken modulo :math:`m`. Multiplication goes before addition, and brackets before both. Where what has
    been read is no whole expression, after a sign or within brackets, there is no label. Without brackets the language
    is regular: the sum so far, the last product and its sign are a finite state. With brackets it takes a stack
    (Delétang et al. 2023; Grazzi et al. 2025). Zero is more frequent than the other values, since products meet it
    more often, so that the best constant answer is somewhat better than :math:`1 / m`.

    Nodes are places, joined in a path; ``x`` has one integer column, a digit or :math:`m` plus the place of a sign in
    ``+-*()``. ``label_mask`` is true where there is a label.

    Args:
        modulus: :math:`m`.
        brackets: whether there are any.
        num_nodes: length of each expression, or the (shortest, longest) to draw from; expressions have odd lengths,
            and of an even one the next smaller is taken.
        num_graphs: how many expressions.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.

    Example:
        >>> expressions = ModularArithmetic(5, num_nodes=7, num_graphs=1, seed=2)
        >>> expressions.text(0), expressions[0].y.tolist()
        ('4+0+2*2', [4, -1, 4, -1, 1, -1, 3])
    """

    def __init__(
        self,
        modulus: int = 5,
        brackets: bool = False,
        num_nodes: int | tuple[int, int] = (3, 40),
        num_graphs: int = 500,
        *,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("modulus", modulus, 2)
        at_least("num_graphs", num_graphs, 1)
        low, high = size_range("num_nodes", num_nodes, 3)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            for _ in range(num_graphs):
                size = int(rng.integers(low, high + 1))
                tokens = _draw(rng, size - 1 + size % 2, modulus, brackets)
                y = torch.tensor(_values(tokens, modulus))
                yield Data(
                    x=torch.tensor(tokens)[:, None],
                    edge_index=path_edges(len(tokens)),
                    y=y,
                    label_mask=y != UNLABELLED,
                )

        super().__init__(graphs(), transform, pre_transform)
        self.modulus = modulus

    def text(self, index: int) -> str:
        """An expression as people write it."""
        tokens = self[index].x[:, 0].tolist()
        return "".join(str(token) if token < self.modulus else SIGNS[token - self.modulus] for token in tokens)


def _draw(rng: np.random.Generator, size: int, modulus: int, brackets: bool) -> list[int]:
    """An expression of ``size`` tokens, an odd number: operands, each with the same chance a digit or in brackets."""
    plus, opening, closing = modulus, modulus + SIGNS.index("("), modulus + SIGNS.index(")")
    tokens: list[int] = []
    while size > 0:
        if tokens:
            tokens.append(plus + int(rng.integers(3)))
            size -= 1
        if brackets and size >= 3 and rng.random() < 0.5:
            inner = 1 + 2 * int(rng.integers((size - 1) // 2))
            tokens += [opening, *_draw(rng, inner, modulus, brackets), closing]
            size -= inner + 2
        else:
            tokens.append(int(rng.integers(modulus)))
            size -= 1
    return tokens


@dataclass
class _Level:
    """What has been read within one pair of brackets."""

    total: int = 0  # the terms before the current one
    term: int = 0  # which a product may go on with
    sign: str = "+"  # before the next operand

    def operand(self, value: int, modulus: int) -> None:
        if self.sign == "*":
            self.term = self.term * value % modulus
        else:
            self.total = (self.total + self.term) % modulus
            self.term = value if self.sign == "+" else -value


def _values(tokens: list[int], modulus: int) -> list[int]:
    """Of each beginning that is a whole expression; elsewhere no label."""
    levels, values = [_Level()], []
    for token in tokens:
        sign = SIGNS[token - modulus] if token >= modulus else ""
        if sign == "(":
            levels.append(_Level())
        elif sign == ")":
            inner = levels.pop()
            levels[-1].operand((inner.total + inner.term) % modulus, modulus)
        elif sign:
            levels[-1].sign = sign
        else:
            levels[-1].operand(token, modulus)
        whole = len(levels) == 1 and sign in ("", ")")
        values.append((levels[0].total + levels[0].term) % modulus if whole else UNLABELLED)
    return values
