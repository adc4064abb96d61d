"""The recurrence itself: exact on the grid in both index forms, or by sweeps of one-dimensional scans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import torch
from jaxtyping import Float, Inexact
from torch import Tensor
from torch.nn.functional import pad

from graphseq.chimera.coupling import Coupling, Transitions
from graphseq.scan import Grid, Ragged, grid_selective_scan, linear_scan

Cells: TypeAlias = Inexact[Tensor, "batch variates time channels states"]


class States(ABC):
    """A way from transitions and sources to the two states of every cell.

    ``fused`` says that these are the states that :func:`~graphseq.scan.grid_selective_scan` reads out.
    """

    fused = False

    @abstractmethod
    def __call__(self, transitions: Transitions, u1: Cells, u2: Cells) -> tuple[Cells, Cells]:
        """The states ``h1`` and ``h2``."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Link(States):
    r"""The grid scan: both states of a cell read one state of each neighbour.

    .. math::
        h^1_{v,t} &= A_1 h^1_{v,t-1} + A_2 h^2_{v-1,t} + u^1_{v,t} \\
        h^2_{v,t} &= A_3 h^1_{v,t-1} + A_4 h^2_{v-1,t} + u^2_{v,t}
    """

    fused = True

    def __call__(self, transitions: Transitions, u1: Tensor, u2: Tensor) -> tuple[Tensor, Tensor]:
        A1, A2, A3, A4 = transitions
        batch, variates, time = u1.shape[:3]
        decay = torch.stack([torch.stack([A1, A3]), torch.stack([A2, A4])])
        grid = Grid(variates, time, batch, device=u1.device)
        h1, h2 = linear_scan(decay, torch.stack([u1, u2]).to(decay.dtype), grid)
        return h1, h2


class Roesser(Link):
    r"""Roesser's form (1975): a state reads both states of one neighbour, as the paper is recalled to write it.

    .. math::
        h^1_{v,t} &= A_1 h^1_{v,t-1} + A_2 h^2_{v,t-1} + u^1_{v,t} \\
        h^2_{v,t} &= A_3 h^1_{v-1,t} + A_4 h^2_{v-1,t} + u^2_{v,t}

    It is the grid scan of what *leaves* a cell, with the transitions of the cell that it goes to.
    """

    fused = False

    def __call__(self, transitions: Transitions, u1: Tensor, u2: Tensor) -> tuple[Tensor, Tensor]:
        A1, A2, A3, A4 = transitions
        D1, D2 = _after(A1, 2), _after(A2, 2)
        D3, D4 = _after(A3, 1), _after(A4, 1)
        left1, left2 = super().__call__(Transitions(D1, D2, D3, D4), D1 * u1 + D2 * u2, D3 * u1 + D4 * u2)
        return _before(left1, 2) + u1, _before(left2, 1) + u2


class Sweeps(States):
    r"""Scans along time and along variates in turn, each reading the other's last result.

    After :math:`k` sweeps every path with at most :math:`k-1` turns from variates back to time is in: one sweep is
    the separable model, and from :math:`\min(V, T+1)` sweeps on the result is that of :class:`Link`. Depth is
    logarithmic in both sizes, where a parallel scan is available.

    Args:
        sweeps: :math:`k`; as many as are exact if not given.

    Raises:
        ValueError: if ``sweeps`` is below 1.
    """

    def __init__(self, sweeps: int | None = None) -> None:
        if sweeps is not None and sweeps < 1:
            raise ValueError(f"sweeps must be at least 1, got {sweeps}")
        self.sweeps = sweeps

    def __call__(self, transitions: Transitions, u1: Tensor, u2: Tensor) -> tuple[Tensor, Tensor]:
        A1, A2, A3, A4 = transitions
        exact = min(u1.shape[1], u1.shape[2] + 1)
        h2 = torch.zeros_like(u2)
        h1 = torch.zeros_like(u1)
        for _ in range(exact if self.sweeps is None else min(self.sweeps, exact)):
            h1 = _scan(A1, u1 + A2 * _before(h2, 1), 2)
            h2 = _scan(A4, u2 + A3 * _before(h1, 2), 1)
        return h1, h2

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sweeps})"


def grid_ssm(
    x: Float[Tensor, "batch variates time channels"],
    transitions: Transitions,
    B1: Float[Tensor, "batch variates time states"],
    B2: Float[Tensor, "batch variates time states"],
    C1: Inexact[Tensor, "batch variates time states"],
    C2: Inexact[Tensor, "batch variates time states"],
    *,
    delta1: Float[Tensor, "batch variates time channels"] | None = None,
    delta2: Float[Tensor, "batch variates time channels"] | None = None,
    states: States | None = None,
) -> Float[Tensor, "batch variates time channels"]:
    r"""Two-dimensional state space model (Behrouz et al. 2024, "Chimera").

    .. math::
        y_{v,t} = \operatorname{Re} \sum_n \bigl(C^1_n h^1_n + C^2_n h^2_n\bigr)_{v,t}, \qquad
        u^i_{v,t} = \Delta_i\, x_{v,t} B^i_{v,t}

    with the states of :class:`Link`, :class:`Roesser` or :class:`Sweeps`, from zero at both borders.

    Args:
        x: input of each cell; rows are variates, columns are times.
        transitions: of each cell.
        B1, B2: input vectors, shared by the channels.
        C1, C2: output vectors, shared by the channels; complex for complex transitions.
        delta1, delta2: steps by which the input is multiplied (Euler, as in Mamba); 1 if not given.
        states: the recurrence; :class:`Link` if not given.
    """
    u1 = (x if delta1 is None else delta1 * x)[..., None] * B1[..., None, :]
    u2 = (x if delta2 is None else delta2 * x)[..., None] * B2[..., None, :]
    h1, h2 = (states or Link())(transitions, u1, u2)
    y = torch.einsum("bvtdn,bvtn->bvtd", h1, C1.to(h1.dtype)) + torch.einsum("bvtdn,bvtn->bvtd", h2, C2.to(h2.dtype))
    return y.real if y.is_complex() else y


def selective_grid_ssm(
    x: Float[Tensor, "batch variates time channels"],
    rate: Inexact[Tensor, "2 channels states"],
    delta: Float[Tensor, "2 batch variates time channels"],
    theta: Float[Tensor, "2 batch variates time channels"],
    B: Float[Tensor, "2 batch variates time states"],
    C: Inexact[Tensor, "2 batch variates time states"],
    D: Float[Tensor, " channels"] | None = None,
    *,
    coupling: Coupling,
    states: States | None = None,
) -> Float[Tensor, "batch variates time channels"]:
    """:func:`grid_ssm` with the transitions of a coupling, first axes being those of the two states.

    With :class:`Link` and a coupling that has :meth:`~Coupling.shares`, neither transitions nor states are held in
    memory (:func:`~graphseq.scan.grid_selective_scan`); the numbers are the same.

    Args:
        x: input of each cell; rows are variates, columns are times.
        rate: continuous rates of both states.
        delta: steps along time and along variates; the input is multiplied by them as well.
        theta: exchange into each state, as ``coupling`` reads it.
        B: input vectors, shared by the channels.
        C: output vectors, shared by the channels; complex for complex rates.
        D: weight of the input that is added to the output.
        coupling: how the two states feed each other.
        states: the recurrence; :class:`Link` if not given.
    """
    states = states or Link()
    shares = coupling.shares(theta) if states.fused else None
    if shares is None:
        y = grid_ssm(x, coupling(*rate, *delta, *theta), *B, *C, delta1=delta[0], delta2=delta[1], states=states)
        return y if D is None else y + D * x
    batch, variates, time, _ = x.shape
    grid = Grid(variates, time, batch, device=x.device)
    return grid_selective_scan(x, delta, rate, B, C, D, exchange=shares, topology=grid)


def _before(cells: Tensor, axis: int) -> Tensor:
    """What stood one place earlier along an axis, zero at the border."""
    return _shifted(cells, axis, 1)


def _after(cells: Tensor, axis: int) -> Tensor:
    """What stands one place later along an axis, zero at the border."""
    return _shifted(cells, axis, -1)


def _shifted(cells: Tensor, axis: int, by: int) -> Tensor:
    length = cells.shape[axis]
    kept = cells.narrow(axis, min(max(0, -by), length), max(length - 1, 0))
    behind = [0, 0] * (cells.dim() - 1 - axis)
    return pad(kept, [*behind, max(by, 0), max(-by, 0)])[(slice(None),) * axis + (slice(0, length),)]


def _scan(decay: Tensor, source: Tensor, axis: int) -> Tensor:
    """A one-dimensional scan along one axis, all others in parallel."""
    decay, source = decay.movedim(axis, 2), source.to(decay.dtype).movedim(axis, 2)
    shape = source.shape
    lines = Ragged.equal(shape[0] * shape[1], shape[2], source.device)
    states = linear_scan(decay.flatten(0, 2), source.flatten(0, 2), lines)
    return states.view(shape).movedim(2, axis)
