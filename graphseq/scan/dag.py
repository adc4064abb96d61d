"""Directed acyclic graphs as topologies, and the line graph, whose states are edges."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Dag:
    r"""Any directed acyclic graph: link :math:`l = (j \to i)` feeds state :math:`j` into state :math:`i`.

    Args:
        edge_index: links ``[2, num_links]``, int64, from row 0 to row 1; parallel links are allowed.
        num_states: number of states.

    Raises:
        TypeError: if ``edge_index`` is not an int64 tensor.
        ValueError: if it has another shape, names a state that is not there, or has a cycle; the message shows one.

    Example:
        >>> Dag(torch.tensor([[0, 0, 1], [1, 2, 2]]), 3)
        Dag(num_states=3, num_links=3, depth=3)
    """

    def __init__(self, edge_index: Tensor, num_states: int) -> None:
        _check_links(edge_index, num_states)
        self._edge_index, self._num_states = edge_index, num_states
        self._levels = _levels(edge_index.cpu().numpy(), num_states)
        self.cache: dict[Any, Any] = {}

    @property
    def edge_index(self) -> Tensor:
        """Links, ``[2, num_links]``."""
        return self._edge_index

    @property
    def num_states(self) -> int:
        """Number of states."""
        return self._num_states

    @property
    def num_links(self) -> int:
        """Number of links."""
        return self._edge_index.shape[1]

    @property
    def device(self) -> torch.device:
        """Where ``edge_index`` lies, and scans run."""
        return self._edge_index.device

    @property
    def depth(self) -> int:
        """Number of states on the longest path."""
        return int(self._levels.max()) + 1 if self._levels.size else 0

    @cached_property
    def level(self) -> Tensor:
        """Links on the longest path that ends at each state, ``[num_states]``: a topological order."""
        return torch.from_numpy(self._levels).to(self.device)

    def to_dag(self) -> Dag:
        """Itself."""
        return self

    def reverse(self) -> Dag:
        """The same links, in the same order, against their direction."""
        return self._flipped

    @cached_property
    def _flipped(self) -> Dag:
        flipped = object.__new__(type(self))
        flipped._edge_index, flipped._num_states, flipped.cache = self._edge_index.flip(0), self._num_states, {}
        flipped._levels = _levels(flipped._edge_index.cpu().numpy(), self._num_states)
        # Each is the other's flip, so that what is cached on either is found again.
        flipped.__dict__["_flipped"] = self
        return flipped

    def to(self, device: torch.device | str) -> Dag:
        """The same topology on another device."""
        moved = object.__new__(type(self))
        moved._edge_index, moved._num_states, moved.cache = self._edge_index.to(device), self._num_states, {}
        moved._levels = self._levels
        return moved

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_states={self.num_states}, num_links={self.num_links}, depth={self.depth})"


class LineGraph(Dag):
    """The line graph of a directed acyclic graph: its states are the edges, and a link joins each edge to the next.

    Args:
        edge_index: edges ``[2, num_edges]``, int64.
        num_nodes: number of nodes.

    Raises:
        TypeError: if ``edge_index`` is not an int64 tensor.
        ValueError: if it has another shape, names a node that is not there, or has a cycle.
    """

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        _check_links(edge_index, num_nodes)
        self.node_edge_index, self.num_nodes = edge_index, num_nodes
        super().__init__(_consecutive(edge_index, num_nodes), edge_index.shape[1])

    @property
    def link_index(self) -> Tensor:
        """Which pair of edges each link joins, ``[2, num_links]``; sorted by the second, then the first."""
        return self.edge_index


def line_graph(edge_index: Tensor, num_nodes: int) -> LineGraph:
    """The topology whose states are the edges of a graph, in order; see :class:`LineGraph`.

    Example:
        >>> line_graph(torch.tensor([[0, 1, 1], [1, 2, 3]]), 4).link_index
        tensor([[0, 0],
                [1, 2]])
    """
    return LineGraph(edge_index, num_nodes)


def _consecutive(edge_index: Tensor, num_nodes: int) -> Tensor:
    """All pairs (p, e) of edges with dst(p) = src(e): each edge meets every edge that enters its source."""
    source, target = edge_index
    by_target = target.argsort(stable=True)
    entering = torch.bincount(target, minlength=num_nodes)
    begin = entering.cumsum(0) - entering
    counts = entering[source]
    later = torch.arange(source.numel(), device=source.device).repeat_interleave(counts)
    within = torch.arange(later.numel(), device=source.device) - (counts.cumsum(0) - counts)[later]
    return torch.stack([by_target[begin[source[later]] + within], later])


def _check_links(edge_index: Tensor, num_states: int) -> None:
    if not isinstance(edge_index, Tensor) or edge_index.dtype != torch.int64:
        got = edge_index.dtype if isinstance(edge_index, Tensor) else type(edge_index).__name__
        raise TypeError(f"edge_index must be an int64 tensor, got {got}")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"edge_index must have shape [2, num_links], got {list(edge_index.shape)}")
    if edge_index.numel():
        low, high = (int(bound) for bound in edge_index.aminmax())
        if low < 0 or high >= num_states:
            raise ValueError(f"edge_index must hold numbers in [0, {num_states}), got {low if low < 0 else high}")


def _levels(links: np.ndarray, num_states: int) -> np.ndarray:
    """Length of the longest path to each state, peeling off the states without waiting predecessors (Kahn 1962)."""
    source, target = links
    by_source = np.argsort(source, kind="stable")
    leaving = np.bincount(source, minlength=num_states)
    begin = np.cumsum(leaving) - leaving
    waiting = np.bincount(target, minlength=num_states)
    levels = np.full(num_states, -1, dtype=np.int64)
    ready, level = np.flatnonzero(waiting == 0), 0
    while ready.size:
        levels[ready] = level
        counts = leaving[ready]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        reached = target[by_source[np.repeat(begin[ready], counts) + within]]
        np.subtract.at(waiting, reached, 1)
        candidates = np.unique(reached)
        ready, level = candidates[waiting[candidates] == 0], level + 1
    if (levels < 0).any():
        cycle = " → ".join(str(state) for state in _cycle(source, target, levels))
        raise ValueError(f"edge_index must be acyclic, got the cycle {cycle}")
    return levels


def _cycle(source: np.ndarray, target: np.ndarray, levels: np.ndarray) -> list[int]:
    """Among states that wait for one another, go back from one to the next until one is met again."""
    stuck = (levels[source] < 0) & (levels[target] < 0)
    before = dict(zip(target[stuck].tolist(), source[stuck].tolist(), strict=True))
    path = [next(iter(before))]
    while path[-1] not in path[:-1]:
        path.append(before[path[-1]])
    cycle = path[path.index(path[-1]) + 1 :][::-1]
    start = cycle.index(min(cycle))
    return [*cycle[start:], *cycle[: start + 1]]
