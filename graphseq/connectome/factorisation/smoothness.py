"""A price on roughness of the time courses, and the tridiagonal systems that it leads to, solved by linear scans."""

from __future__ import annotations

from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.scan import Ragged, linear_scan

TIME = 1
"""The mode that is smoothed."""


class Smoothness:
    r"""Adds to half the squared error

    .. math::
        \frac\lambda2 \sum_r \prod_{m \ne \text{time}} \|f_{mr}\|^2 \sum_t (c_{rt} - c_{r,t-1})^2,

    the roughness of each component's time course in the units of the data. Without the norms a factorisation could
    escape the price by moving scale from the time course into other modes.

    Args:
        strength: :math:`\lambda`, relative: at 1 a step of the time course costs as much as an equal error at one time.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def weight(self, factors: list[Tensor]) -> Float[Tensor, "restarts rank"]:
        """What multiplies the squared differences of each time course."""
        norms = [f.square().sum(-1) for mode, f in enumerate(factors) if mode != TIME]
        return self.strength * reduce(torch.mul, norms)

    def ridge(self, factors: list[Tensor], mode: int) -> Float[Tensor, "restarts rank"]:
        """What multiplies the squared norm of each component of another mode."""
        norms = [f.square().sum(-1) for m, f in enumerate(factors) if m not in (mode, TIME)]
        return self.strength * reduce(torch.mul, norms, factors[TIME].diff(dim=-1).square().sum(-1))

    def price(self, factors: list[Tensor]) -> Float[Tensor, " restarts"]:
        """Half of the weighted roughness, in float64."""
        roughness = factors[TIME].diff(dim=-1).square().sum(-1)
        return 0.5 * (self.weight(factors) * roughness).sum(-1, dtype=torch.float64)


def roughness_times(course: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """The path's Laplacian times a time course: the gradient of half its squared differences."""
    steps = course.diff(dim=-1)
    return torch.nn.functional.pad(steps, (1, 0)) - torch.nn.functional.pad(steps, (0, 1))


def pivots(
    diagonal: Float[Tensor, "*batch"], weight: Float[Tensor, "*batch"], time: int
) -> Float[Tensor, "time *batch"]:
    r"""What elimination leaves on the diagonal of :math:`g I + w L`, with the Laplacian :math:`L` of a path.

    They follow the Möbius recurrence :math:`d_t = g + 2w - w^2 / d_{t-1}`. Its coefficients are constant, so the power
    of the 2 x 2 matrix has a closed form: with the larger root :math:`r` of :math:`r + 1/r = 2 + g/w`,

    .. math::
        d_t = w\,r\,\frac{1 + r^{-(2t+3)}}{1 + r^{-(2t+1)}},

    and :math:`w` less at the last frame.

    Args:
        diagonal: :math:`g`, positive.
        weight: :math:`w`, positive.
        time: number of frames.
    """
    ratio = diagonal / weight
    root = 1 + (ratio + (ratio * (ratio + 4)).sqrt()) / 2
    frame = torch.arange(time, dtype=root.dtype, device=root.device).view(-1, *[1] * root.dim())
    pivot = weight * root * (1 + root ** -(2 * frame + 3)) / (1 + root ** -(2 * frame + 1))
    pivot[-1] -= weight
    return pivot


def smooth_solve(
    right: Float[Tensor, "batch time"], pivot: Float[Tensor, "time batch"], weight: Float[Tensor, " batch"]
) -> Float[Tensor, "batch time"]:
    r"""Solve :math:`(g I + w L)\, c = b` by two linear scans.

    One runs down, :math:`y_t = b_t + (w / d_{t-1})\, y_{t-1}`, and one up,
    :math:`c_t = y_t / d_t + (w / d_t)\, c_{t+1}`.

    Args:
        right: :math:`b`.
        pivot: :math:`d`, from :func:`pivots`.
        weight: :math:`w`.
    """
    topology = Ragged.equal(1, len(pivot), right.device)
    carry = weight / pivot
    down = linear_scan(carry.roll(1, 0), right.t().contiguous(), topology)
    return linear_scan(carry, down / pivot, topology, reverse=True).t()


def smooth_course(
    course: Float[Tensor, "batch time"],
    right: Float[Tensor, "batch time"],
    diagonal: Float[Tensor, " batch"],
    weight: Float[Tensor, " batch"],
    pivot: Float[Tensor, "time batch"],
) -> Float[Tensor, "batch time"]:
    """A non-negative time course with a lower ``c'(gI + wL)c / 2 - b'c`` than the one given.

    The solution without the constraint, cut at zero, need not be lower. So the step towards it is as long as pays, and
    one pass over even, then odd frames follows, each frame set to its own best value: that never rises, and stops only
    at the constrained optimum.
    """
    g, w = diagonal[:, None], weight[:, None]
    step = smooth_solve(right, pivot, weight).clamp(min=0) - course
    curved = g * step + w * roughness_times(step)
    slope = ((g * course + w * roughness_times(course) - right) * step).sum(-1)
    curvature = (curved * step).sum(-1)
    length = torch.where(curvature > 0, -slope / curvature, 0).clamp(0, 1)
    course = course + length[:, None] * step
    neighbours = torch.full_like(course[0], 2)
    neighbours[0] -= 1
    neighbours[-1] -= 1
    over = 1 / (g + w * neighbours)
    padded = torch.nn.functional.pad(course, (1, 1))
    for parity in (0, 1):
        best = (right + w * (padded[:, :-2] + padded[:, 2:])) * over
        padded[:, 1 + parity : -1 : 2] = best[:, parity::2].clamp(min=0)
    return padded[:, 1:-1]
