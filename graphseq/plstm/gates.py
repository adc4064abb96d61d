"""What gates of all topologies share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn.inits import reset


class Gates(NamedTuple):
    """The gates of :func:`~graphseq.plstm.plstm_scan`, heads last."""

    source: Tensor
    transition: Tensor
    mark: Tensor
    direct: Tensor


class GateMap(nn.Linear):
    """A linear map that starts as a constant: weights 0, one bias.

    Args:
        channels: width of the input.
        gates: number of outputs.
        start: the bias.
    """

    def __init__(self, channels: int, gates: int, start: float = 0.0) -> None:
        self.start = start
        super().__init__(channels, gates)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, self.start)


class HeadMix(nn.Module):
    """Several kinds of gates side by side, each for heads of its own.

    Args:
        parts: modules that make :class:`Gates` from the same arguments.
    """

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def reset_parameters(self) -> None:
        for part in self.parts:
            reset(part)

    def forward(self, *arguments: Any, **keywords: Any) -> Gates:
        parts = [part(*arguments, **keywords) for part in self.parts]
        return Gates(*(torch.cat(gates, -1) for gates in zip(*parts, strict=True)))
