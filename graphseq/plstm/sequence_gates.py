"""The gates on sequences, where one edge leads from token to token."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.plstm.gates import GateMap, Gates


class _SequenceGates(nn.Module):
    """Source, mark and direct; subclasses say what becomes of the transition's logit ``z``, which starts at 1."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.source, self.mark = GateMap(channels, heads, -4.0), GateMap(channels, heads, -4.0)
        self.direct, self.transition = GateMap(channels, heads, -6.0), GateMap(channels, heads, 1.0)

    def reset_parameters(self) -> None:
        for gate in (self.source, self.mark, self.direct, self.transition):
            gate.reset_parameters()

    def forward(self, x: Float[Tensor, "tokens channels"]) -> Gates:
        source, mark, direct = (torch.sigmoid(gate(x)) for gate in (self.source, self.mark, self.direct))
        return Gates(source, self.squashed(self.transition(x)), mark, direct)

    @staticmethod
    def squashed(z: Tensor) -> Tensor:
        raise NotImplementedError


class SequencePropagation(_SequenceGates):
    r"""Transitions in :math:`[0, 1]`, :math:`T = \sigma(10 z)`: what enters stays, or fades.

    Args:
        channels: width of the input.
        heads: number of heads.
    """

    @staticmethod
    def squashed(z: Tensor) -> Tensor:
        return torch.sigmoid(10 * z)


class SequenceDiffusion(_SequenceGates):
    r"""Transitions in :math:`[-1, 1]`, :math:`T = \tanh(5 z)`: a state can change its sign, and count parity.

    Args:
        channels: width of the input.
        heads: number of heads.
    """

    @staticmethod
    def squashed(z: Tensor) -> Tensor:
        return torch.tanh(5 * z)
