"""Pairs that are no event, drawn beforehand from what was known at the time, after Huang et al. (2023, TGB)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import TemporalData

_ROUNDS = 20


def draw_negatives(events: TemporalData, number: int, *, seed: int = 0, historical: float = 0.5) -> Tensor:
    """Destinations that the source of each event did not choose at its time.

    A *historical* one is a former partner: a destination of the same source, strictly before. A *random* one is drawn
    uniformly from all nodes that were a destination strictly before. A source without a past gets random ones; before
    there is any destination to draw from, any node serves. What is drawn depends on events before, on ``seed`` and on
    the number of the event, never on later events.

    Args:
        events: see :func:`graphseq.data.signed_events`.
        number: how many for each event.
        seed: the same seed gives the same pairs.
        historical: share of historical ones, rounded down.

    Returns:
        Nodes, ``[E, number]``, historical ones first.

    Example:
        >>> from graphseq.data import SignedNetwork, draw_negatives
        >>> events = SignedNetwork(num_nodes=30, num_events=200).events
        >>> drawn = draw_negatives(events, 4)
        >>> drawn.shape, bool((drawn == events.dst[:, None]).any())
        (torch.Size([200, 4]), False)
    """
    src, dst, t = (value.numpy() for value in (events.src, events.dst, events.t))
    num_nodes = int(max(src.max(), dst.max())) + 1 if len(src) else 0
    time = np.unique(t, return_inverse=True)[1]
    # By the number among those that occur: products of ids and times would not fit 64 bits.
    nodes, number_of = np.unique(np.stack([src, dst]), return_inverse=True)
    sources, destinations = number_of.reshape(2, -1)
    past = _Past(sources, destinations, time)
    taken = _Taken(sources, destinations, time)
    drawn = np.full((len(src), number), -1)
    for round_ in range(_ROUNDS):
        # Row by row, so that an event's draws do not shift with the number of events that follow.
        uniform = np.random.default_rng([seed, round_]).random((len(src), number))
        for column in range(number):
            candidate = past.draw(uniform[:, column], column < int(number * historical))
            fits = (candidate != sources) & (candidate != destinations) & ~taken.at(sources, candidate, time)
            drawn[:, column] = np.where((drawn[:, column] < 0) & fits, nodes[candidate], drawn[:, column])
        if (drawn >= 0).all():
            break
    for row, column in zip(*np.nonzero(drawn < 0), strict=True):
        drawn[row, column] = _any_other(num_nodes, int(src[row]), int(dst[row]), float(uniform[row, column]))
    return torch.from_numpy(drawn)


class _Past:
    """Who was a destination, of whom, strictly before each event."""

    def __init__(self, src: np.ndarray, dst: np.ndarray, time: np.ndarray) -> None:
        self.order = np.lexsort((np.arange(len(src)), time, src))
        span = int(time.max(initial=0)) + 1
        keys = (src * span + time)[self.order]
        self.first = np.searchsorted(keys, src * span)
        self.num_former = np.searchsorted(keys, src * span + time) - self.first
        self.dst = dst
        nodes, first = np.unique(dst, return_index=True)
        by_appearance = np.argsort(first, kind="stable")
        self.known = nodes[by_appearance]
        self.num_known = np.searchsorted(time[first[by_appearance]], time)

    def draw(self, uniform: np.ndarray, former: bool) -> np.ndarray:
        """One destination for each event; with nothing to draw from, the event's own, which nobody accepts."""
        drawn = self.dst.copy()
        any_known = self.num_known > 0
        drawn[any_known] = self.known[(uniform * self.num_known).astype(np.int64)[any_known]]
        if former:
            has_past = self.num_former > 0
            place = self.first + (uniform * self.num_former).astype(np.int64)
            drawn[has_past] = self.dst[self.order[place[has_past]]]
        return drawn


class _Taken:
    """Which pairs were an event at which time, by keys below the square of the number of events."""

    def __init__(self, src: np.ndarray, dst: np.ndarray, time: np.ndarray) -> None:
        self.width = int(max(src.max(initial=0), dst.max(initial=0))) + 1
        self.span = int(time.max(initial=0)) + 1
        self.pairs, pair = np.unique(src * self.width + dst, return_inverse=True)
        self.keys = np.unique(pair * self.span + time)

    def at(self, src: np.ndarray, dst: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Whether each was."""
        pair, is_pair = _place(self.pairs, src * self.width + dst)
        return is_pair & _place(self.keys, pair * self.span + time)[1]


def _place(ordered: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each stands in what is in order, and whether it does."""
    place = np.searchsorted(ordered, wanted).clip(max=len(ordered) - 1)
    return place, ordered[place] == wanted


def _any_other(num_nodes: int, src: int, dst: int, uniform: float) -> int:
    apart = sorted({src, dst})
    if num_nodes <= len(apart):
        raise ValueError(f"events must have at least three nodes to draw others from, got {num_nodes}")
    other = int((num_nodes - len(apart)) * uniform)
    for node in apart:
        other += other >= node
    return other
