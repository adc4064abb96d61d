"""What the time-invariant layers share: a filter of the tokens, then a nonlinearity that mixes channels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from graphseq.scan import Ragged
from graphseq.sequence.layer import State, StreamingLayer
from graphseq.sequence.padding import pad, unpad


class FilterState(NamedTuple):
    """What a time-invariant layer carries from token to token, one row a stream."""

    values: Inexact[Tensor, "streams *modes"]


class FilterLayer(StreamingLayer):
    r"""A linear time-invariant filter; subclasses say which, in :meth:`filter`.

    .. math::
        y = \operatorname{GLU}\bigl(W \operatorname{dropout}(\operatorname{GELU}(\operatorname{filter}(x) + D x))\bigr)

    the layer of S4 (Gu et al. 2022). Parameters that set time scales are marked ``_no_weight_decay``.

    Args:
        channels: width of input and output.
        dropout: before the channels are mixed.
    """

    def __init__(self, channels: int, *, dropout: float = 0.0) -> None:
        super().__init__(channels)
        self.D = nn.Parameter(torch.empty(channels))
        self.output = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(channels, 2 * channels), nn.GLU())

    def reset_parameters(self) -> None:
        nn.init.normal_(self.D)
        self.output[2].reset_parameters()  # type: ignore[operator]

    def run(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: State = None
    ) -> tuple[Float[Tensor, "tokens channels"], State]:
        """The equation above."""
        filtered, state = self.filter(x, topology, state)
        return self.output(torch.addcmul(filtered, self.D, x)), state

    def filter(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: State = None
    ) -> tuple[Float[Tensor, "tokens channels"], State]:
        """The linear part, without skip; arguments and results are those of :meth:`run`."""
        raise NotImplementedError


def fft_conv(
    kernel: Float[Tensor, "channels taps"], x: Float[Tensor, "tokens channels"], topology: Ragged
) -> Float[Tensor, "tokens channels"]:
    r"""Causal convolution of each channel with a kernel of its own, :math:`y_t = \sum_{l \ge 0} K_l x_{t-l}`.

    Args:
        kernel: first the tap of the current token; those beyond the longest segment are not used.
        x: packed input.
        topology: the segments, in whose scan direction the past lies.

    Cost: two fast Fourier transforms of the segments side by side, padded to twice the longest.
    """
    if topology.num_states == 0:
        return x
    dense = pad(x, topology)
    length = dense.shape[1]
    taps = kernel[:, :length]
    size = length + taps.shape[1]
    spectrum = torch.fft.rfft(dense, n=size, dim=1) * torch.fft.rfft(taps.t(), n=size, dim=0)
    return unpad(torch.fft.irfft(spectrum, n=size, dim=1), topology)


def longest(topology: Ragged) -> int:
    """Length of the longest segment."""
    return topology.longest
