"""Normal matrices of least squares in one mode: one for all rows, or one for each pattern of observation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 1 << 22
"""Numbers gathered or multiplied out at a time."""


class Grams:
    """The R x R normal matrix of each row of a factor.

    Args:
        values: one matrix for each restart and pattern.
        pattern: which of them belongs to each row; without it all rows share the first.
    """

    def __init__(
        self, values: Float[Tensor, "restarts patterns rank rank"], pattern: Int[Tensor, " rows"] | None = None
    ) -> None:
        self.values, self.pattern = values, pattern

    def blocks(self, rows: int) -> Iterator[tuple[slice, Tensor]]:
        """Matrices for some rows at a time, ``[restarts, rank, rank, rows of the block or 1]``."""
        if self.pattern is None:
            yield slice(None), self.values[:, 0, :, :, None]
            return
        by_row = self.values.permute(0, 2, 3, 1).contiguous()
        size = max(1, BLOCK // by_row[..., 0].numel())
        for start in range(0, rows, size):
            block = slice(start, start + size)
            yield block, by_row[..., self.pattern[block]]

    def apply(self, factor: Float[Tensor, "restarts rank rows"]) -> Float[Tensor, "restarts rank rows"]:
        """Each row of the factor times its matrix."""
        if self.pattern is None:
            return self.values[:, 0] @ factor
        result = torch.empty_like(factor)
        for block, matrix in self.blocks(factor.shape[-1]):
            result[..., block] = (matrix * factor[:, None, :, block]).sum(2)
        return result

    def plus_diagonal(self, ridge: Float[Tensor, "restarts rank"]) -> Grams:
        """With ``ridge`` added to the diagonal of every matrix."""
        return Grams(self.values + torch.diag_embed(ridge)[:, None], self.pattern)


def gram(factor: Float[Tensor, "restarts rank size"]) -> Float[Tensor, "restarts rank rank"]:
    """Inner products of all pairs of components."""
    return factor @ factor.transpose(1, 2)


def product_of_grams(factors: list[Tensor]) -> Tensor | float:
    """The element-wise product of the factors' Gram matrices; 1 for none."""
    return reduce(torch.mul, map(gram, factors)) if factors else 1.0


def shared_grams(factors: list[Tensor], mode: int) -> Grams:
    """The normal matrix of a mode where all of its rows were observed alike."""
    return Grams(product_of_grams([f for m, f in enumerate(factors) if m != mode])[:, None])  # type: ignore[index]


def pattern_grams(
    factor: Float[Tensor, "restarts rank size"], patterns: Float[Tensor, "patterns size"]
) -> Float[Tensor, "restarts patterns rank rank"]:
    """Gram matrices over the entries that each pattern weighs: the sum over i of ``patterns[u, i] f_i f_i'``."""
    restarts, rank, size = factor.shape
    total = factor.new_zeros(restarts * rank * rank, len(patterns))
    step = max(1, BLOCK // len(total))
    for start in range(0, size, step):
        part = factor[..., start : start + step]
        outer = part[:, :, None] * part[:, None]
        total.addmm_(outer.flatten(0, 2), patterns[:, start : start + step].t())
    return total.view(restarts, rank, rank, -1).permute(0, 3, 1, 2)


def khatri_rao(factors: list[Tensor], like: Tensor) -> Float[Tensor, "restarts rank columns"]:
    """Outer products component by component, the last factor running fastest; a single 1 for none."""
    if not factors:
        return like.new_ones(*like.shape[:2], 1)
    return reduce(lambda a, b: (a[..., :, None] * b[..., None, :]).flatten(2), factors)


def dense_model(factors: Sequence[Float[Tensor, "rank _"]]) -> Tensor:
    """The tensor that one set of factors stands for."""
    first, *others = factors
    rest = khatri_rao([f[None] for f in others], first[None])[0]
    return (first.t() @ rest).view([f.shape[1] for f in factors])
