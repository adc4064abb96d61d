"""The events of each node in order: a stream seen from both ends."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from graphseq.data.signed.events import as_signs, check_nodes, check_sorted
from graphseq.scan import Ragged


class Timelines:
    """Each event twice, once in the timeline of either end, the timelines laid one after another.

    Rows are sorted by owner and in a timeline by time and event; a self-loop makes two rows. Before the events of a
    node may stand rows for *earlier* states, which is how a stream goes on where another chunk of it ended.

    Args:
        src, dst: nodes, ``[E]``.
        t: times, ascending, float64.
        sign: -1 and +1, or 0 and 1.
        num_nodes: ids must be below it.
        earlier: owner and time of earlier rows, in ascending order of time for each owner.

    Raises:
        ValueError: if times are unsorted or not finite, a sign is none, an id is out of range, or lengths differ.

    Example:
        >>> who, whom = torch.tensor([0, 1]), torch.tensor([1, 2])
        >>> lines = Timelines(who, whom, torch.tensor([1.0, 2.0]), torch.tensor([1, -1]), num_nodes=3)
        >>> lines.owner.tolist(), lines.peer.tolist(), lines.sign.tolist()
        ([0, 1, 1, 2], [1, 0, 2, 1], [1, 1, -1, -1])
        >>> lines.before(torch.tensor([1, 1, 2]), torch.tensor([2.0, 9.0, 2.0])).tolist()
        [1, 2, -1]
    """

    def __init__(
        self,
        src: Int[Tensor, " events"],
        dst: Int[Tensor, " events"],
        t: Tensor,
        sign: Tensor,
        num_nodes: int,
        earlier: tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]] | None = None,
    ) -> None:
        for name, each in (("src", src), ("dst", dst), ("t", t), ("sign", sign)):
            if each.dim() != 1 or len(each) != len(src):
                raise ValueError(f"{name} must have shape [{src.numel()}], an entry an event, got {list(each.shape)}")
        check_nodes(src, dst, num_nodes)
        t = t.double()
        if not bool(torch.isfinite(t).all()):
            raise ValueError("t must be finite, got NaN or infinity")
        check_sorted(t)
        sign = as_signs(sign)
        self.num_events, self.num_nodes = len(src), num_nodes
        past_owner, past_t = (src.new_empty(0), t.new_empty(0)) if earlier is None else earlier
        self.num_earlier = len(past_owner)
        event = torch.arange(len(src), device=src.device).repeat_interleave(2)
        none = torch.full_like(past_owner, -1)
        owner = torch.cat([past_owner, torch.stack([src, dst], dim=1).flatten()])
        # In order of time already, so a stable sort by owner is all that it takes.
        self.row = owner.argsort(stable=True)
        self.owner = owner[self.row]
        self.peer = torch.cat([none, torch.stack([dst, src], dim=1).flatten()])[self.row]
        #: Number of the event of a row, -1 at earlier rows.
        self.event = torch.cat([none, event])[self.row]
        self.t = torch.cat([past_t, t[event]])[self.row]
        self.sign = torch.cat([torch.ones_like(none), sign[event]])[self.row]
        #: Whether the owner is the event's source.
        self.is_source = (self.row >= self.num_earlier) & ((self.row - self.num_earlier) % 2 == 0)

    @cached_property
    def is_event(self) -> Bool[Tensor, " rows"]:
        """False at earlier rows."""
        return self.event >= 0

    @cached_property
    def nodes(self) -> Int[Tensor, " segments"]:
        """Owners that have a timeline, ascending."""
        return self.owner.unique_consecutive()

    @cached_property
    def topology(self) -> Ragged:
        """One segment for each of :attr:`nodes`."""
        lengths = self.owner.unique_consecutive(return_counts=True)[1]
        return Ragged(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))

    @cached_property
    def since_previous(self) -> Float[Tensor, " rows"]:
        """Time since the owner's previous row, 0 at its first."""
        gaps = torch.cat([self.t.new_zeros(min(len(self.t), 1)), self.t.diff()])
        return gaps.index_fill(0, self.topology.first, 0)

    def before(self, nodes: Int[Tensor, " queries"], t: Float[Tensor, " queries"]) -> Int[Tensor, " queries"]:
        """The last row of each node strictly before a time; -1 where there is none.

        Cost: two binary searches for each query.
        """
        if not len(self.owner):
            return torch.full_like(nodes, -1)
        times, keys = self._keys
        segment = torch.searchsorted(self.nodes, nodes).clamp(max=len(self.nodes) - 1)
        key = segment * (len(times) + 1) + torch.searchsorted(times, t.double())
        place = torch.searchsorted(keys, key) - 1
        known = (self.nodes[segment] == nodes) & (place >= self.topology.ptr[segment])
        return torch.where(known, place, -1)

    def since(self, row: Int[Tensor, " queries"], t: Float[Tensor, " queries"]) -> Float[Tensor, " queries"]:
        """Time since rows that :meth:`before` gave, 0 where there is none."""
        if not len(self.t):
            return torch.zeros_like(t, dtype=torch.float64)
        return torch.where(row >= 0, t.double() - self.t[row.clamp(min=0)], 0)

    def check_times(self, t: Float[Tensor, " queries"]) -> None:
        """Refuse questions about a time at which nothing had happened, or none at all.

        Raises:
            ValueError: if a time is not finite or before the first event.
        """
        if not bool(torch.isfinite(t).all()):
            raise ValueError("t must be finite, got NaN or infinity")
        if len(self.t) and len(t) and (earliest := float(t.min())) < (first := float(self.t.min())):
            raise ValueError(f"t must not be before the first event ({first}), got {earliest}")

    @cached_property
    def previous(self) -> Int[Tensor, " rows"]:
        """What :meth:`before` says of each row's owner at the row's time."""
        number = torch.arange(len(self.t), device=self.t.device)
        starts = torch.cat([self.t.new_ones(min(len(self.t), 1), dtype=torch.bool), self.t.diff() != 0])
        starts = starts.index_fill(0, self.topology.first, True)
        # Rows of one owner and time are one behind another: what is before them all is before the first of them.
        earlier = torch.where(starts, number, 0).cummax(0).values - 1
        return torch.where(earlier >= self.topology.ptr[self.topology.segment], earlier, -1)

    @cached_property
    def peer_row(self) -> Int[Tensor, " rows"]:
        """What :meth:`before` says of each row's peer at the row's time; -1 at earlier rows."""
        # The peer has a row of the same event, so nothing has to be searched.
        place = torch.empty_like(self.row).scatter_(0, self.row, torch.arange(len(self.row), device=self.row.device))
        half = (self.row - self.num_earlier).clamp(min=0)
        other = place[(self.num_earlier + (half ^ 1)).clamp(max=max(len(self.row) - 1, 0))]
        return torch.where(self.is_event, self.previous[other], -1)

    @cached_property
    def _keys(self) -> tuple[Tensor, Tensor]:
        # Owner and rank of the time as one integer, so that one search finds both, exactly.
        times, rank = self.t.unique(return_inverse=True)
        segment = self.topology.segment
        return times, segment * (len(times) + 1) + rank

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nodes={len(self.nodes)}, events={self.num_events})"
