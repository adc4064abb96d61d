"""In which order a scan visits a directed acyclic graph: found once, in linear time, and shared by all backends."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from graphseq.scan._structure import derived

# Parts of a graph that threads may take: enough for any machine, few enough to cost nothing.
_MAX_PARTS = 64


class DagOrder(NamedTuple):
    """What is found out about a directed acyclic graph, so that it need not be found again.

    Graphs side by side have the entries of each one after another: ``state`` shifted by the number of states before,
    ``link`` by the number of links, ``component`` and ``level`` as they are.

    Args:
        state: the states, component after component, in each one senders before their receivers, ``[num_states]``.
        link: the links, grouped by the state that they feed in that order, ``[num_links]``.
        component: sizes of the weakly connected components, in that order, ``[num_components]``.
        level: links on the longest path that ends at each state, by number, ``[num_states]``.
    """

    state: Tensor
    link: Tensor
    component: Tensor
    level: Tensor


class Layers(NamedTuple):
    """Links grouped by the level of the state that they feed."""

    link: Tensor  # [num_links]
    sender: Tensor
    receiver: Tensor
    bounds: list[int]  # where the links of each level but the first begin, and the end


class Schedule:
    """A topological order of a graph, and what the backends derive from it.

    It serves both directions: against the links, states are visited from the last to the first.

    Attributes:
        begin: which entries of ``link`` feed the state at each place of ``state``, ``[num_states + 1]``.
        sender: the state that each entry of ``link`` leaves, ``[num_links]``.
        part: places of ``state`` between which no link leads: whole components, of about the same size together.
    """

    def __init__(
        self, edge_index: Tensor, state: Tensor, link: Tensor, component: Tensor, level: Tensor | None = None
    ) -> None:
        self.edge_index, self.state, self.link, self.component = edge_index, state, link, component
        # Made here and not when first asked for, which may be inside a function that torch.compile traces.
        self.begin = bounds_of(torch.bincount(edge_index[1], minlength=state.shape[0])[state])
        self.sender = edge_index[0][link]
        self.part = parts_of(component, state.shape[0])
        if level is not None:
            self.__dict__["level"] = level

    @classmethod
    def of(cls, edge_index: Tensor, num_states: int) -> Schedule:
        """Find the order of a graph.

        Raises:
            ValueError: if it has a cycle.
        """
        links = edge_index.cpu().numpy()
        adjacency = coo_array(
            (np.ones(links.shape[1], dtype=bool), tuple(links)), shape=(num_states, num_states)
        ).tocsr()
        state, component = _by_component(adjacency, _topological(links, adjacency))
        place = np.empty_like(state)
        place[state] = np.arange(num_states)
        link, _ = _grouped(place[links[1]], num_states)
        return cls(edge_index, *(torch.from_numpy(array).to(edge_index.device) for array in (state, link, component)))

    @classmethod
    def given(cls, edge_index: Tensor, num_states: int, order: DagOrder) -> Schedule:
        """Take the order over.

        Raises:
            ValueError: if it is not an order of this graph.
        """
        for name, count in (("state", num_states), ("link", edge_index.shape[1]), ("level", num_states)):
            if (entries := getattr(order, name)).shape != (count,):
                raise ValueError(f"order.{name} must have shape [{count}], got {list(entries.shape)}")
        in_range = order.component.sum() == num_states
        for numbers, count in ((order.state, num_states), (order.link, edge_index.shape[1])):
            in_range &= ((numbers >= 0) & (numbers < count)).all()
        if not in_range or not (schedule := cls(edge_index, *order))._belongs():
            raise ValueError("order must belong to edge_index, got that of other links: have they changed since?")
        return schedule

    def _belongs(self) -> bool:
        """Whether the order is one of this graph."""
        sender, receiver = self.edge_index
        forward = (self.place[sender] < self.place[receiver]) & (self.level[sender] < self.level[receiver])
        return bool(((receiver[self.link] == self.receiver) & forward).all())

    @property
    def order(self) -> DagOrder:
        """What makes the schedule anew without a search."""
        return DagOrder(self.state, self.link, self.component, self.level)

    @derived
    def level(self) -> Tensor:
        """Links on the longest path that ends at each state, ``[num_states]``."""
        return torch.from_numpy(levels(self.edge_index.cpu().numpy(), self.state.shape[0])).to(self.edge_index.device)

    @derived
    def place(self) -> Tensor:
        """Where each state stands in ``state``, ``[num_states]``."""
        return torch.empty_like(self.state).index_copy_(0, self.state, torch.arange(len(self.state)).to(self.state))

    @derived
    def receiver(self) -> Tensor:
        """The state that each entry of ``link`` feeds, ``[num_links]``."""
        return self.state.repeat_interleave(self.begin.diff(), output_size=self.link.shape[0])

    @derived
    def layers(self) -> Layers:
        """All states of one level at once."""
        by_level = self.level.argsort(stable=True)
        entering = self.begin.diff()[self.place]
        entries = ranges(self.begin[:-1][self.place[by_level]], entering[by_level])
        counts = entering.new_zeros(int(self.level.max()) + 1 if len(self.level) else 1)
        bounds = counts.index_add_(0, self.level, entering).cumsum(0).tolist()
        return Layers(self.link[entries], self.sender[entries], self.receiver[entries], bounds)

    def to(self, device: torch.device | str) -> Schedule:
        """The same schedule on another device."""
        moved = Schedule(*(tensor.to(device) for tensor in (self.edge_index, self.state, self.link, self.component)))
        if "level" in self.__dict__:
            moved.__dict__["level"] = self.level.to(device)
        return moved


def ranges(begin: Tensor, counts: Tensor) -> Tensor:
    """The numbers from each entry of ``begin`` on, as many as ``counts`` says, one range after another."""
    end = counts.cumsum(0)
    shift = (begin - end + counts).repeat_interleave(counts)
    return torch.arange(shift.shape[0], device=shift.device) + shift


def parts_of(component: Tensor, num_states: int) -> Tensor:
    """Bounds of whole components, of about the same size together."""
    bounds = bounds_of(component)
    share = bounds[:-1] * _MAX_PARTS // max(num_states, 1)
    starts = share != share.roll(1)
    starts[:1] = True
    return torch.cat([bounds[:-1][starts], bounds[-1:]]) if share.numel() else bounds


def bounds_of(counts: Tensor) -> Tensor:
    """Where each of some runs begins, and the end of the last one."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _topological(links: np.ndarray, adjacency: csr_array) -> np.ndarray:
    """The states, senders before their receivers."""
    num_states = adjacency.shape[0]
    if num_states == 0:
        return np.zeros(0, dtype=np.int64)
    # Memory is read fastest in its own order.
    if (links[0] < links[1]).all():
        return np.arange(num_states)
    count, label = connected_components(adjacency, connection="strong")
    # Each state is a component of its own, and the search closes a component only after all that it leads to. SciPy
    # does not promise to number them so: hence the look at every link, which also finds states that feed themselves.
    if count == num_states and (label[links[0]] > label[links[1]]).all():
        order = np.empty(num_states, dtype=np.int64)
        order[num_states - 1 - label] = np.arange(num_states)
        return order
    return _grouped(levels(links, num_states), num_states)[0]


def _by_component(adjacency: csr_array, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The states component by component, each in the given order, and the components' sizes."""
    if order.size == 0:
        return order, order
    count, label = connected_components(adjacency, directed=False)
    by_component, begin = _grouped(label[order], count)
    return order[by_component], np.diff(begin)


def _grouped(key: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the entries of each group, in their order, and where each group begins: a counting sort."""
    number = np.arange(key.size)
    table = csr_array(coo_array((np.ones(key.size, dtype=bool), (key, number)), shape=(groups, key.size)))
    return table.indices.astype(np.int64), table.indptr.astype(np.int64)


def levels(links: np.ndarray, num_states: int) -> np.ndarray:
    """Length of the longest path to each state, peeling off the states without waiting predecessors (Kahn 1962).

    Raises:
        ValueError: if there is a cycle; the message shows one.
    """
    source, target = links
    by_source, begin = _grouped(source, num_states)
    target, leaving = target[by_source], np.diff(begin)
    waiting = np.bincount(target, minlength=num_states)
    found = np.full(num_states, -1, dtype=np.int64)
    last = np.empty(num_states, dtype=np.int64)
    ready, level = np.flatnonzero(waiting == 0), 0
    while ready.size:
        found[ready] = level
        counts = leaving[ready]
        end = counts.cumsum()
        reached = target[np.arange(end[-1]) + (begin[ready] - end + counts).repeat(counts)]
        np.subtract.at(waiting, reached, 1)
        ready = reached[waiting[reached] == 0]
        # A state that several links reach is taken once, for the last of them.
        number = np.arange(ready.size)
        last[ready] = number
        ready, level = ready[last[ready] == number], level + 1
    if (found < 0).any():
        cycle = " → ".join(str(state) for state in _cycle(source, links[1], found))
        raise ValueError(f"edge_index must be acyclic, got the cycle {cycle}")
    return found


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
