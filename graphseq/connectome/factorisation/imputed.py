"""Dense tensors with any mask: expectation-maximisation, which fills in what is missing from the model."""

from __future__ import annotations

import torch
from torch import Tensor

from graphseq.connectome.factorisation.grams import dense_model, khatri_rao, shared_grams
from graphseq.connectome.factorisation.observations import Observations, Update


class Imputed(Observations):
    """A tensor of which single entries were observed.

    Before each mode is visited, the missing entries take the values of the current model, each restart its own. With
    any solver that lowers the error of the filled tensor, the error over what was observed never rises. It converges
    more slowly the more is missing; for a separable mask :class:`Separable` is exact.
    """

    def __init__(self, x: Tensor, mask: Tensor) -> None:
        super().__init__(tuple(x.shape), torch.where(mask, x, 0).contiguous(), int(mask.sum()))
        self.mask = mask

    def sweep(self, factors: list[Tensor], update: Update) -> Tensor:
        for mode in range(len(self.sizes)):
            products = torch.stack([self._products(list(single), mode) for single in zip(*factors, strict=True)])
            update(mode, products, shared_grams(factors, mode))
        return self.squared_error(factors)

    def _products(self, factors: list[Tensor], mode: int) -> Tensor:
        """Of the data of one restart, its gaps filled."""
        return mode_products(torch.where(self.mask, self.stored, dense_model(factors)), factors, mode)

    def squared_error(self, factors: list[Tensor]) -> Tensor:
        return torch.stack([self._squares(list(single)) for single in zip(*factors, strict=True)])

    def _squares(self, factors: list[Tensor]) -> Tensor:
        left = torch.where(self.mask, self.stored - dense_model(factors), 0)
        return left.square().sum(dtype=torch.float64)

    def unseen(self, mode: int) -> Tensor | None:
        return ~self.mask.movedim(mode, 0).flatten(1).any(1)


def mode_products(x: Tensor, factors: list[Tensor], mode: int) -> Tensor:
    """Products of a tensor with all factors but one, ``[rank, size]``, without permuting the tensor."""
    batched = [f[None] for f in factors]
    before, after = khatri_rao(batched[:mode], batched[0])[0], khatri_rao(batched[mode + 1 :], batched[0])[0]
    if mode == 0:
        return after @ x.flatten(1).t()
    partial = before @ x.reshape(before.shape[1], -1)
    return (partial.view(len(before), x.shape[mode], -1) @ after[..., None])[..., 0]
