"""pLSTM on graphs: a whole model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.utils import degree

from graphseq.nn import GraphBlock, GraphModel
from graphseq.plstm.block import PLSTMBlock, make_gates, plan
from graphseq.plstm.graph_gates import (
    GraphDiffusion,
    GraphPropagation,
    GraphPropagationIn,
    ReleasedGraphDiffusion,
    ReleasedGraphPropagation,
)
from graphseq.plstm.layer import PLSTMConv
from graphseq.scan import DagOrder, LineGraph, Ragged

_KINDS = {
    "P": GraphPropagation,
    "P-in": GraphPropagationIn,
    "D": GraphDiffusion,
    "P-released": ReleasedGraphPropagation,
    "D-released": ReleasedGraphDiffusion,
}
_ORDER = tuple(f"line_graph_{name}" for name in DagOrder._fields)


class PLSTMGraph(GraphModel):
    """pLSTM on directed acyclic graphs, any number of them in one scan.

    Data come through :class:`~graphseq.data.OrientEdges`, if they are undirected, and :class:`AddMultitree`. The result
    depends on the order of the nodes by which edges were oriented, which the paper does not discuss.

    Published are ``positive_scores=False``, ``gate_start=-5.0`` and ``norm="rms_norm"``, with which it learns slowly on
    molecules: through nearly closed gates a node hears of another 150 times more softly than of itself, and the norm of
    a head's output keeps little but the signs of its scores.

    Args:
        in_channels: number of real node features; for integer features, the categories of each column.
        out_channels: number of outputs.
        edge_channels: as ``in_channels``, for edges; ``None`` without edge features, when the vector of an edge is that
            of its two ends, averaged.
        channels: width.
        layers: depth; each layer has a block for each mode, and every second layer runs against the edges.
        heads: number of heads, each as wide as ``channels / heads``, rounded.
        modes: the modes of a layer's blocks: ``"P"``, ``"P-in"``, ``"D"``, ``"P-released"``, ``"D-released"``, or
            several joined by ``+`` with some heads each.
        both_ways: whether every second layer runs against the edges.
        degrees: whether a sinusoidal encoding of its degree is added to each node.
        positive_scores: whether queries and keys are made positive first, see :class:`~graphseq.plstm.PLSTMConv`.
        gate_start: initial logit of source, mark and direct.
        norm: before the layer and the feed-forward part, as in :func:`~graphseq.nn.node_norm`.
        dropout: in the blocks and the head.
        skeleton: ``level``, ``positional``, ``pool``, ``head_layers`` and the rest of the arguments of
            :class:`~graphseq.nn.GraphModel`.

    :meth:`forward` takes the keys that :class:`AddMultitree` stores, or ready ``lines`` and ``multitree``.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = AddMultitree()(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3))
        >>> model = PLSTMGraph(4, 2, channels=8, heads=2, layers=1)
        >>> x = torch.randn(3, 4)
        >>> model(x, data.edge_index, lines=data.line_graph(), multitree=data.multitree).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        *,
        edge_channels: int | Sequence[int] | None = None,
        channels: int = 96,
        layers: int = 2,
        heads: int = 8,
        modes: Sequence[str] = ("P", "D"),
        both_ways: bool = True,
        degrees: bool = True,
        positive_scores: bool = True,
        gate_start: float = 0.0,
        norm: str = "batch_norm",
        dropout: float = 0.0,
        **skeleton: Any,
    ) -> None:
        blocks: list[nn.Module] = [EndsAsEdges()] if edge_channels is None else []
        if degrees:
            blocks.insert(0, DegreeEncoding(channels))
        kinds = {name: partial(kind, start=gate_start) for name, kind in _KINDS.items()}
        for mode, reverse in plan(modes, layers, both_ways):
            gates = make_gates(mode, kinds, channels, heads)
            layer = PLSTMConv(channels, heads, gates, reverse=reverse, positive_scores=positive_scores)
            blocks.append(LineGraphBlock(PLSTMBlock(channels, layer, dropout=dropout, norm=norm)))
        super().__init__(
            in_channels,
            out_channels,
            blocks,
            edge_channels=edge_channels,
            channels=channels,
            dropout=dropout,
            **skeleton,
        )


class LineGraphBlock(GraphBlock):
    """A block on nodes that reads the line graph, and leaves edges as they are.

    Args:
        block: called as ``block(x, edge_attr, lines, multitree, segments)``.
    """

    needs = ("line_graph_index", *_ORDER, "multitree")

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def prepare(self, structure: dict[str, Any], x: Tensor, edge_index: Tensor) -> dict[str, Any]:
        """The line graph of the batch, from what the transform stored."""
        if x.shape[0] == 0:
            raise ValueError("x must hold at least one node, got none")
        rest = {key: value for key, value in structure.items() if key not in ("line_graph_index", *_ORDER)}
        if "lines" in rest:
            if not isinstance(rest["lines"], LineGraph):
                raise TypeError(f"lines must be a LineGraph, got a {type(rest['lines']).__name__}")
            return rest
        if structure.get("line_graph_index") is None:
            raise ValueError(
                "the line graph of the edges must be given: data must have passed through AddMultitree() or "
                "AddLineGraph(), after OrientEdges() if they are undirected"
            )
        order = DagOrder(*(structure.get(name) for name in _ORDER))  # type: ignore[arg-type]
        lines = LineGraph(edge_index, x.shape[0], link_index=structure["line_graph_index"], order=order)
        return {**rest, "lines": lines}

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        segments: Ragged,
        edge_attr: Tensor,
        *,
        lines: LineGraph,
        multitree: Tensor | None = None,
        **structure: Any,
    ) -> tuple[Tensor, Tensor]:
        return self.block(x, edge_attr, lines, multitree, segments), edge_attr


class EndsAsEdges(nn.Module):
    """The mean of its two ends as the vector of an edge."""

    def forward(
        self, x: Tensor, edge_index: Tensor, segments: Ragged, edge_attr: Tensor, **structure: Any
    ) -> tuple[Tensor, Tensor]:
        source, target = edge_index
        # What the skeleton learns for edges without features stays: the same vector for each.
        return x, edge_attr + (x[source] + x[target]) / 2


class DegreeEncoding(nn.Module):
    r"""Adds sines and cosines of each node's degree, of wavelengths from :math:`2 \pi` to :math:`10^4 \cdot 2 \pi`.

    Args:
        channels: width, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(
        self, x: Float[Tensor, "nodes channels"], edge_index: Tensor, segments: Ragged, edge_attr: Tensor, **_: Any
    ) -> tuple[Tensor, Tensor]:
        # At least single precision: half precision tells neither large degrees nor their angles apart.
        dtype = torch.promote_types(x.dtype, torch.float32)
        count = degree(edge_index.flatten(), x.shape[0], dtype=dtype)
        steps = torch.arange(0, self.channels, 2, dtype=dtype, device=x.device) / self.channels
        angle = count[:, None] * torch.pow(10_000.0, -steps)
        encoding = torch.stack([angle.sin(), angle.cos()], -1).flatten(1).to(x.dtype)
        return x + encoding[:, : self.channels], edge_attr
