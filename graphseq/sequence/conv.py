"""Causal depthwise convolution that stops at segment bounds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.scan import Ragged


class CausalConv(nn.Conv1d):
    """Depthwise convolution over the past of each segment, with the parameters of :class:`torch.nn.Conv1d`.

    Args:
        channels: number of channels.
        width: taps.
        bias: whether there is one.
    """

    def __init__(self, channels: int, width: int, *, bias: bool = True) -> None:
        super().__init__(channels, channels, width, groups=channels, bias=bias)

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
            return causal_conv(x, weight, self.bias, topology), None
        longer, values = with_past(x, topology, past)
        y = causal_conv(values, weight, self.bias, longer.topology)[longer.tokens]
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
    key = ("with past", past.shape[2])
    if key not in topology.cache:
        bounds = topology.ptr + past.shape[2] * torch.arange(topology.num_segments + 1, device=topology.device)
        taps = torch.arange(past.shape[2], device=topology.device)
        topology.cache[key] = WithPast(
            Ragged(bounds),
            bounds[:-1][topology.segment] + past.shape[2] + topology.position,
            bounds[:-1, None] + taps,
            bounds[1:, None] - past.shape[2] + taps,
        )
    longer = topology.cache[key]
    values = x.new_empty(longer.topology.num_states, x.shape[1])
    values = values.index_copy(0, longer.past.flatten(), past.to(x.dtype).transpose(1, 2).flatten(0, 1))
    return longer, values.index_copy(0, longer.tokens, x)


def causal_conv(
    x: Float[Tensor, "T d"],
    weight: Float[Tensor, "d width"],
    bias: Float[Tensor, " d"] | None,
    topology: Ragged,
) -> Float[Tensor, "T d"]:
    r"""Depthwise convolution over the past of each segment, in scan direction.

    .. math::
        y_t = b + \sum_{j=0}^{k-1} w_{k-1-j} \odot x_{t-j}

    where :math:`x` before a segment's start is zero: nothing crosses from one segment into the next.

    Args:
        x: packed input.
        weight: taps; the last one multiplies the current entry, as in :class:`torch.nn.Conv1d`.
        bias: added to every entry.
        topology: the segments; with ``topology.reverse()`` the past is what lies after an entry.
    """
    width = weight.shape[1]
    y = x * weight[:, -1] if bias is None else torch.addcmul(bias, x, weight[:, -1])
    for back, outside in enumerate(_outside(topology, width), start=1):
        shifted = x.roll(-back if topology.reversed else back, 0).masked_fill(outside, 0)
        y = torch.addcmul(y, shifted, weight[:, width - 1 - back])
    return y


def _outside(topology: Ragged, width: int) -> list[Tensor]:
    """For each tap into the past: which entries have none there, ``[T, 1]``."""
    key = ("outside", width)
    if key not in topology.cache:
        topology.cache[key] = [(topology.position < back)[:, None] for back in range(1, width)]
    return topology.cache[key]
