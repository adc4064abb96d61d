"""Directed acyclic graphs as topologies."""

from __future__ import annotations

import torch
from torch import Tensor

from graphseq.scan._structure import apart, derived
from graphseq.scan.schedule import DagOrder, Schedule, levels


class Dag:
    r"""Any directed acyclic graph: link :math:`l = (j \to i)` feeds state :math:`j` into state :math:`i`.

    Args:
        edge_index: links ``[2, num_links]``, int64, from row 0 to row 1; parallel links are allowed.
        num_states: number of states.
        order: the graph's :attr:`order`, if it is known already; then there is no search.

    Raises:
        TypeError: if ``edge_index`` is not an int64 tensor.
        ValueError: if it has another shape, names a state that is not there, or has a cycle (the message shows one), or
            if ``order`` is that of another graph.

    Example:
        >>> Dag(torch.tensor([[0, 0, 1], [1, 2, 2]]), 3)
        Dag(num_states=3, num_links=3, depth=3)

    Cost: a few linear passes on the CPU.
    """

    @apart
    def __init__(self, edge_index: Tensor, num_states: int, *, order: DagOrder | None = None) -> None:
        check_links(edge_index, num_states)
        if order is None:
            self._schedule = Schedule.of(edge_index, num_states)
        else:
            self._schedule = Schedule.given(edge_index, num_states, order)
        self._num_states, self._reversed = num_states, False
        self._flipped: Dag | None = None

    @derived
    def edge_index(self) -> Tensor:
        """Links, ``[2, num_links]``."""
        links = self._schedule.edge_index
        return links.flip(0) if self._reversed else links

    @property
    def num_states(self) -> int:
        """Number of states."""
        return self._num_states

    @property
    def num_links(self) -> int:
        """Number of links."""
        return self._schedule.edge_index.shape[1]

    @property
    def device(self) -> torch.device:
        """Where ``edge_index`` lies, and scans run."""
        return self._schedule.edge_index.device

    @property
    def schedule(self) -> Schedule:
        """In which order backends visit the states, one for both directions."""
        return self._schedule

    @property
    def reversed(self) -> bool:
        """Whether the links go against the direction of ``schedule``."""
        return self._reversed

    @property
    def depth(self) -> int:
        """Number of states on the longest path."""
        return int(self._schedule.level.max()) + 1 if self._num_states else 0

    @derived
    def level(self) -> Tensor:
        """Links on the longest path that ends at each state, ``[num_states]``: a topological order."""
        if not self._reversed:
            return self._schedule.level
        return torch.from_numpy(levels(self.edge_index.cpu().numpy(), self._num_states)).to(self.device)

    @property
    def order(self) -> DagOrder:
        """What makes the same topology anew, or one of several graphs side by side, without a search."""
        return (Schedule.of(self.edge_index, self._num_states) if self._reversed else self._schedule).order

    def to_dag(self) -> Dag:
        """Itself."""
        return self

    def reverse(self) -> Dag:
        """The same links, in the same order, against their direction."""
        if self._flipped is None:
            self._flipped = self._like(self._schedule, not self._reversed)
            self._flipped._flipped = self
        return self._flipped

    @apart
    def to(self, device: torch.device | str) -> Dag:
        """The same topology on another device."""
        return self._like(self._schedule.to(device), self._reversed)

    def _like(self, schedule: Schedule, reversed: bool) -> Dag:
        other = object.__new__(type(self))
        other._schedule, other._num_states, other._reversed = schedule, self._num_states, reversed
        other._flipped = None
        return other

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_states={self.num_states}, num_links={self.num_links}, depth={self.depth})"


def check_links(edge_index: Tensor, num_states: int) -> None:
    if torch.compiler.is_exporting():
        raise NotImplementedError(
            "a directed acyclic graph cannot be ordered inside torch.export, which sees no values: export a function "
            "of tensors alone whose topology is made before"
        )
    if not isinstance(edge_index, Tensor) or edge_index.dtype != torch.int64:
        got = edge_index.dtype if isinstance(edge_index, Tensor) else type(edge_index).__name__
        raise TypeError(f"edge_index must be an int64 tensor, got {got}")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"edge_index must have shape [2, num_links], got {list(edge_index.shape)}")
    if edge_index.numel():
        low, high = (int(bound) for bound in edge_index.aminmax())
        if low < 0 or high >= num_states:
            raise ValueError(f"edge_index must hold numbers in [0, {num_states}), got {low if low < 0 else high}")
