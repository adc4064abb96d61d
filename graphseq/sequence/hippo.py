"""The HiPPO matrices and their diagonal forms (Gu et al. 2020, 2022)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from graphseq.sequence.layer import positive


def legs(size: int) -> tuple[Float[Tensor, "n n"], Float[Tensor, " n"]]:
    r"""HiPPO-LegS: the state approximates the whole past by Legendre polynomials.

    .. math::
        A_{nk} = -\begin{cases} \sqrt{(2n+1)(2k+1)} & n > k \\ n + 1 & n = k \\ 0 & n < k \end{cases}
        \qquad B_n = \sqrt{2n+1}

    Returns:
        A and B, in float64.
    """
    positive(size=size)
    n = torch.arange(size, dtype=torch.float64)
    B = (2 * n + 1).sqrt()
    return -torch.outer(B, B).tril(-1) - torch.diag(n + 1), B


def legt(size: int) -> tuple[Float[Tensor, "n n"], Float[Tensor, " n"]]:
    r"""HiPPO-LegT: the state approximates a window of the past by Legendre polynomials.

    .. math::
        A_{nk} = -\tfrac12 \sqrt{(2n+1)(2k+1)} \begin{cases} 1 & k \le n \\ (-1)^{n-k} & k > n \end{cases}
        \qquad B_n = \tfrac12 \sqrt{2n+1}

    Returns:
        A and B, in float64.
    """
    positive(size=size)
    n = torch.arange(size, dtype=torch.float64)
    B = (2 * n + 1).sqrt()
    alternating = 1 - 2 * ((n[:, None] - n) % 2)
    return -0.5 * torch.outer(B, B) * torch.where(n <= n[:, None], 1.0, alternating), B / 2


class Diagonal(NamedTuple):
    """A matrix as V diag(eigenvalues) V^-1, or half of that: one of each pair of conjugate eigenvalues."""

    eigenvalues: Complex[Tensor, " modes"]
    vectors: Complex[Tensor, "n modes"]
    inverse: Complex[Tensor, "modes n"]


def legs_normal(size: int) -> Diagonal:
    r"""The normal part of HiPPO-LegS, :math:`A + P P^\top` with :math:`P_n = \sqrt{n + 1/2}`.

    It is -1/2 on the diagonal and skew-symmetric beside it, so its eigenvectors are orthonormal. LegS itself has the
    eigenvalues -1, …, -n, but eigenvectors whose condition number grows beyond any precision.

    Returns:
        The eigenvalues with positive imaginary part, in ascending order, in complex128.

    Raises:
        ValueError: if ``size`` is odd, so that one eigenvalue would have no conjugate.
    """
    if size % 2:
        raise ValueError(f"size must be even, got {size}")
    A, B = legs(size)
    skew = A + torch.outer(B, B) / 2 + torch.eye(size, dtype=A.dtype) / 2
    frequencies, V = torch.linalg.eigh(-1j * skew)
    frequencies, V = frequencies[size // 2 :], V[:, size // 2 :]
    return Diagonal(torch.complex(torch.full_like(frequencies, -0.5), frequencies), V, V.mH)


def lin(size: int) -> Complex[Tensor, " modes"]:
    r""":math:`-\tfrac12 + i \pi n`, the eigenvalues of S4D-Lin; ``size / 2`` of them, as of all spectra here."""
    n = torch.arange(size // 2, dtype=torch.float64)
    return torch.complex(torch.full_like(n, -0.5), torch.pi * n)


def inv(size: int) -> Complex[Tensor, " modes"]:
    r""":math:`-\tfrac12 + i \tfrac{N}{\pi} (\tfrac{N}{2n+1} - 1)`, the eigenvalues of S4D-Inv."""
    n = torch.arange(size // 2, dtype=torch.float64)
    return torch.complex(torch.full_like(n, -0.5), size / torch.pi * (size / (2 * n + 1) - 1))


def real(size: int) -> Float[Tensor, " modes"]:
    r""":math:`-(n + 1)`, the eigenvalues of S4D-Real."""
    return -(torch.arange(size // 2, dtype=torch.float64) + 1)


def legs_spectrum(size: int) -> Complex[Tensor, " modes"]:
    """The eigenvalues of :func:`legs_normal`, those of S4D-LegS."""
    return legs_normal(size).eigenvalues
