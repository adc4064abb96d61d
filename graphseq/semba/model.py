"""Networks that answer questions about pairs of nodes from the signed events before them."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn.models.tgn import IdentityMessage, LastNeighborLoader, TGNMemory
from torch_geometric.nn.models.tgn import MeanAggregator as MeanMessages

from graphseq.nn.reset import ResetsParts
from graphseq.semba.attention import TemporalAttention
from graphseq.semba.decoder import LinearDecoder, PairDecoder
from graphseq.semba.memory import ScanStore, SignedMemory
from graphseq.semba.rules import Balance, Separate
from graphseq.semba.scan import DAY


class EventNetwork(ResetsParts):
    """What the networks of this package share: the arguments of a chunk, as :func:`signed_benchmark` makes it.

    Args:
        in_channels: the number of nodes, in the form in which the training task states it: ``(num_nodes,)``.
        out_channels: number of outputs.
        edge_channels: width of an event's message.
        level: ``"edge"``.
    """

    needs = ("event_t", "event_sign", "edge_label_index", "edge_label_t", "begins")

    def __init__(
        self, in_channels: int | tuple[int, ...], out_channels: int, *, edge_channels: int | None, level: str
    ) -> None:
        super().__init__()
        if not isinstance(in_channels, tuple) or len(in_channels) != 1 or edge_channels is None or level != "edge":
            raise ValueError(
                "the data must be a stream of signed events as signed_benchmark makes it, got "
                f"in_channels={in_channels}, edge_channels={edge_channels}, level={level!r}"
            )
        self.num_nodes, self.out_channels, self.edge_channels = in_channels[0], out_channels, edge_channels

    def forward(
        self,
        x: Int[Tensor, "nodes 1"],
        edge_index: Int[Tensor, "2 events"],
        batch: Tensor | None,
        edge_attr: Float[Tensor, "events message"],
        *,
        batch_size: int | None = None,
        event_t: Float[Tensor, " events"],
        event_sign: Int[Tensor, " events"],
        edge_label_index: Int[Tensor, "2 questions"],
        edge_label_t: Float[Tensor, " questions"],
        begins: Tensor,
    ) -> Float[Tensor, "questions outputs"]:
        """Answers to the questions of a chunk, which then becomes part of the past.

        Raises:
            ValueError: if several chunks come as one batch, or a chunk is not later than the one before.
        """
        if batch_size not in (None, 1):
            raise ValueError(f"batch_size must be 1, chunks come one after another, got {batch_size}")
        if bool(begins.all()):
            self.reset_state()
        message = edge_attr.sign() * edge_attr.abs().log1p()
        return self.answer(edge_index, event_t, event_sign, message, edge_label_index, edge_label_t)

    def reset_state(self) -> None:
        """Forget all events."""
        raise NotImplementedError

    def answer(
        self, edge_index: Tensor, t: Tensor, sign: Tensor, message: Tensor, pairs: Tensor, pairs_t: Tensor
    ) -> Tensor:
        """See :meth:`forward`."""
        raise NotImplementedError


class ScanSEMBA(EventNetwork):
    r"""A signed memory as a scan, read strictly before each question, and a perceptron on what both nodes remember.

    The events of a chunk run through :class:`SignedScan`, going on from the chunk before; each question reads friend
    and foe memory of its two nodes at its own time. So predictions do not depend on where chunks end, and the
    gradient runs through a whole chunk. The perceptron gets :math:`\operatorname{sign}(m) \log(1 + |m|)` of each
    memory :math:`m`, the logarithm of the days since a node's last event, and whether there was one.

    Args:
        in_channels, out_channels, edge_channels, level: see :class:`EventNetwork`.
        channels: width of each recurrence.
        layers: of the scan.
        balance: whether events cross memories, see :class:`Balance`.
        hidden: width of the perceptron.
        dropout: in the perceptron.
        slowest: largest initial time constant, in days.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, ...],
        out_channels: int,
        *,
        edge_channels: int | None = None,
        level: str = "edge",
        channels: int = 16,
        layers: int = 2,
        balance: bool = True,
        hidden: int = 48,
        dropout: float = 0.0,
        slowest: float = 1000.0,
    ) -> None:
        super().__init__(in_channels, out_channels, edge_channels=edge_channels, level=level)
        self.memory = ScanStore(
            self.num_nodes,
            self.edge_channels,
            channels,
            layers=layers,
            rule=Balance() if balance else Separate(),
            slowest=slowest,
            squash=torch.tanh,
        )
        self.decoder = PairDecoder(self.memory.out_channels + 2, out_channels, hidden=(hidden,), dropout=dropout)

    def reset_parameters(self) -> None:
        self.memory.updater.reset_parameters()
        self.decoder.reset_parameters()

    def reset_state(self) -> None:
        self.memory.reset_state()

    def answer(
        self, edge_index: Tensor, t: Tensor, sign: Tensor, message: Tensor, pairs: Tensor, pairs_t: Tensor
    ) -> Tensor:
        _check_order(t, self.memory.latest)
        nodes, when = pairs.flatten(), pairs_t.repeat(2)
        first = float(when.min()) if len(when) else torch.inf
        if first < self.memory.latest:
            raise ValueError(f"questions must not be before the last event ({self.memory.latest}), got t = {first}")
        lines, states = self.memory.run((edge_index[0], edge_index[1], t, message, sign), nodes, first)
        lines.check_times(when)
        row = lines.before(nodes, when)
        read = self.memory.updater.read_rows(states, lines, row, when).flatten(1)
        known = torch.stack([(lines.since(row, when) / DAY).log1p(), row >= 0], dim=1).to(read)
        remembered = torch.cat([read.sign() * read.abs().log1p(), known], dim=1)
        self.memory.advance(lines, states)
        if len(t):
            self.memory.latest = float(t[-1])
        return self.decoder(*remembered.chunk(2))


class _BatchNetwork(EventNetwork):
    """A memory that is updated once a chunk, and attention over each node's latest events."""

    memory: Any
    attention: TemporalAttention
    decoder: nn.Module

    def __init__(self, *arguments: Any, neighbours: int, time_unit: float, **rest: Any) -> None:
        super().__init__(*arguments, **rest)
        if time_unit <= 0:
            raise ValueError(f"time_unit must be positive, got {time_unit}")
        self.neighbours, self.time_unit = neighbours, time_unit
        self.recent: LastNeighborLoader | None = None

    def reset_state(self) -> None:
        self.memory.reset_state()
        self.recent = LastNeighborLoader(self.num_nodes, self.neighbours, device=self._device)
        self.past_t = torch.empty(0, dtype=torch.float64, device=self._device)
        self.past_message = torch.empty(0, self.edge_channels, device=self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def answer(
        self, edge_index: Tensor, t: Tensor, sign: Tensor, message: Tensor, pairs: Tensor, pairs_t: Tensor
    ) -> Tensor:
        self.memory.detach()
        t = t / self.time_unit
        recent = self.recent
        if recent is None:
            raise ValueError("a pass must start with a chunk that has begins=True, got one without")
        if len(self.past_t):
            _check_order(t, float(self.past_t[-1]))
        nodes, where = pairs.flatten().unique(return_inverse=True)
        if len(nodes):
            z = self._embed(recent, nodes)[where]
        else:
            z = message.new_zeros(0, self.attention.conv.out_channels * self.attention.conv.heads)
        self._tell(edge_index, t, message, sign)
        recent.insert(edge_index[0], edge_index[1])
        self.past_t, self.past_message = torch.cat([self.past_t, t]), torch.cat([self.past_message, message])
        return self.decoder(*z.chunk(2))

    def _embed(self, recent: LastNeighborLoader, nodes: Tensor) -> Tensor:
        n_id, edges, event = recent(nodes)
        memory, last_update = self.memory(n_id)
        z = self.attention(memory, last_update.double(), edges, self.past_t[event], self.past_message[event])
        return z[torch.searchsorted(n_id, nodes)]

    def _tell(self, edge_index: Tensor, t: Tensor, message: Tensor, sign: Tensor) -> None:
        raise NotImplementedError


class GRUSEMBA(_BatchNetwork):
    """The published network: gated units update the memories once a chunk, attention embeds, a linear map decides.

    A chunk is the paper's batch: all questions in it see the memories from before it, so that predictions depend on
    its size. Where the paper attends over all past events of a node, this attends over the latest ``neighbours``.

    Args:
        in_channels, out_channels, edge_channels, level: see :class:`EventNetwork`.
        channels: width of each memory and of the embedding, a multiple of ``heads``.
        time_channels: width of the time encoding.
        balance: whether events cross memories, see :class:`Balance`.
        released: update the memories as the authors' code does, see :class:`ReleasedGRUUpdater`.
        neighbours: events that a node attends over.
        heads: of attention.
        dropout: of attention weights.
        time_unit: in seconds, in which the time encoding takes time. Seconds, as published, go into cosines of random
            frequency, which makes noise of a difference of months; with days they are a signal.
        hidden: width of a perceptron that takes the place of the published linear map; none if 0.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, ...],
        out_channels: int,
        *,
        edge_channels: int | None = None,
        level: str = "edge",
        channels: int = 64,
        time_channels: int = 32,
        balance: bool = True,
        released: bool = False,
        neighbours: int = 10,
        heads: int = 8,
        dropout: float = 0.5,
        time_unit: float = 1.0,
        hidden: int = 0,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            edge_channels=edge_channels,
            level=level,
            neighbours=neighbours,
            time_unit=time_unit,
        )
        updater = "gru-released" if released else "gru"
        memory = SignedMemory(
            self.num_nodes, self.edge_channels, channels, time_channels, updater=updater, balance=balance
        )
        self.memory = memory
        self.attention = TemporalAttention(
            memory.out_channels,
            channels,
            self.edge_channels,
            memory.store.updater.time_enc,
            heads=heads,
            dropout=dropout,
        )
        self.decoder = _decoder(channels, out_channels, hidden)

    def _tell(self, edge_index: Tensor, t: Tensor, message: Tensor, sign: Tensor) -> None:
        self.memory.update_state(edge_index[0], edge_index[1], t, message, sign)


class TGN(_BatchNetwork):
    """Temporal graph network (Rossi et al. 2020) by PyG's memory: one memory a node, the sign a feature of the message.

    The same embedding and decoder as :class:`GRUSEMBA`, so that the difference is the memory.

    Args:
        in_channels, out_channels, edge_channels, level: see :class:`EventNetwork`.
        channels: width of memory and embedding, a multiple of ``heads``.
        time_channels: width of the time encoding.
        neighbours: events that a node attends over.
        heads: of attention.
        dropout: of attention weights.
        time_unit, hidden: see :class:`GRUSEMBA`.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, ...],
        out_channels: int,
        *,
        edge_channels: int | None = None,
        level: str = "edge",
        channels: int = 64,
        time_channels: int = 32,
        neighbours: int = 10,
        heads: int = 8,
        dropout: float = 0.5,
        time_unit: float = 1.0,
        hidden: int = 0,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            edge_channels=edge_channels,
            level=level,
            neighbours=neighbours,
            time_unit=time_unit,
        )
        raw = self.edge_channels + 1
        message = IdentityMessage(raw, channels, time_channels)
        self.memory = TGNMemory(self.num_nodes, raw, channels, time_channels, message, MeanMessages())
        self.attention = TemporalAttention(
            channels, channels, self.edge_channels, self.memory.time_enc, heads=heads, dropout=dropout
        )
        self.decoder = _decoder(channels, out_channels, hidden)

    def _tell(self, edge_index: Tensor, t: Tensor, message: Tensor, sign: Tensor) -> None:
        signed = torch.cat([message, sign[:, None].to(message)], dim=1)
        self.memory.update_state(edge_index[0], edge_index[1], t.long(), signed)


def _decoder(in_channels: int, out_channels: int, hidden: int) -> nn.Module:
    if hidden:
        return PairDecoder(in_channels, out_channels, hidden=(hidden,))
    return LinearDecoder(in_channels, out_channels)


def _check_order(t: Tensor, latest: float) -> None:
    if len(t) and not float(t[0]) > latest:
        raise ValueError(
            f"chunks must come in order of time (data.shuffle=false): t must be after {latest}, got {float(t[0])}"
        )
