"""pLSTM on sequences: a whole model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from graphseq.nn import GraphModel
from graphseq.plstm.block import PLSTMBlock, make_gates, plan
from graphseq.plstm.layer import PLSTM
from graphseq.plstm.sequence_gates import SequenceDiffusion, SequencePropagation
from graphseq.scan import Ragged

_KINDS = {"P": SequencePropagation, "D": SequenceDiffusion}


class PLSTMSequence(GraphModel):
    """pLSTM over the nodes of each graph as a sequence, in the order of their numbers; edges are not read.

    Args:
        in_channels: number of real features of a token; for integer features, the categories of each column.
        out_channels: number of outputs.
        edge_channels: as ``in_channels``, for edges, which are not read.
        channels: width, a multiple of ``heads``.
        layers: depth; each layer has a block for each mode.
        heads: number of heads.
        modes: the modes of a layer's blocks, ``"P"``, ``"D"``, or ``"P+D"`` with some heads each.
        bidirectional: every second layer runs from the last token to the first.
        conv_size: taps of the causal convolutions.
        dropout: in the blocks and the head.
        skeleton: ``level``, ``positional``, ``pool``, ``head_layers`` and the rest of the arguments of
            :class:`~graphseq.nn.GraphModel`.

    Example:
        >>> model = PLSTMSequence(3, 2, channels=8, heads=2, layers=1, level="node")
        >>> model(torch.randn(5, 3), torch.empty(2, 0, dtype=torch.long), torch.tensor([0, 0, 1, 1, 1])).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        *,
        edge_channels: int | Sequence[int] | None = None,
        channels: int = 64,
        layers: int = 1,
        heads: int = 2,
        modes: Sequence[str] = ("P", "D"),
        bidirectional: bool = False,
        conv_size: int = 4,
        dropout: float = 0.0,
        **skeleton: Any,
    ) -> None:
        blocks = [
            SequenceBlock(
                PLSTMBlock(
                    channels,
                    PLSTM(channels, heads, make_gates(mode, _KINDS, channels, heads), conv_size=conv_size),
                    dropout=dropout,
                ),
                reverse=reverse,
            )
            for mode, reverse in plan(modes, layers, bidirectional)
        ]
        super().__init__(
            in_channels,
            out_channels,
            blocks,
            edge_channels=edge_channels,
            channels=channels,
            dropout=dropout,
            **skeleton,
        )


class SequenceBlock(nn.Module):
    """A block on the nodes of each graph in their order.

    Args:
        block: called as ``block(x, segments)``.
        reverse: run from the last node to the first.
    """

    reads_edges = False

    def __init__(self, block: nn.Module, *, reverse: bool = False) -> None:
        super().__init__()
        self.block, self.reverse = block, reverse

    def forward(
        self, x: Tensor, edge_index: Tensor, segments: Ragged, edge_attr: Tensor, **structure: Any
    ) -> tuple[Tensor, Tensor]:
        return self.block(x, segments.reverse() if self.reverse else segments), edge_attr
