"""What a stream of events leaves behind for its next chunk."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from graphseq.semba.timelines import Timelines


@dataclass
class ScanState:
    """The states of every node after its last event, and after its last event of an earlier time.

    The second pair is what a question at the very time of the last event may see: two numbers a channel in place of one
    make streams with ties exact, whatever chunks they come in.

    Args:
        states: ``[nodes, 2, layers, channels, 2]``, earlier one first.
        t: ``[nodes, 2]``, minus infinity where there was no event.
    """

    states: Float[Tensor, "nodes 2 layers channels 2"]
    t: Float[Tensor, "nodes 2"]

    @classmethod
    def empty(cls, num_nodes: int, layers: int, channels: int, like: Tensor) -> ScanState:
        """Before the first event; dtype and device are those of ``like``."""
        never = torch.full((num_nodes, 2), -torch.inf, dtype=torch.float64, device=like.device)
        return cls(like.new_zeros(num_nodes, 2, layers, channels, 2), never)

    @property
    def latest(self) -> float:
        """Time of the last event of all."""
        return float(self.t.max()) if self.t.numel() else -torch.inf

    def rows(self, nodes: Int[Tensor, " nodes"], since: float) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Owners and times, then states, of the earlier rows of a chunk that is about these nodes.

        Args:
            nodes: which.
            since: time of the first event or question of the chunk. Only a node whose last event is not before it needs
                the earlier one of its states as well.
        """
        t = self.t[nodes]
        needed = torch.stack([t[:, 1] >= since, torch.ones_like(nodes, dtype=torch.bool)], dim=1) & (t > -torch.inf)
        place, which = needed.nonzero(as_tuple=True)
        return (nodes[place], t[place, which]), self.states[nodes[place], which]

    def advance(self, states: Float[Tensor, "rows layers channels 2"], lines: Timelines) -> None:
        """Take over what a chunk ended with."""
        last = lines.topology.last
        last = last[lines.is_event[last]]
        nodes = lines.owner[last]
        earlier = lines.previous[last]
        none = (earlier < 0)[:, None, None, None]
        states = states.detach()
        self.states[nodes, 1] = states[last]
        self.states[nodes, 0] = torch.where(none, 0, states[earlier.clamp(min=0)])
        self.t[nodes, 1] = lines.t[last]
        self.t[nodes, 0] = torch.where(earlier < 0, -torch.inf, lines.t[earlier.clamp(min=0)])
