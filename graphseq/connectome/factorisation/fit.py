"""What a factorisation gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.connectome.factorisation.grams import dense_model


@dataclass(frozen=True)
class CPFit:
    r"""A sum of outer products, :math:`\sum_r \lambda_r\, f_{0r} \circ f_{1r} \circ \cdots`.

    Args:
        weights: :math:`\lambda`, descending; a component that died has weight 0 and columns of zeros.
        factors: one for each mode, columns of norm 1, non-negative. A row of which nothing was observed is 0.
        errors: relative error over what was observed, after each sweep.
        objectives: half the squared error after each sweep, and the price of roughness where there is one.
        relative_error: norm of what the model leaves of the observed data, over their norm.
        converged: whether it settled before the last sweep allowed.
        restarts: the best of all, which is this one, first, then the others by their error.
    """

    weights: Float[Tensor, " rank"]
    factors: tuple[Float[Tensor, "_ rank"], ...]
    errors: Float[Tensor, " sweeps"]
    objectives: Float[Tensor, " sweeps"]
    relative_error: float
    converged: bool
    restarts: tuple[CPFit, ...] = field(default=(), repr=False)

    @property
    def rank(self) -> int:
        """Number of components."""
        return len(self.weights)

    def reconstruct(self) -> Tensor:
        """The dense tensor that the model stands for."""
        first, *others = self.factors
        return dense_model([(first * self.weights).t(), *(factor.t() for factor in others)])

    def __repr__(self) -> str:
        sizes = " x ".join(str(len(f)) for f in self.factors)
        return f"{type(self).__name__}({sizes}, rank={self.rank}, relative_error={self.relative_error:.4g})"


def normalised(factors: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Weights, descending, and unit-norm columns, of factors ``[rank, size]``."""
    norms = [torch.linalg.vector_norm(f, dim=1) for f in factors]
    weights = torch.stack(norms).prod(0)
    order = torch.argsort(weights, descending=True, stable=True)
    alive = weights[order] > 0
    columns = [
        torch.where(alive, f[order].t() / norm[order], 0).contiguous() for f, norm in zip(factors, norms, strict=True)
    ]
    return weights[order], tuple(columns)
