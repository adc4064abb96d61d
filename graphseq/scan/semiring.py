"""Semirings for products of many matrices, each with a normal form that keeps long products in range."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Semiring(Protocol):
    """What :func:`~graphseq.scan.matrix_scan` needs to know of a sum and a product."""

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """Matrix products ``[N, k, n] x [N, n, m] -> [N, k, m]``; associative."""
        ...

    def normalised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Each matrix ``[N, k, n]`` with its greatest entry at one, and the logarithm of what was taken out, ``[N]``.

        A zero matrix stays as it is. The factor is a constant to differentiation: it cancels from every function of
        the matrix that both parts stand for.
        """
        ...


class SumProduct:
    r"""Ordinary matrix products, :math:`(XY)_{ac} = \sum_b X_{ab} Y_{bc}`, scaled so that the greatest
    :math:`|X_{ab}|` is 1.

    An entry smaller than the greatest one of its matrix by more than the dtype's range (about :math:`e^{-87}` in
    float32, :math:`e^{-708}` in float64) counts as zero. :class:`LogSumExp` has no such limit.
    """

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.bmm(x, y)

    def normalised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        greatest = _greatest(x.detach().abs(), 0.0)
        greatest = greatest.masked_fill(greatest == 0, 1)
        return x / greatest[:, None, None], greatest.double().log()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Logarithmic:
    """Entries are logarithms, minus infinity stands for zero."""

    def normalised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        greatest = _greatest(x.detach(), -torch.inf)
        greatest = greatest.masked_fill(greatest == -torch.inf, 0)
        return x - greatest[:, None, None], greatest.double()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class MaxPlus(_Logarithmic):
    r"""Best paths, :math:`(XY)_{ac} = \max_b \, (X_{ab} + Y_{bc})`; entries are logarithms."""

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        # One inner index at a time: all terms at once would be n times the memory, and slower.
        best = x[:, :, 0, None] + y[:, 0, None, :]
        for b in range(1, x.shape[2]):
            best = torch.maximum(best, x[:, :, b, None] + y[:, b, None, :])
        return best


class LogSumExp(_Logarithmic):
    r"""Ordinary products of matrices that are given by their logarithms,
    :math:`(XY)_{ac} = \log \sum_b e^{X_{ab} + Y_{bc}}`.

    Several times the cost of :class:`SumProduct`, for entries of any ratio.
    """

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        terms = x[:, :, :, None] + y[:, None, :, :]
        shift = terms.detach().amax(2)
        possible = shift > -torch.inf
        shift = torch.where(possible, shift, torch.zeros_like(shift))
        total = (terms - shift[:, :, None]).exp().sum(2)
        # The logarithm of a zero is put in by selection: its derivative would make NaN of a zero gradient.
        log = torch.where(possible, total, torch.ones_like(total)).log() + shift
        return torch.where(possible, log, torch.full_like(log, -torch.inf))


def _greatest(x: Tensor, of_none: float) -> Tensor:
    """The greatest entry of each matrix, and of one without entries a number that is below all."""
    entries = x.flatten(1)
    return entries.amax(1) if entries.shape[1] else entries.new_full(entries.shape[:1], of_none)
