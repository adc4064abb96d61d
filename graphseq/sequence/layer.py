"""What the sequence layers share: packed and dense input, and the initial step sizes of state space models."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.scan import Ragged


class SequenceLayer(nn.Module):
    """A layer that mixes the tokens of each segment; subclasses write :meth:`mix`.

    Args:
        channels: width of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        self.channels = channels

    def forward(
        self, x: Float[Tensor, "*batch tokens channels"], topology: Ragged | None = None
    ) -> Float[Tensor, "*batch tokens channels"]:
        """Mix each segment, in the scan direction of ``topology``.

        Args:
            x: packed ``[T, channels]`` with a ``topology``, or dense ``[B, L, channels]`` without.
            topology: the segments of packed input.

        Raises:
            ValueError: if the shape of ``x`` fits neither form.
        """
        if x.dim() != (2 if topology is not None else 3) or x.shape[-1] != self.channels:
            form = f"[T, {self.channels}] with" if topology is not None else f"[B, L, {self.channels}] without"
            raise ValueError(f"x must have shape {form} a topology, got {list(x.shape)}")
        if topology is not None:
            return self.mix(x, topology)
        return self.mix(x.flatten(0, 1), Ragged.equal(x.shape[0], x.shape[1], x.device)).view(x.shape)

    def mix(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        """What the layer does to packed segments."""
        raise NotImplementedError


def set_step_bias(bias: Tensor, smallest: float, largest: float) -> None:
    """Fill with the inverse softplus of log-uniform step sizes, none below 1e-4 (Gu & Dao 2023).

    Raises:
        ValueError: if not 0 < ``smallest`` <= ``largest``.
    """
    if not 0 < smallest <= largest:
        raise ValueError(f"dt_min and dt_max must satisfy 0 < dt_min <= dt_max, got {smallest} and {largest}")
    with torch.no_grad():
        low, high = math.log(smallest), math.log(largest)
        step = torch.exp(torch.rand_like(bias) * (high - low) + low).clamp(min=1e-4)
        bias.copy_(step + torch.log(-torch.expm1(-step)))
