"""Causal softmax attention, as a member of the family."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from graphseq.scan import Ragged
from graphseq.sequence.layer import State, StreamingLayer, positive
from graphseq.sequence.padding import pad, unpad


class AttentionState(NamedTuple):
    """Keys and values so far, one row a stream; ``length`` says how many of them count."""

    keys: Float[Tensor, "streams heads past size"]
    values: Float[Tensor, "streams heads past size"]
    length: Int[Tensor, " streams"]


class Attention(StreamingLayer):
    r"""Multi-head causal softmax attention (Vaswani et al. 2017) with rotary positions (Su et al. 2021).

    .. math::
        o_t = \sum_{s \le t} \operatorname{softmax}_s \bigl( (R_t q_t)^\top (R_s k_s) / \sqrt d \bigr) \, v_s

    where :math:`R_t` turns each pair of channels by an angle that grows with the place. It is here so that models with
    a state of fixed size can be compared with one whose state grows: a step costs as much as there are tokens before
    it.

    Args:
        channels: width of input and output.
        heads: number of heads; must divide ``channels`` into even sizes.
        base: of the rotary frequencies.

    Raises:
        ValueError: if ``channels / heads`` is no even number.

    Example:
        >>> Attention(8, heads=2)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])

    Cost: segments are padded to the longest. Pairs of tokens are held, as a mask, only where several tokens at once go
    on from a state that is not empty.
    """

    def __init__(self, channels: int, *, heads: int = 4, base: float = 10_000.0) -> None:
        super().__init__(channels)
        positive(heads=heads)
        if channels % (2 * heads):
            raise ValueError(f"heads must divide channels = {channels} into even sizes, got {heads}")
        self.heads, self.size, self.base = heads, channels // heads, base
        self.in_proj = nn.Linear(channels, 3 * channels, bias=False)
        self.out_proj = nn.Linear(channels, channels, bias=False)

    def reset_parameters(self) -> None:
        self.in_proj.reset_parameters()
        self.out_proj.reset_parameters()

    def run(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: AttentionState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], AttentionState | None]:
        """The equation above."""
        if topology.num_states == 0:
            return x, state
        place = topology.position if state is None else topology.position + state.length[topology.segment]
        q, k, v = self.heads_of(x, place)
        query, keys, values = (pad(part, topology).transpose(1, 2) for part in (q, k, v))
        before = torch.zeros_like(topology.lengths) if state is None else state.length
        if state is not None:
            keys, values = (_appended(old, new, topology, before) for old, new in ((state.keys, k), (state.values, v)))
        if state is None or not bool(before.any()):
            # Padding comes after all that counts, so that causality hides it too.
            o = scaled_dot_product_attention(query, keys, values, is_causal=True)
        else:
            o = scaled_dot_product_attention(query, keys, values, attn_mask=_seen(query, keys, before))
        y = self.out_proj(unpad(o.transpose(1, 2), topology).flatten(1))
        return y, None if state is None else AttentionState(keys, values, before + topology.lengths)

    def heads_of(
        self, x: Float[Tensor, "tokens channels"], place: Int[Tensor, " tokens"]
    ) -> tuple[Float[Tensor, "tokens heads d"], Float[Tensor, "tokens heads d"], Float[Tensor, "tokens heads d"]]:
        """Queries and keys, turned, and values."""
        q, k, v = self.in_proj(x).unflatten(-1, (3, self.heads, self.size)).unbind(1)
        return self._turned(q, place), self._turned(k, place), v

    def _turned(self, x: Float[Tensor, "tokens heads size"], place: Int[Tensor, " tokens"]) -> Tensor:
        frequency = self.base ** (-torch.arange(0, self.size, 2, device=x.device, dtype=torch.float64) / self.size)
        angle = place[:, None, None] * frequency
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)

    def initial_state(self, streams: int) -> AttentionState:
        """The state before the first token of each stream."""
        weight = self.in_proj.weight
        none = weight.new_zeros(streams, self.heads, 0, self.size)
        return AttentionState(none, none, torch.zeros(streams, dtype=torch.int64, device=weight.device))

    def restart(self, state: AttentionState, done: Bool[Tensor, " streams"]) -> State:
        """What a finished stream has seen no longer counts."""
        # Cleared as well, since a weight of zero does not hide a value that is not finite.
        keys, values = (part.masked_fill(done[:, None, None, None], 0) for part in (state.keys, state.values))
        return AttentionState(keys, values, state.length.masked_fill(done, 0))

    def sizes(self) -> dict[str, Any]:
        return {"heads": self.heads}


def _seen(query: Tensor, keys: Tensor, before: Int[Tensor, " streams"]) -> Bool[Tensor, "streams 1 query keys"]:
    """Which keys each query sees; one that is padding, whose row is dropped, sees what is there too."""
    place = before[:, None] + torch.arange(query.shape[2], device=query.device)
    return (torch.arange(keys.shape[2], device=query.device) <= place[..., None])[:, None]


def _appended(old: Tensor, new: Tensor, topology: Ragged, length: Tensor) -> Tensor:
    """The cache with the new tokens after those that count in each stream, as long as the longest needs."""
    size = int((length + topology.lengths).max())
    kept = old[:, :, :size]
    grown = torch.cat([kept, kept.new_zeros(*kept.shape[:2], size - kept.shape[2], kept.shape[3])], 2).transpose(1, 2)
    place = topology.position + length[topology.segment]
    return grown.index_put((topology.segment, place), new.to(grown.dtype)).transpose(1, 2)
