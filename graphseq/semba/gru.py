"""The published updater: two gated recurrent units over the messages of a batch (Sharma et al. 2023, "SEMBA")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn.models.tgn import MeanAggregator, TimeEncoder

from graphseq.semba.rules import Balance, SignRule


class HalfEvents(NamedTuple):
    """Events from one end each, with what the peer's memories were."""

    owner: Int[Tensor, " halves"]
    peer_memory: Float[Tensor, "halves 2 channels"]
    sign: Int[Tensor, " halves"]
    t: Float[Tensor, " halves"]
    raw_msg: Float[Tensor, "halves raw"]

    def select(self, rows: Tensor, owner: Tensor) -> HalfEvents:
        """Some rows, with other numbers for their owners."""
        return HalfEvents(owner, *(value[rows] for value in self[1:]))


class LastAggregator(nn.Module):
    """Of each node, the message of the greatest time; of several, the one that comes last."""

    def forward(
        self,
        msg: Float[Tensor, "rows channels"],
        index: Int[Tensor, " rows"],
        t: Float[Tensor, " rows"],
        dim_size: int,
    ) -> Float[Tensor, "nodes channels"]:
        order = t.argsort(stable=True)
        place = torch.full((dim_size,), -1, device=index.device)
        place = place.scatter_reduce(0, index[order], torch.arange(len(order), device=index.device), "amax")
        out = msg.new_zeros(dim_size, msg.shape[1])
        found = place >= 0
        return out.index_put((found.nonzero().squeeze(1),), msg[order[place[found]]])


class GRUUpdater(nn.Module):
    r"""One step of the friend memory :math:`P` and the foe memory :math:`Q` over the events of a batch.

    With owner :math:`i`, peer :math:`j`, strength :math:`w` and :math:`\phi` of the time since the owner's last event
    of the same sign, a positive event sends :math:`[P_i, P_j, w, \phi]` to :math:`P_i` and :math:`[Q_i, Q_j, w,
    \phi]` to :math:`Q_i`, a negative one :math:`[P_i, Q_j, w, \phi]` and :math:`[Q_i, P_j, w, \phi]`; then

    .. math::
        P_i \leftarrow \operatorname{GRU}_p(\operatorname{mean}, P_i), \qquad
        Q_i \leftarrow \operatorname{GRU}_q(\operatorname{mean}, Q_i).

    All messages of a batch read the memories from before it, and a memory without a message stays as it is.

    Args:
        raw_msg_dim: width of :math:`w`.
        memory_dim: width of each memory.
        time_dim: width of :math:`\phi`.
        rule: how signs act.
        aggregator: of the messages of a batch, called like PyG's; their mean if not given.
    """

    def __init__(
        self,
        raw_msg_dim: int,
        memory_dim: int,
        time_dim: int,
        *,
        rule: SignRule | None = None,
        aggregator: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.rule = rule or Balance()
        self.aggregator = aggregator or MeanAggregator()
        self.time_enc = TimeEncoder(time_dim)
        message_dim = 2 * memory_dim + raw_msg_dim + time_dim
        self.gru_pos = nn.GRUCell(message_dim, memory_dim)
        self.gru_neg = nn.GRUCell(message_dim, memory_dim)

    def reset_parameters(self) -> None:
        for layer in (self.time_enc, self.gru_pos, self.gru_neg):
            layer.reset_parameters()

    def messages(
        self, memory: Float[Tensor, "nodes 2 channels"], last: Float[Tensor, "nodes 2"], half: HalfEvents
    ) -> Float[Tensor, "halves 2 message"]:
        """What each half-event sends to its owner's friend and foe memory."""
        since = half.t - last[half.owner, _channel(half.sign)]
        features = torch.cat([half.raw_msg, self.time_enc(since.to(memory.dtype))], dim=1)
        read = self.rule.reads(half.peer_memory, half.sign)
        return torch.cat([memory[half.owner], read, features[:, None].expand(-1, 2, -1)], dim=-1)

    def forward(
        self, memory: Float[Tensor, "nodes 2 channels"], last: Float[Tensor, "nodes 2"], half: HalfEvents
    ) -> tuple[Float[Tensor, "nodes 2 channels"], Float[Tensor, "nodes 2"]]:
        """Memories and times of the last positive and negative event after the batch."""
        messages = self.messages(memory, last, half)
        reached = self.rule.receives(half.sign) > 0
        units = (self.gru_pos, self.gru_neg)
        updated = [
            self._updated(unit, memory[:, channel], messages[:, channel], half, reached[:, channel])
            for channel, unit in enumerate(units)
        ]
        return torch.stack(updated, dim=1), _latest(last, half)

    def _updated(self, unit: nn.GRUCell, memory: Tensor, messages: Tensor, half: HalfEvents, rows: Tensor) -> Tensor:
        owner = half.owner[rows]
        aggregated = self.aggregator(messages[rows], owner, half.t[rows], len(memory))
        touched = torch.zeros(len(memory), dtype=torch.bool, device=owner.device).index_fill(0, owner, True)
        return torch.where(touched[:, None], unit(aggregated, memory), memory)


class ReleasedGRUUpdater(GRUUpdater):
    r"""What the authors' released code does in place of the published rule; for comparisons only.

    The foe memory ignores positive events: a negative event sends :math:`[Q_i, Q_j, w, \phi]` and, if the owner has
    also a positive event in the batch, a second message :math:`[Q_i, P_j, w, \phi']` with the time since the last
    positive event. Messages carry no gradient, both units run for every node of the batch, with a zero message where
    there is none, and times of last events are overwritten. Arguments as in :class:`GRUUpdater`.
    """

    def forward(
        self, memory: Float[Tensor, "nodes 2 channels"], last: Float[Tensor, "nodes 2"], half: HalfEvents
    ) -> tuple[Float[Tensor, "nodes 2 channels"], Float[Tensor, "nodes 2"]]:
        size = len(memory)
        negative = half.sign < 0
        has_positive, has_negative = (
            torch.zeros(size, dtype=torch.bool, device=half.owner.device).index_fill(0, half.owner[rows], True)
            for rows in (~negative, negative)
        )
        to_friends = self.messages(memory, last, half)[:, 0].detach()
        twice = negative & has_positive[half.owner]
        rows = torch.cat([negative.nonzero().squeeze(1), twice.nonzero().squeeze(1)])
        as_positive = torch.arange(len(rows), device=rows.device) >= negative.sum()
        foes = half.select(rows, half.owner[rows])
        since = foes.t - last[foes.owner, torch.where(as_positive, 0, 1)]
        peer = torch.where(as_positive[:, None], foes.peer_memory[:, 0], foes.peer_memory[:, 1])
        to_foes = torch.cat(
            [memory[foes.owner, 1], peer, foes.raw_msg, self.time_enc(since.to(memory.dtype))], dim=1
        ).detach()
        friend = self.gru_pos(self.aggregator(to_friends, half.owner, half.t, size), memory[:, 0])
        foe = self.gru_neg(self.aggregator(to_foes, foes.owner, foes.t, size), memory[:, 1])
        in_batch = (has_positive | has_negative)[:, None, None]
        updated = torch.where(in_batch, torch.stack([friend, foe], dim=1), memory)
        never = torch.full((size,), -torch.inf, dtype=last.dtype, device=last.device)
        newest = torch.stack(
            [never.scatter_reduce(0, owner, t, "amax") for owner, t in ((half.owner, half.t), (foes.owner, foes.t))],
            dim=1,
        )
        return updated, torch.where(torch.stack([has_positive, has_negative], dim=1), newest, last)


def _channel(sign: Tensor) -> Tensor:
    """0 for the friend memory, 1 for the foe memory."""
    return (sign < 0).long()


def _latest(last: Tensor, half: HalfEvents) -> Tensor:
    place = 2 * half.owner + _channel(half.sign)
    return last.flatten().scatter_reduce(0, place, half.t, "amax").view_as(last)
