"""The signed memory, called like PyG's ``TGNMemory``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphseq.data.signed.events import as_signs, check_nodes, check_sorted
from graphseq.nn.reset import ResetsParts
from graphseq.semba.gru import GRUUpdater, HalfEvents, ReleasedGRUUpdater
from graphseq.semba.rules import Balance, Separate
from graphseq.semba.scan import SignedScan
from graphseq.semba.scan_state import ScanState
from graphseq.semba.timelines import Timelines


class SignedMemory(nn.Module):
    """Friend and foe memory of every node of a network, fed by signed events.

    It is called like :class:`torch_geometric.nn.models.TGNMemory`, with the sign as one argument more: read with
    ``memory(n_id)``, then tell it what happened with :meth:`update_state`. It keeps flat tensors, never a dictionary.

    As there, gradients reach the updater through the latest events of each node only: in training, a read runs the
    updater again over what the node was last told, with the memories from before it. Unlike there, peers' memories in
    it are those of the moment of the event, in training as in evaluation.

    Args:
        num_nodes: ids are below it.
        raw_msg_dim: width of ``raw_msg``.
        memory_dim: channels of each of the two memories (with ``"scan"``, of each layer).
        time_dim: width of the time encoding; ``"scan"`` has none.
        updater: ``"gru"`` (the paper), ``"gru-released"`` (what the authors' code does instead, see
            :class:`ReleasedGRUUpdater`) or ``"scan"`` (:class:`SignedScan`, exact for every batch size).
        balance: whether events cross memories by balance theory, see :class:`Balance` and :class:`Separate`.
        options: of the updater: ``aggregator`` for the units, ``layers``, ``tau``, ``slowest`` and ``squash`` for the
        scan.

    Example:
        >>> memory = SignedMemory(5, raw_msg_dim=1, memory_dim=4, time_dim=8)
        >>> who, whom, t = torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([10.0, 20.0])
        >>> memory.update_state(who, whom, t, torch.ones(2, 1), sign=torch.tensor([1, -1]))
        >>> z, last_update = memory(torch.tensor([1, 2, 4]))
        >>> z.shape, last_update.tolist()
        (torch.Size([3, 8]), [20.0, 20.0, 0.0])
    """

    def __init__(
        self,
        num_nodes: int,
        raw_msg_dim: int,
        memory_dim: int,
        time_dim: int = 32,
        *,
        updater: str = "gru",
        balance: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        sizes = (("num_nodes", num_nodes), ("memory_dim", memory_dim), ("time_dim", time_dim))
        for name, size in sizes:
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if updater not in STORES:
            raise ValueError(f"updater must be one of {', '.join(STORES)}, got {updater!r}")
        self.num_nodes, self.raw_msg_dim, self.memory_dim = num_nodes, raw_msg_dim, memory_dim
        rule = Balance() if balance else Separate()
        self.store = STORES[updater](num_nodes, raw_msg_dim, memory_dim, time_dim, rule=rule, **options)
        self.updater, self.balance = updater, balance

    @property
    def out_channels(self) -> int:
        """Width of what is read."""
        return self.store.out_channels

    def reset_parameters(self) -> None:
        self.store.updater.reset_parameters()
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all events."""
        self.store.reset_state()

    def detach(self) -> None:
        """For the call shape: what is stored never carries gradients."""

    def forward(self, n_id: Int[Tensor, " nodes"]) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, " nodes"]]:
        """Memories of nodes after all events so far, and when each last took part in one (0 if never)."""
        check_nodes(n_id, n_id, self.num_nodes)
        return self.store.read(n_id)

    def update_state(
        self,
        src: Int[Tensor, " events"],
        dst: Int[Tensor, " events"],
        t: Tensor,
        raw_msg: Float[Tensor, "events raw"],
        sign: Tensor,
    ) -> None:
        """Take in events, all of which read the memories from before them if the updater is a unit.

        Raises:
            ValueError: if times are unsorted, not finite or before what was taken in already, a sign is neither in
                {-1, +1} nor in {0, 1}, or an id is out of range.
        """
        check_nodes(src, dst, self.num_nodes)
        t = t.double()
        if not bool(torch.isfinite(t).all()):
            raise ValueError("t must be finite, got NaN or infinity")
        check_sorted(t)
        if len(t) and float(t[0]) < self.store.latest:
            raise ValueError(f"t must not be before the last event taken in ({self.store.latest}), got {float(t[0])}")
        if raw_msg.shape != (len(t), self.raw_msg_dim):
            raise ValueError(f"raw_msg must have shape [{len(t)}, {self.raw_msg_dim}], got {list(raw_msg.shape)}")
        if len(t):
            self.store.update(src, dst, t, raw_msg, as_signs(sign))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.num_nodes}, raw_msg_dim={self.raw_msg_dim}, memory_dim={self.memory_dim}, "
            f"updater={self.updater!r}, balance={self.balance})"
        )


class GRUStore(ResetsParts):
    """Memories, and the latest half-events of each node with what their peers' memories were.

    Args:
        num_nodes, raw_msg_dim, memory_dim, time_dim: as in :class:`SignedMemory`.
        updater: the class of the updater.
        options: further arguments of it.
    """

    memory: Tensor
    last: Tensor
    previous: Tensor
    previous_last: Tensor

    def __init__(
        self,
        num_nodes: int,
        raw_msg_dim: int,
        memory_dim: int,
        time_dim: int,
        *,
        updater: type[GRUUpdater] = GRUUpdater,
        **options: Any,
    ) -> None:
        super().__init__()
        self.updater = updater(raw_msg_dim, memory_dim, time_dim, **options)
        self.out_channels, self.raw_msg_dim = 2 * memory_dim, raw_msg_dim
        for name in ("memory", "previous"):
            self.register_buffer(name, torch.empty(num_nodes, 2, memory_dim), persistent=False)
        for name in ("last", "previous_last"):
            self.register_buffer(name, torch.empty(num_nodes, 2, dtype=torch.float64), persistent=False)
        self.reset_state()

    def reset_state(self) -> None:
        for buffer in (self.memory, self.last, self.previous, self.previous_last):
            buffer.zero_()
        self.latest = -torch.inf
        nobody = torch.empty(0, dtype=torch.int64, device=self.memory.device)
        self.told = HalfEvents(
            nobody, self.memory[:0], nobody, self.last[:0, 0], self.memory.new_empty(0, self.raw_msg_dim)
        )

    def read(self, n_id: Tensor) -> tuple[Tensor, Tensor]:
        memory = self._with_gradient(n_id) if self.training else self.memory[n_id]
        return memory.flatten(1), self.last[n_id].amax(1)

    @torch.no_grad()
    def update(self, src: Tensor, dst: Tensor, t: Tensor, raw_msg: Tensor, sign: Tensor) -> None:
        owner, peer = torch.cat([src, dst]), torch.cat([dst, src])
        touched, local = owner.unique(return_inverse=True)
        half = HalfEvents(owner, self.memory[peer], sign.repeat(2), t.repeat(2), raw_msg.to(self.memory).repeat(2, 1))
        kept = ~torch.isin(self.told.owner, touched)
        self.told = HalfEvents(*(torch.cat([old[kept], new]) for old, new in zip(self.told, half, strict=True)))
        self.previous[touched], self.previous_last[touched] = self.memory[touched], self.last[touched]
        self.memory[touched], self.last[touched] = self.updater(
            self.memory[touched], self.last[touched], half._replace(owner=local)
        )
        self.latest = float(t[-1])

    def _with_gradient(self, n_id: Tensor) -> Tensor:
        nodes, where = n_id.unique(return_inverse=True)
        place = torch.searchsorted(nodes, self.told.owner).clamp(max=max(len(nodes) - 1, 0))
        rows = (nodes[place] == self.told.owner).nonzero().squeeze(1) if len(nodes) else place
        told = self.told.select(rows, place[rows])
        return self.updater(self.previous[nodes], self.previous_last[nodes], told)[0][where]


class ReleasedGRUStore(GRUStore):
    """The same with :class:`ReleasedGRUUpdater`."""

    def __init__(self, *sizes: int, **options: Any) -> None:
        super().__init__(*sizes, updater=ReleasedGRUUpdater, **options)


class ScanStore(ResetsParts):
    """The states of a :class:`SignedScan` after the events so far, and in training the latest events themselves.

    Args:
        num_nodes, raw_msg_dim, memory_dim: as in :class:`SignedMemory`.
        time_dim: not used; decays tell the time.
        options: arguments of :class:`SignedScan`.
    """

    def __init__(self, num_nodes: int, raw_msg_dim: int, memory_dim: int, time_dim: int = 1, **options: Any) -> None:
        super().__init__()
        self.updater = SignedScan(2 + 2 * raw_msg_dim, memory_dim, **options)
        self.num_nodes, self.raw_msg_dim = num_nodes, raw_msg_dim
        self.out_channels = 2 * memory_dim * self.updater.layers
        self.reset_state()

    def reset_state(self) -> None:
        scan = self.updater
        self.state = ScanState.empty(self.num_nodes, scan.layers, scan.channels, scan.rho[0].detach())
        self.told: tuple[Tensor, ...] | None = None
        self.latest = -torch.inf

    def read(self, n_id: Tensor) -> tuple[Tensor, Tensor]:
        """States right after each node's last event, with gradients if in training."""
        lines, states = self.run(self._told(), n_id, torch.inf)
        row = lines.before(n_id, torch.full((len(n_id),), torch.inf, device=n_id.device))
        known = (row >= 0)[:, None, None, None]
        empty = states.new_zeros(len(n_id), *states.shape[1:])
        found = torch.where(known, states[row.clamp(min=0)], 0) if len(states) else empty
        last = torch.where(row >= 0, lines.t[row.clamp(min=0)], 0) if len(states) else empty.new_zeros(len(n_id))
        return self.updater.rule.friend_and_foe(found).flatten(1), last.double()

    def read_at(self, nodes: Tensor, t: Tensor) -> Tensor:
        """Friend and foe memory strictly before times, none of which may be before the last event."""
        if len(t) and float(t.min()) < self.latest:
            raise ValueError(f"t must not be before the last event taken in ({self.latest}), got {float(t.min())}")
        lines, states = self.run(self._told(), nodes, float(t.min()) if len(t) else torch.inf)
        return self.updater.read(states, lines, nodes, t)

    def update(self, src: Tensor, dst: Tensor, t: Tensor, raw_msg: Tensor, sign: Tensor) -> None:
        events = (src, dst, t, raw_msg.to(self.updater.rho[0]), sign)
        with torch.no_grad():
            if self.told is not None:
                self.advance(*self.run(self.told))
            self.told = events if self.training else None
            if not self.training:
                self.advance(*self.run(events))
        self.latest = float(t[-1])

    def run(
        self, events: tuple[Tensor, ...], nodes: Tensor | None = None, since: float = torch.inf
    ) -> tuple[Timelines, Tensor]:
        """Timelines and states of events, which go on from what is stored.

        Args:
            events: arguments of :meth:`SignedMemory.update_state`.
            nodes: are asked about as well.
            since: the earliest time of which they are asked.
        """
        src, dst, t, raw_msg, sign = events
        everybody = torch.cat([src, dst] if nodes is None else [src, dst, nodes]).unique()
        earlier, states = self.state.rows(everybody, min(float(t[0]), since) if len(t) else since)
        lines = Timelines(src, dst, t, sign, self.num_nodes, earlier if len(states) else None)
        x = row_features(raw_msg, lines)
        return lines, self.updater(x, lines, states if len(states) else None)

    def advance(self, lines: Timelines, states: Tensor) -> None:
        """Store what a run ended with."""
        self.state.advance(states, lines)

    def train(self, mode: bool = True) -> ScanStore:
        if self.training and not mode and self.told is not None:
            with torch.no_grad():
                self.advance(*self.run(self.told))
            self.told = None
        return super().train(mode)

    def _told(self) -> tuple[Tensor, ...]:
        if self.told is not None:
            return self.told
        like = self.updater.rho[0].detach()
        nobody = torch.empty(0, dtype=torch.int64, device=like.device)
        return nobody, nobody, like.new_empty(0, dtype=torch.float64), like.new_empty(0, self.raw_msg_dim), nobody


def row_features(raw_msg: Float[Tensor, "events raw"], lines: Timelines) -> Float[Tensor, "rows features"]:
    """What a row tells its owner: a constant, its role (+1 if it acted, -1 if acted on), the message, and both."""
    if not lines.num_events:
        return raw_msg.new_zeros(len(lines.owner), 2 + 2 * raw_msg.shape[1])
    message = raw_msg[lines.event.clamp(min=0)]
    role = torch.where(lines.is_source, 1.0, -1.0).to(message)[:, None]
    return torch.cat([torch.ones_like(role), role, message, role * message], dim=1)


STORES: dict[str, Callable[..., Any]] = {"gru": GRUStore, "gru-released": ReleasedGRUStore, "scan": ScanStore}
