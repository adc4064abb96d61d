"""What the layers with a matrix state share: projections, short convolution, heads, and what becomes of the output."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from graphseq.scan import Ragged
from graphseq.sequence.conv import CausalConv
from graphseq.sequence.layer import State, StreamingLayer, positive


class MatrixState(NamedTuple):
    """What a stream carries from token to token, one row a stream."""

    conv: Float[Tensor, "streams projected past"]
    memory: State


class MatrixMemory(StreamingLayer):
    r"""A layer whose heads write values under keys and read them by queries; subclasses say how, in :meth:`remember`.

    .. math::
        [q, k, v] &= \operatorname{silu}(\operatorname{conv}(W x)), \qquad o = \operatorname{remember}(q, k, v; x) \\
        y &= W_{out} \bigl(\operatorname{RMSNorm}(o) \odot \operatorname{silu}(W_g x)\bigr)

    with a norm for each head. All these layers have the same projections and differ in their memory alone, so that a
    comparison is one of memories; where a paper's own block has others, its layer says so.

    Args:
        channels: width of input and output.
        heads: number of memories.
        key_size: rows of a head's state; ``channels / heads``, rounded down, if not given.
        value_size: columns of a head's state; as ``key_size`` if not given.
        steps: keys and values a token.
        conv_size: taps of the causal convolution.
        output_gate: whether :math:`\operatorname{silu}(W_g x)` gates the output.
        norm_eps: of the norm.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int = 4,
        key_size: int | None = None,
        value_size: int | None = None,
        steps: int = 1,
        conv_size: int = 4,
        output_gate: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__(channels)
        positive(heads=heads, steps=steps, conv_size=conv_size)
        self.heads, self.steps, self.conv_size = heads, steps, conv_size
        self.key_size = channels // heads if key_size is None else key_size
        self.value_size = self.key_size if value_size is None else value_size
        positive(key_size=self.key_size, value_size=self.value_size)
        self.projected = [heads * size for size in (self.key_size, steps * self.key_size, steps * self.value_size)]
        self.in_proj = nn.Linear(channels, sum(self.projected), bias=False)
        self.conv1d = CausalConv(sum(self.projected), conv_size, bias=False, silu=True)
        self.gate_proj = nn.Linear(channels, heads * self.value_size, bias=False) if output_gate else None
        self.norm = nn.RMSNorm(self.value_size, eps=norm_eps)
        self.out_proj = nn.Linear(heads * self.value_size, channels, bias=False)

    def reset_parameters(self) -> None:
        for layer in (self.in_proj, self.conv1d, self.gate_proj, self.norm, self.out_proj):
            if layer is not None:
                layer.reset_parameters()

    def run(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: MatrixState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], MatrixState | None]:
        """The equations above, each segment causally."""
        conv, memory = (None, None) if state is None else state
        qkv, conv = self.conv1d(self.in_proj(x), topology, conv)
        o, memory = self.remember(x, *self.heads_of(qkv), topology, memory)
        o = self.norm(o).flatten(1)
        o = o if self.gate_proj is None else o * silu(self.gate_proj(x))
        return self.out_proj(o), None if conv is None else MatrixState(conv, memory)

    def heads_of(
        self, qkv: Float[Tensor, "tokens projected"]
    ) -> tuple[
        Float[Tensor, "tokens heads dk"], Float[Tensor, "tokens heads steps dk"], Float[Tensor, "tokens heads steps dv"]
    ]:
        """Queries, keys and values, of what the convolution gives."""
        q, k, v = qkv.split(self.projected, dim=-1)
        return (
            q.unflatten(-1, (self.heads, self.key_size)),
            k.unflatten(-1, (self.heads, self.steps, self.key_size)),
            v.unflatten(-1, (self.heads, self.steps, self.value_size)),
        )

    def remember(
        self,
        x: Float[Tensor, "tokens channels"],
        q: Float[Tensor, "tokens heads dk"],
        k: Float[Tensor, "tokens heads steps dk"],
        v: Float[Tensor, "tokens heads steps dv"],
        topology: Ragged,
        memory: State,
    ) -> tuple[Float[Tensor, "tokens heads dv"], State]:
        """Write and read, token by token; gates come from ``x``."""
        raise NotImplementedError

    def initial_memory(self, streams: int) -> State:
        """The memory before the first token of each stream."""
        return self.out_proj.weight.new_zeros(streams, self.heads, self.key_size, self.value_size)

    def initial_state(self, streams: int) -> MatrixState:
        """The state before the first token of each stream."""
        return MatrixState(self.conv1d.no_past(streams), self.initial_memory(streams))

    def sizes(self) -> dict[str, Any]:
        return {"heads": self.heads, "key_size": self.key_size, "value_size": self.value_size}


def unit(x: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows size"]:
    """Vectors of length one; those shorter than 1e-6 are only divided by it."""
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1e-6)
