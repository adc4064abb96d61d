"""Multiplicative updates: each entry times a positive quotient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphseq.connectome.factorisation.grams import Grams
from graphseq.connectome.factorisation.solver import Sweeps


@dataclass(frozen=True)
class MultiplicativeUpdates(Sweeps):
    r"""All entries of a mode at once, each times a quotient (Lee & Seung 2001):

    .. math::
        f \leftarrow f \circ \frac{M}{G f}

    Never raises the error, never leaves the non-negative numbers, and needs many more sweeps than :class:`HALS`. The
    price on roughness adds its negative terms to the numerator and its positive ones to the denominator.

    Args:
        passes: steps in one mode before the next.

    Raises:
        ValueError: if ``passes`` is below 1; and, when it is used, if the data hold negative numbers.
    """

    passes: int = 1
    needs_non_negative_data = True

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"passes must be at least 1, got {self.passes}")

    def improve(self, factor: Tensor, products: Tensor, grams: Grams, weight: Tensor | None) -> None:
        for _ in range(self.passes):
            above, below = products, grams.apply(factor)
            if weight is not None:
                padded = torch.nn.functional.pad(factor, (1, 1))
                ones = torch.nn.functional.pad(torch.ones_like(factor), (1, 1))
                above = above + weight[..., None] * (padded[..., :-2] + padded[..., 2:])
                below = below + weight[..., None] * (ones[..., :-2] + ones[..., 2:]) * factor
            # Where the denominator vanishes the entry does not matter, or is 0 already.
            factor.mul_(torch.where(below > 0, above / below, 1))
