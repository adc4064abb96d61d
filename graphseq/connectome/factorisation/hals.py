"""Hierarchical alternating least squares: one component of one mode after another, each to its best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphseq.connectome.factorisation.grams import Grams
from graphseq.connectome.factorisation.smoothness import pivots, smooth_course
from graphseq.connectome.factorisation.solver import Sweeps


@dataclass(frozen=True)
class HALS(Sweeps):
    r"""Coordinate descent over components (Cichocki & Phan 2009).

    For the products :math:`M` and normal matrix :math:`G` of a mode, component after component, always with the newest
    others:

    .. math::
        f_k \leftarrow \max\!\Big(0,\; \frac{M_k - \sum_{j \ne k} G_{kj} f_j}{G_{kk}}\Big)

    A component whose :math:`G_{kk}` is 0 stays as it is. No step raises the error.

    Args:
        passes: how often the components of a mode are gone through before the next mode.

    Raises:
        ValueError: if ``passes`` is below 1.
    """

    passes: int = 5

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"passes must be at least 1, got {self.passes}")

    def improve(self, factor: Tensor, products: Tensor, grams: Grams, weight: Tensor | None) -> None:
        if weight is not None:
            self._improve_smoothly(factor, products, grams.values[:, 0], weight)
            return
        for block, matrix in grams.blocks(factor.shape[-1]):
            # A view: rows are changed in place.
            self._improve_rows(factor[..., block], products[..., block], matrix)

    def _improve_rows(self, rows: Tensor, products: Tensor, matrix: Tensor) -> None:
        diagonal = matrix.diagonal(dim1=1, dim2=2).transpose(1, 2)
        over = torch.where(diagonal > 0, 1 / diagonal, 0)
        target = products * over
        # Row k of the matrix over its diagonal, 0 there: the new component is what is left of the target. Where the
        # diagonal vanishes, so do row and target, and -1 leaves the component as it is.
        mixing = matrix * over[:, :, None]
        mixing.diagonal(dim1=1, dim2=2).copy_(torch.where(diagonal > 0, 0.0, -1.0).transpose(1, 2))
        shared = matrix.shape[-1] == 1
        mixing = mixing[..., 0].contiguous() if shared else mixing
        for _ in range(self.passes):
            for k in range(rows.shape[1]):
                if shared:
                    left = torch.baddbmm(target[:, k : k + 1], mixing[:, k : k + 1], rows, alpha=-1)[:, 0]
                else:
                    left = target[:, k] - (mixing[:, k] * rows).sum(1)
                torch.clamp(left, min=0, out=rows[:, k])

    def _improve_smoothly(self, factor: Tensor, products: Tensor, matrix: Tensor, weight: Tensor) -> None:
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        used = (diagonal > 0) & (weight > 0)
        # Elsewhere the component is dead, and any system that has a solution will do.
        g, w = (torch.where(used, value, 1) for value in (diagonal, weight))
        pivot = pivots(g, w, factor.shape[-1])
        for _ in range(self.passes):
            for k in range(factor.shape[1]):
                old = factor[:, k]
                right = products[:, k] - (matrix[:, k, None] @ factor)[:, 0] + diagonal[:, k, None] * old
                new = smooth_course(old, right, g[:, k], w[:, k], pivot[..., k])
                factor[:, k] = torch.where(used[:, k, None], new, old)
