"""Dense tensors, observed whole or where a separable mask says so."""

from __future__ import annotations

import torch
from torch import Tensor

from graphseq.connectome.factorisation.grams import Grams, khatri_rao, pattern_grams, product_of_grams, shared_grams
from graphseq.connectome.factorisation.observations import Observations, Update, error_from_products


class Dense(Observations):
    """A tensor of which everything was observed.

    One sweep reads the data twice, whatever the order: once for the first mode, and once more contracted with the new
    factor of that mode, which all later modes share. What is left of it is small if the first mode is the largest.
    """

    def __init__(self, x: Tensor, observed: int | None = None) -> None:
        super().__init__(tuple(x.shape), x.contiguous(), observed or x.numel())

    def grams(self, factors: list[Tensor], mode: int) -> Grams:
        """Normal matrices of a mode."""
        return shared_grams(factors, mode)

    def sweep(self, factors: list[Tensor], update: Update) -> Tensor:
        restarts, rank = factors[0].shape[:2]
        rows = self.stored.flatten(1)
        partial = rows
        for mode, size in enumerate(self.sizes):
            rest = khatri_rao(factors[mode + 1 :], factors[0])
            if mode == 0:
                products = (rest.flatten(0, 1) @ rows.t()).view(restarts, rank, size)
            else:
                partial = partial.view(restarts, rank, size, -1)
                products = (partial @ rest[..., None])[..., 0]
            grams = self.grams(factors, mode)
            update(mode, products, grams)
            if mode == len(self.sizes) - 1:
                break
            partial = factors[0].flatten(0, 1) @ rows if mode == 0 else factors[mode][:, :, None] @ partial
        return error_from_products(self.energy, products, grams, factors[-1])

    def squared_error(self, factors: list[Tensor]) -> Tensor:
        rest, rows = khatri_rao(factors[1:], factors[0]), self.stored.flatten(1)
        step = max(1, (1 << 22) // rows.shape[1])
        total = [torch.zeros((), dtype=torch.float64, device=rows.device) for _ in rest]
        for restart, columns in enumerate(rest):
            for start in range(0, len(rows), step):
                block = slice(start, start + step)
                model = factors[0][restart][:, block].t() @ columns
                total[restart] += self.observed_squares(rows[block] - model, block)
        return torch.stack(total)

    def observed_squares(self, difference: Tensor, rows: slice) -> Tensor:
        """Sum of squares over what was observed in some rows of the first mode."""
        return difference.square().sum(dtype=torch.float64)


class Separable(Dense):
    r"""A tensor observed where a mask over its first and last mode says so, for all there is in between.

    Nothing is imputed. With the mask :math:`M` over pairs :math:`p` and animals :math:`w`, the normal matrix of pair
    :math:`p` is :math:`(T^\top T) \circ \sum_w M_{pw}\, c_w c_w^\top`, and rows with the same pattern share it. That of
    the modes in between sums over all that was observed.
    """

    def __init__(self, x: Tensor, mask: Tensor) -> None:
        spread = mask.view(len(mask), *[1] * (x.dim() - 2), mask.shape[1])
        super().__init__(torch.where(spread, x, 0), int(mask.sum()) * x.numel() // mask.numel())
        self.mask = mask
        row, self.row = torch.unique(mask, dim=0, return_inverse=True)
        column, self.column = torch.unique(mask.t(), dim=0, return_inverse=True)
        self.row_patterns, self.column_patterns = row.to(x.dtype), column.to(x.dtype)
        self.members = torch.nn.functional.one_hot(self.column, len(column)).t().to(x.dtype)

    def grams(self, factors: list[Tensor], mode: int) -> Grams:
        first, *between, last = factors
        if mode == 0:
            grams = product_of_grams(between) * pattern_grams(last, self.row_patterns).transpose(0, 1)
            return Grams(grams.transpose(0, 1), self.row)
        if mode == len(factors) - 1:
            grams = product_of_grams(between) * pattern_grams(first, self.column_patterns).transpose(0, 1)
            return Grams(grams.transpose(0, 1), self.column)
        outer = (pattern_grams(first, self.column_patterns) * pattern_grams(last, self.members)).sum(1)
        return Grams((outer * product_of_grams([f for m, f in enumerate(between, 1) if m != mode]))[:, None])

    def observed_squares(self, difference: Tensor, rows: slice) -> Tensor:
        squares = difference.square().view(difference.shape[0], -1, self.mask.shape[1]).sum(1, dtype=torch.float64)
        return (squares * self.mask[rows]).sum()

    def unseen(self, mode: int) -> Tensor | None:
        if mode == 0:
            return ~self.mask.any(1)
        return ~self.mask.any(0) if mode == len(self.sizes) - 1 else None
