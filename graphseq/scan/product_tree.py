"""Products of all prefixes or suffixes of packed segments, over a binary tree (Blelloch 1990)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphseq.scan.semiring import Semiring
from graphseq.scan.topology import Ragged


class Scaled(NamedTuple):
    """Matrices up to a factor that is kept apart, so that products of any length stay in range.

    Attributes:
        values: the matrices in normal form, ``[T, k, n]``.
        log_scale: the logarithm of the factor of each, ``[T]``, in float64, as it grows with the length.
    """

    values: Tensor
    log_scale: Tensor

    def rows(self, index: Tensor) -> Scaled:
        """Some of the matrices."""
        return Scaled(self.values.index_select(0, index), self.log_scale.index_select(0, index))

    def replaced(self, index: Tensor, new: Scaled) -> Scaled:
        """With the matrices at ``index`` exchanged for new ones."""
        return Scaled(*(torch.index_copy(mine, 0, index, its) for mine, its in zip(self, new, strict=True)))

    def times(self, other: Scaled, semiring: Semiring) -> Scaled:
        """Products one by one, in normal form."""
        values, log = semiring.normalised(semiring.matmul(self.values, other.values))
        return Scaled(values, self.log_scale + other.log_scale + log)


def scaled(matrices: Tensor, semiring: Semiring, log_scale: Tensor | None = None) -> Scaled:
    """Matrices in normal form; a given scale is added."""
    values, log = semiring.normalised(matrices)
    return Scaled(values, log if log_scale is None else log + log_scale)


class ProductTree:
    """Pairs of neighbours, pairs of pairs, and so on, inside each segment: built once, read in both directions.

    Every level halves the segments, an odd last node moves up alone. Building takes at most one product a row, each
    reading one more (of ``k`` by ``n`` with a start of ``k`` rows), in about ``2 log2(longest)`` batched steps.

    Args:
        leaves: the matrices, ``[T, n, n]``.
        topology: the segments, in either direction.
        semiring: how they are multiplied.
    """

    def __init__(self, leaves: Scaled, topology: Ragged, semiring: Semiring) -> None:
        self.semiring = semiring
        self.topology = topology
        self.steps = _steps(topology)
        self.levels = [leaves]
        for step in self.steps:
            below = self.levels[-1]
            products = below.rows(step.left).times(below.rows(step.right), semiring)
            self.levels.append(below.rows(step.first).replaced(step.paired, products))

    def prefixes(self, initial: Scaled | None) -> Scaled:
        """For each row ``t``, ``initial`` times the matrices from its segment's first one to that of ``t``."""
        above = self.levels[-1]
        if initial is not None:
            above = initial.rows(self.topology.occupied).times(above, self.semiring)
        for step, level in zip(reversed(self.steps), reversed(self.levels[:-1]), strict=True):
            # A right child, or a lone one, ends where its parent ends.
            found = above.rows(step.parent)
            later = above.rows(step.before).times(level.rows(step.later_left), self.semiring)
            first = level.rows(step.first_left)
            if initial is not None:
                first = initial.rows(step.first_left_segment).times(first, self.semiring)
            above = found.replaced(step.later_left, later).replaced(step.first_left, first)
        return above

    def suffixes(self, final: Scaled | None) -> Scaled:
        """For each row ``t``, the matrices from that of ``t`` to its segment's last one, times ``final``."""
        above = self.levels[-1]
        if final is not None:
            above = above.times(final.rows(self.topology.occupied), self.semiring)
        for step, level in zip(reversed(self.steps), reversed(self.levels[:-1]), strict=True):
            # A left child, or a lone one, begins where its parent begins.
            found = above.rows(step.parent)
            earlier = level.rows(step.earlier_right).times(above.rows(step.after), self.semiring)
            last = level.rows(step.last_right)
            if final is not None:
                last = last.times(final.rows(step.last_right_segment), self.semiring)
            above = found.replaced(step.earlier_right, earlier).replaced(step.last_right, last)
        return above


class _Step(NamedTuple):
    """Rows of one level and of the one above it."""

    first: Tensor  # [above] first child of each node
    paired: Tensor  # [pairs] nodes with two children
    left: Tensor  # [pairs] and which these are
    right: Tensor
    parent: Tensor  # [below] parent of each row
    first_left: Tensor  # left children (of pairs) that begin a segment, and the segment
    first_left_segment: Tensor
    later_left: Tensor  # the other left children, and the node before the parent
    before: Tensor
    last_right: Tensor  # right children that end a segment, and the segment
    last_right_segment: Tensor
    earlier_right: Tensor  # the other right children, and the node after the parent
    after: Tensor


def _steps(topology: Ragged) -> list[_Step]:
    """The tree's structure, which is the same in both directions."""
    forward = topology.reverse() if topology.reversed else topology
    if "product_tree" in forward.cache:
        return forward.cache["product_tree"]
    steps = []
    ptr = np.asarray(forward.bounds)
    while ptr.size > 1 and np.diff(ptr).max() > 1:
        lengths = np.diff(ptr)
        halves = (lengths + 1) // 2
        up = np.concatenate([[0], halves.cumsum()])
        segment = np.repeat(np.arange(lengths.size), halves)
        place = np.arange(up[-1]) - up[segment]
        first = ptr[segment] + 2 * place
        paired = np.flatnonzero(2 * place + 1 < lengths[segment])
        begins, ends = place[paired] == 0, place[paired] == halves[segment[paired]] - 1
        below = np.repeat(np.arange(lengths.size), lengths)
        parent = up[below] + (np.arange(ptr[-1]) - ptr[below]) // 2
        left, right, of = first[paired], first[paired] + 1, segment[paired]
        arrays = (
            first, paired, left, right, parent,
            left[begins], of[begins], left[~begins], paired[~begins] - 1,
            right[ends], of[ends], right[~ends], paired[~ends] + 1,
        )  # fmt: skip
        steps.append(_Step(*(torch.from_numpy(array).to(forward.device) for array in arrays)))
        ptr = up
    forward.cache["product_tree"] = steps
    return steps
