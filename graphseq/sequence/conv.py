"""Causal depthwise convolution that stops at segment bounds."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.scan import Ragged


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
