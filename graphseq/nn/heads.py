"""From node vectors to answers about nodes, graphs or pairs of nodes."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.utils import scatter

from graphseq.nn.check import check_pairs, check_rows, check_vectors
from graphseq.nn.reset import ResetsParts
from graphseq.scan import Ragged

Level = Literal["node", "graph", "edge"]
Pool = Literal["mean", "sum", "max"]


def make_head(level: Level, channels: int, out_channels: int, *, layers: int, dropout: float, pool: Pool) -> nn.Module:
    """The head for a level.

    Raises:
        ValueError: if there is no such level.
    """
    if level == "node":
        return NodeHead(channels, out_channels, layers=layers, dropout=dropout)
    if level == "graph":
        return GraphHead(channels, out_channels, layers=layers, dropout=dropout, pool=pool)
    if level == "edge":
        return EdgeHead(channels, out_channels, layers=layers, dropout=dropout)
    raise ValueError(f"level must be 'node', 'graph' or 'edge', got {level!r}")


def _mlp(in_channels: int, channels: int, out_channels: int, layers: int, dropout: float) -> MLP:
    sizes = [in_channels, *[channels] * (layers - 1), out_channels]
    return MLP(sizes, norm=None, dropout=[dropout] * (layers - 1) + [0.0])


class NodeHead(ResetsParts):
    """An MLP on every node."""

    def __init__(self, channels: int, out_channels: int, *, layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.mlp = _mlp(channels, channels, out_channels, layers, dropout)

    def forward(
        self, x: Float[Tensor, "nodes channels"], segments: Ragged, edge_label_index: Tensor | None = None
    ) -> Float[Tensor, "nodes out"]:
        """One row a node.

        Raises:
            ValueError: if ``x`` has another shape than ``segments`` and the width say, or is on another device.
            TypeError: if it has another dtype than the weights.
        """
        _check_nodes(x, segments, self.mlp)
        return self.mlp(x)


class GraphHead(ResetsParts):
    """Pool the nodes of each graph, then an MLP. A graph without nodes pools to zero."""

    def __init__(
        self, channels: int, out_channels: int, *, layers: int = 2, dropout: float = 0.0, pool: Pool = "mean"
    ) -> None:
        super().__init__()
        if pool not in ("mean", "sum", "max"):
            raise ValueError(f"pool must be 'mean', 'sum' or 'max', got {pool!r}")
        self.pool = pool
        self.mlp = _mlp(channels, channels, out_channels, layers, dropout)

    def forward(
        self, x: Float[Tensor, "nodes channels"], segments: Ragged, edge_label_index: Tensor | None = None
    ) -> Float[Tensor, "graphs out"]:
        """One row a graph.

        Raises:
            ValueError: if ``x`` has another shape than ``segments`` and the width say, or is on another device.
            TypeError: if it has another dtype than the weights.
        """
        _check_nodes(x, segments, self.mlp)
        # Not `segment`: PyTorch's reduction over segments has no second derivative and no forward mode.
        return self.mlp(scatter(x, segments.segment, dim_size=segments.num_segments, reduce=self.pool))


class EdgeHead(ResetsParts):
    r"""Score pairs of nodes: an MLP of :math:`x_u \odot x_v`, the same for both orders of the pair."""

    def __init__(self, channels: int, out_channels: int, *, layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.mlp = _mlp(channels, channels, out_channels, layers, dropout)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        segments: Ragged,
        edge_label_index: Int[Tensor, "2 pairs"] | None = None,
    ) -> Float[Tensor, "pairs out"]:
        """One row a pair.

        Raises:
            ValueError: if ``x`` has another shape than ``segments`` and the width say, ``edge_label_index`` is missing
                or not ``[2, pairs]``, or it names a node that is not there.
            TypeError: if ``x`` has another dtype than the weights, or ``edge_label_index`` is no integer tensor.
        """
        if edge_label_index is None:
            raise ValueError("edge_label_index must be given for a model of level 'edge', got None")
        _check_nodes(x, segments, self.mlp)
        # Bytes and truth values would select rows in place of naming them.
        check_pairs("edge_label_index", edge_label_index, x, dtypes=(torch.int64, torch.int32), read=True)
        u, v = edge_label_index
        return self.mlp(torch.mul(x[u], x[v]))


def _check_nodes(x: Tensor, segments: Ragged, mlp: MLP) -> None:
    check_vectors("x", x, mlp.in_channels, mlp.lins[0].weight)
    check_rows("x", x, segments.num_states, "nodes of segments")
