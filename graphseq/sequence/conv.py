"""The causal convolution of a layer, on whole segments or on a stream."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.scan import Ragged, causal_conv
from graphseq.scan._structure import kept


class CausalConv(nn.Conv1d):
    """:func:`~graphseq.scan.causal_conv` with the parameters of :class:`torch.nn.Conv1d`.

    Args:
        channels: number of channels.
        width: taps.
        bias: whether there is one.
        silu: pass the result through SiLU.
    """

    def __init__(self, channels: int, width: int, *, bias: bool = True, silu: bool = False) -> None:
        super().__init__(channels, channels, width, groups=channels, bias=bias)
        self.silu = silu

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "T d"], topology: Ragged, past: Float[Tensor, "segments d past"] | None = None
    ) -> tuple[Float[Tensor, "T d"], Float[Tensor, "segments d past"] | None]:
        """Convolve; where the last ``width - 1`` inputs of each stream are given, go on from them and return the next.

        Args:
            x: packed input.
            topology: the segments.
            past: what came before each segment, zero without it.
        """
        weight = self.weight.squeeze(1)
        if past is None:
            return causal_conv(x, weight, self.bias, topology, silu=self.silu), None
        longer, values = with_past(x, topology, past)
        y = causal_conv(values, weight, self.bias, longer.topology, silu=self.silu)[longer.tokens]
        return y, values[longer.last].transpose(1, 2)

    def no_past(self, streams: int) -> Float[Tensor, "streams d past"]:
        """What lies before the first token."""
        return self.weight.new_zeros(streams, self.out_channels, self.kernel_size[0] - 1)


class WithPast(NamedTuple):
    """Segments that each lie behind their past, in scan direction."""

    topology: Ragged
    tokens: Tensor  # where each token lies, [T]
    past: Tensor  # where each segment's past lies, [segments, past]
    last: Tensor  # where the next past lies, [segments, past]


def with_past(
    x: Float[Tensor, "T d"], topology: Ragged, past: Float[Tensor, "segments d past"]
) -> tuple[WithPast, Float[Tensor, "longer d"]]:
    """What came before each segment laid before it, so that one convolution serves both."""
    longer = _longer(topology, past.shape[2])
    values = x.new_empty(longer.topology.num_states, x.shape[1])
    values = values.index_copy(0, longer.past.flatten(), past.to(x.dtype).transpose(1, 2).flatten(0, 1))
    return longer, values.index_copy(0, longer.tokens, x)


@kept
def _longer(topology: Ragged, size: int) -> WithPast:
    bounds = topology.ptr + size * torch.arange(topology.num_segments + 1, device=topology.device)
    taps = torch.arange(size, device=topology.device)
    return WithPast(
        Ragged(bounds),
        bounds[:-1][topology.segment] + size + topology.position,
        bounds[:-1, None] + taps,
        bounds[1:, None] - size + taps,
    )
