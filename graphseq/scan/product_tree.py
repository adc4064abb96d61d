"""Products of all prefixes or suffixes of packed segments, over a binary tree (Blelloch 1990)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphseq.scan._structure import kept
from graphseq.scan.semiring import Semiring
from graphseq.scan.topology import Ragged

#: Rows of a level: a slice where they lie evenly, which costs no copy.
Index = Tensor | slice


class Scaled(NamedTuple):
    """Matrices up to a factor that is kept apart, so that products of any length stay in range.

    Attributes:
        values: the matrices in normal form, ``[T, k, n]``.
        log_scale: the logarithm of the factor of each, ``[T]``, in float64, as it grows with the length.
    """

    values: Tensor
    log_scale: Tensor

    def rows(self, index: Index) -> Scaled:
        """Some of the matrices."""
        if isinstance(index, slice):
            return Scaled(self.values[index], self.log_scale[index])
        return Scaled(self.values.index_select(0, index), self.log_scale.index_select(0, index))

    def times(self, other: Scaled, semiring: Semiring) -> Scaled:
        """Products one by one, in normal form."""
        values, log = semiring.normalised(semiring.matmul(self.values, other.values))
        return Scaled(values, self.log_scale + other.log_scale + log)


def scaled(matrices: Tensor, semiring: Semiring, log_scale: Tensor | None = None) -> Scaled:
    """Matrices in normal form; a given scale is added."""
    values, log = semiring.normalised(matrices)
    return Scaled(values, log if log_scale is None else log + log_scale)


def joined(*parts: Scaled) -> Scaled:
    """One after another."""
    return Scaled(*map(torch.cat, zip(*parts, strict=True)))


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
        self.steps = _steps(topology.reverse() if topology.reversed else topology)
        self.levels = [leaves]
        for step in self.steps:
            below = self.levels[-1]
            above = below.rows(step.left).times(below.rows(step.right), semiring)
            if step.lone is not None:
                above = joined(above, below.rows(step.lone)).rows(step.pairs_then_lone)
            self.levels.append(above)

    def prefixes(self, initial: Scaled | None) -> Scaled:
        """For each row ``t``, ``initial`` times the matrices from its segment's first one to that of ``t``."""
        above = self.levels[-1]
        if initial is not None:
            above = initial.rows(self.topology.occupied).times(above, self.semiring)
        for step, level in zip(reversed(self.steps), reversed(self.levels[:-1]), strict=True):
            # A right child, or a lone one, ends where its parent ends; a left one needs what comes before the parent.
            side = step.forward
            if initial is not None:
                products = joined(initial, above).rows(side.entering).times(level.rows(step.left), self.semiring)
                above = joined(above, products).rows(side.all_products)
            else:
                products = above.rows(side.neighbour).times(level.rows(side.inner), self.semiring)
                above = joined(above, products, level.rows(side.edge)).rows(side.inner_products)
        return above

    def suffixes(self, final: Scaled | None) -> Scaled:
        """For each row ``t``, the matrices from that of ``t`` to its segment's last one, times ``final``."""
        above = self.levels[-1]
        if final is not None:
            above = above.times(final.rows(self.topology.occupied), self.semiring)
        for step, level in zip(reversed(self.steps), reversed(self.levels[:-1]), strict=True):
            # A left child, or a lone one, begins where its parent begins.
            side = step.backward
            if final is not None:
                products = level.rows(step.right).times(joined(above, final).rows(side.entering), self.semiring)
                above = joined(above, products).rows(side.all_products)
            else:
                products = level.rows(side.inner).times(above.rows(side.neighbour), self.semiring)
                above = joined(above, products, level.rows(side.edge)).rows(side.inner_products)
        return above


class _Side(NamedTuple):
    """How a level is found from the one above it. One child of a pair takes the parent's value, the other a product.

    The latter is *inner* if its segment goes on beyond it, otherwise at the *edge*, where the start value enters.
    """

    entering: Index  # [pairs] what enters each product, of (initial, above) or, backward, of (above, final)
    all_products: Index  # the level's rows, of (above, products)
    neighbour: Index  # [inner] the same without a start value: rows of the level above,
    inner: Index  # [inner] rows of this level that they are multiplied with,
    edge: Index  # [edge] and rows that stay as they are
    inner_products: Index  # the level's rows, of (above, products, edge)


class _Step(NamedTuple):
    """Rows of one level and of the one above it."""

    left: Index  # [pairs]
    right: Index  # [pairs]
    lone: Index | None  # last nodes of segments of odd length
    pairs_then_lone: Index  # the level above, of (pairs, lone)
    forward: _Side
    backward: _Side


@kept
def _steps(topology: Ragged) -> list[_Step]:
    """The tree's structure, which is the same in both directions."""
    steps, ptr = [], np.asarray(topology.bounds)
    while ptr.size > 1 and np.diff(ptr).max() > 1:
        step, ptr = _step(ptr, topology.device)
        steps.append(step)
    return steps


def _step(ptr: np.ndarray, device: torch.device) -> tuple[_Step, np.ndarray]:
    lengths = np.diff(ptr)
    halves = (lengths + 1) // 2
    up = np.concatenate([[0], halves.cumsum()])
    count, segments = int(up[-1]), lengths.size
    segment = np.repeat(np.arange(segments), halves)
    place = np.arange(count) - up[segment]
    first = ptr[segment] + 2 * place
    is_pair = 2 * place + 1 < lengths[segment]
    paired, alone = np.flatnonzero(is_pair), np.flatnonzero(~is_pair)
    left, right, of = first[paired], first[paired] + 1, segment[paired]

    def index(rows: np.ndarray) -> Index:
        return _evenly(rows) or torch.from_numpy(rows).to(device)

    def side(passed: np.ndarray, made: np.ndarray, outer: np.ndarray, entering: np.ndarray, near: np.ndarray) -> _Side:
        inner = ~outer
        return _Side(
            entering=index(entering),
            all_products=index(_inverse(passed, made)),
            neighbour=index(near[inner]),
            inner=index(made[inner]),
            edge=index(made[outer]),
            inner_products=index(_inverse(passed, made[inner], made[outer])),
        )

    begins, ends = place[paired] == 0, place[paired] == halves[of] - 1
    before, after = paired - 1, paired + 1
    step = _Step(
        left=index(left),
        right=index(right),
        lone=index(first[alone]) if alone.size else None,
        pairs_then_lone=index(_inverse(paired, alone)),
        forward=side(first + is_pair, left, begins, np.where(begins, of, segments + before), before),
        backward=side(first, right, ends, np.where(ends, count + of, after), after),
    )
    return step, up


def _inverse(*rows: np.ndarray) -> np.ndarray:
    """Where each row of a level stands among these, one after another."""
    order = np.concatenate(rows)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return place


def _evenly(rows: np.ndarray) -> slice | None:
    """As a slice, if there is one."""
    if rows.size == 0:
        return slice(0, 0)
    stride = int(rows[1] - rows[0]) if rows.size > 1 else 1
    if stride < 1 or not (np.diff(rows) == stride).all():
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1, stride)
