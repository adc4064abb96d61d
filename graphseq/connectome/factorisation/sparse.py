"""Sparse tensors in coordinate form: work and memory in proportion to their entries."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.utils import segment

from graphseq.connectome.factorisation.grams import shared_grams
from graphseq.connectome.factorisation.observations import Observations, Update, error_from_products

BLOCK = 1 << 22
"""Numbers gathered at a time."""


class Sorted(NamedTuple):
    """The entries in the order of one mode."""

    indices: Tensor
    values: Tensor
    ptr: Tensor


class Sparse(Observations):
    """A sparse tensor whose unlisted entries are zeros, and observed.

    The products of a mode are a sum over its entries, like messages over edges: entry ``(i, j, k)`` sends its value
    times ``b_j * c_k`` to row ``i``. Entries are sorted once for each mode and summed by segments, always in the same
    order. The model's norm comes from the Gram matrices, so nothing dense is ever made.
    """

    def __init__(self, x: Tensor) -> None:
        x = x.coalesce()
        values = x.values()
        super().__init__(tuple(x.shape), values, torch.Size(x.shape).numel())
        self.modes = [self._sorted(x.indices(), values, mode) for mode in range(x.dim())]

    def _sorted(self, indices: Tensor, values: Tensor, mode: int) -> Sorted:
        order = torch.argsort(indices[mode], stable=True)
        counts = torch.bincount(indices[mode], minlength=self.sizes[mode])
        ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return Sorted(indices[:, order], values[order], ptr)

    def products(self, factors: list[Tensor], mode: int) -> Tensor:
        """Products of the data with all factors but one."""
        restarts, rank, size = factors[mode].shape
        # Entries gather whole rows, so those of all restarts lie side by side.
        rows = {m: f.permute(2, 0, 1).flatten(1).contiguous() for m, f in enumerate(factors) if m != mode}
        indices, values, ptr = self.modes[mode]
        result = values.new_empty(size, restarts * rank)
        for first, last in row_blocks(ptr, max(1, BLOCK // (restarts * rank))):
            entries = slice(int(ptr[first]), int(ptr[last]))
            messages = values[entries, None].expand(-1, restarts * rank)
            for m, table in rows.items():
                messages = messages * table.index_select(0, indices[m, entries])
            result[first:last] = segment(messages, ptr[first : last + 1] - ptr[first], "sum")
        return result.view(size, restarts, rank).permute(1, 2, 0)

    def sweep(self, factors: list[Tensor], update: Update) -> Tensor:
        for mode in range(len(self.sizes)):
            products = self.products(factors, mode)
            grams = shared_grams(factors, mode)
            update(mode, products, grams)
        return error_from_products(self.energy, products, grams, factors[-1])

    def squared_error(self, factors: list[Tensor]) -> Tensor:
        return self.sweep(factors, lambda *_: None)


def row_blocks(ptr: Tensor, entries: int) -> list[tuple[int, int]]:
    """Ranges of rows that hold about so many entries each; a row is never cut."""
    bounds, last = [0], len(ptr) - 1
    while bounds[-1] < last:
        target = int(ptr[bounds[-1]]) + entries
        end = int(torch.searchsorted(ptr, target, right=True)) - 1
        bounds.append(min(max(end, bounds[-1] + 1), last))
    return list(itertools.pairwise(bounds))
