"""Perturb, then diagonalise (Yu et al. 2024, "Robustifying State-space Models for Long Sequences")."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from graphseq.sequence.hippo import Diagonal, legs
from graphseq.sequence.s4d import S4D
from graphseq.sequence.s5 import S5

_STEPS, _LEARNING_RATE = 300, 0.02


@functools.lru_cache(maxsize=16)
def perturbed_legs(size: int, perturbation: float = 1e-3, margin: float = 0.5) -> Diagonal:
    r"""Eigen-decomposition of HiPPO-LegS plus a small matrix E, chosen so that the eigenvectors are well conditioned.

    LegS has eigenvectors whose condition number passes 1e16 at 32 states; those of almost any matrix near it are
    tame. But a random E pushes eigenvalues over the imaginary axis: at a relative size of 0.1, up to +120 at 64
    states. E is therefore found by gradient descent on

    .. math::
        \log \kappa_F(V) + \tfrac12 \sum_n \max(0, \operatorname{Re} \lambda_n + \text{margin}), \qquad
        \|E\|_2 \le \text{perturbation} \cdot \|A\|_2

    with :math:`A + E = V \operatorname{diag}(\lambda) V^{-1}` and :math:`\kappa_F` the condition number in the
    Frobenius norm. The paper minimises the condition number against the norm of E; the bound instead of a penalty on
    the norm, the margin (the eigenvalues of LegS end at -1) and all constants are ours.

    Args:
        size: number of states.
        perturbation: size of E relative to A. The smaller, the nearer to LegS and the worse conditioned: at 64
            states 1e-3 gives a condition number of about 400, and 1e-5 of about 1e5.
        margin: distance that eigenvalues should keep from the imaginary axis.

    Returns:
        All eigenvalues (E is real, so they are real or in conjugate pairs), with V and its inverse, in complex128.
        The same arguments give the same decomposition.

    Raises:
        ValueError: if no stable perturbation was found.
    """
    A, _ = legs(size)
    largest = perturbation * torch.linalg.matrix_norm(A, 2)
    raw = torch.randn(size, size, dtype=A.dtype, generator=torch.Generator().manual_seed(0))
    raw = (raw / torch.linalg.matrix_norm(raw, 2) / 2).requires_grad_()

    def decomposed() -> tuple[Tensor, Tensor]:
        shrunk = raw / torch.linalg.matrix_norm(raw.detach(), 2).clamp(min=1)
        return torch.linalg.eig(A + largest * shrunk)

    # A layer may be made where gradients are off.
    with torch.enable_grad():
        optimiser = torch.optim.Adam([raw], lr=_LEARNING_RATE)
        for _ in range(_STEPS):
            eigenvalues, V = decomposed()
            condition = torch.linalg.matrix_norm(V) * torch.linalg.matrix_norm(torch.linalg.inv(V))
            loss = condition.log() + torch.relu(eigenvalues.real + margin).sum() / 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        eigenvalues, V = decomposed()
        if eigenvalues.real.max() >= 0:
            raise ValueError(
                f"perturbation must leave a stable matrix, got one with an eigenvalue of real part "
                f"{eigenvalues.real.max():.2g} at size {size} and perturbation {perturbation}"
            )
        return Diagonal(eigenvalues, V, torch.linalg.inv(V))


class S4PTD(S4D):
    r"""S4D in the eigenbasis of a slightly perturbed HiPPO-LegS.

    .. math::
        \Lambda = V^{-1} (A + E) V, \quad \tilde B = V^{-1} B, \quad \tilde C = C V, \quad
        y = \operatorname{Re}(\tilde C h)

    with A and B of LegS and C normal; E is that of :func:`perturbed_legs`. All modes are kept, since some are real.

    Args:
        channels: width of input and output.
        state_size: number of modes.
        perturbation: size of E relative to A.
        discretise, by_scan, dt_min, dt_max, dropout: as for :class:`S4D`.

    Example:
        >>> S4PTD(8, state_size=8)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    conjugates = 1

    def __init__(self, channels: int, *, state_size: int = 64, perturbation: float = 1e-3, **s4d: Any) -> None:
        self.perturbation = perturbation
        super().__init__(channels, state_size=state_size, spectrum=self._spectrum, **s4d)

    def _spectrum(self, size: int) -> Tensor:
        return perturbed_legs(size, self.perturbation).eigenvalues

    def reset_parameters(self) -> None:
        super().reset_parameters()
        basis, B = perturbed_legs(self.state_size, self.perturbation), legs(self.state_size)[1]
        C = torch.randn(self.channels, self.state_size, dtype=B.dtype)
        with torch.no_grad():
            self.B.copy_(torch.view_as_real(basis.inverse @ B.to(basis.inverse.dtype)).expand_as(self.B))
            self.C.copy_(torch.view_as_real(C.to(basis.vectors.dtype) @ basis.vectors))

    def sizes(self) -> dict[str, Any]:
        return {"state_size": self.state_size, "perturbation": self.perturbation}


class S5PTD(S5):
    r"""S5 in the eigenbasis of a slightly perturbed HiPPO-LegS, instead of its normal part's.

    :math:`\tilde B = V^{-1} B` and :math:`\tilde C = C V` with B and C normal; since V is not unitary its inverse is
    kept from the decomposition of :func:`perturbed_legs`. The transfer function then comes near that of LegS on the
    whole imaginary axis, where that of the normal part has spikes.

    Args:
        channels: width of input and output.
        state_size: number of modes, over all blocks.
        perturbation: size of E relative to A.
        s5: further arguments of :class:`S5`.

    Example:
        >>> S5PTD(8, state_size=8)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    conjugates = 1

    def __init__(self, channels: int, *, state_size: int = 64, perturbation: float = 1e-3, **s5: Any) -> None:
        self.perturbation = perturbation
        super().__init__(channels, state_size=state_size, **s5)

    def basis(self, size: int) -> Diagonal:
        """The eigenbasis of one block."""
        return perturbed_legs(size, self.perturbation)
