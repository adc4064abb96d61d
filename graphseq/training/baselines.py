"""The networks that others are measured against, from PyG's layers on the same skeleton, encoders and heads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import MLP, GCNConv, GINConv, GINEConv, GPSConv, MessagePassing, ResGatedGraphConv, SAGEConv

from graphseq.nn import GraphModel, ResidualConv
from graphseq.scan import Ragged

Channels = int | Sequence[int]


class ConvBlock(nn.Module):
    """A convolution in the place of a model's block.

    Args:
        layer: called as ``layer(x, edge_index, edge_attr)``.
    """

    def __init__(self, layer: ResidualConv) -> None:
        super().__init__()
        self.layer, self.reads_edges = layer, layer.reads_edges

    def forward(
        self, x: Tensor, edge_index: Tensor, segments: Ragged, edge_attr: Tensor, **structure: Any
    ) -> tuple[Tensor, Tensor]:
        return self.layer(x, edge_index, edge_attr)


class _ConvModel(GraphModel):
    """A stack of one convolution; see :class:`~graphseq.nn.GraphModel` for the arguments not named here.

    Args:
        in_channels: number of real node features; for integer features, the categories of each column.
        out_channels: number of outputs.
        edge_channels: as ``in_channels``, for edges; ``None`` without edge features.
        channels: width.
        layers: depth.
        dropout: in every layer and the head.
        norm: ``"batch_norm"`` or ``"layer_norm"``.
        skeleton: ``positional``, ``level``, ``pool``, ``head_layers`` and the rest of the skeleton's arguments.
    """

    def __init__(
        self,
        in_channels: Channels,
        out_channels: int,
        *,
        edge_channels: Channels | None = None,
        channels: int = 64,
        layers: int = 4,
        dropout: float = 0.0,
        norm: str = "batch_norm",
        **skeleton: Any,
    ) -> None:
        edges = edge_channels is not None and self.reads_edges
        conv = partial(self.conv, edges=edges)
        layer = partial(ResidualConv, channels, conv, edges=edges, dropout=dropout, norm=norm)
        blocks = (ConvBlock(layer()) for _ in range(layers))
        super().__init__(
            in_channels,
            out_channels,
            blocks,
            edge_channels=edge_channels,
            channels=channels,
            dropout=dropout,
            **skeleton,
        )

    reads_edges = True

    @staticmethod
    def conv(in_channels: int, channels: int, *, edges: bool) -> MessagePassing:
        """One convolution, for graphs with or without edge features."""
        raise NotImplementedError


class GCN(_ConvModel):
    """Graph convolutional network (Kipf & Welling 2017), with residuals. It does not read edge features."""

    reads_edges = False

    @staticmethod
    def conv(in_channels: int, channels: int, *, edges: bool) -> MessagePassing:
        return GCNConv(channels, channels)


class SAGE(_ConvModel):
    """GraphSAGE with the mean of the neighbours (Hamilton et al. 2017), with residuals; it reads no edge features."""

    reads_edges = False

    @staticmethod
    def conv(in_channels: int, channels: int, *, edges: bool) -> MessagePassing:
        return SAGEConv(channels, channels)


class GIN(_ConvModel):
    """Graph isomorphism network (Xu et al. 2019); with edge features, GINE (Hu et al. 2020)."""

    @staticmethod
    def conv(in_channels: int, channels: int, *, edges: bool) -> MessagePassing:
        return _gin_conv(channels, edges)


class GatedGCN(_ConvModel):
    """Residual gated graph convolution (Bresson & Laurent 2017)."""

    @staticmethod
    def conv(in_channels: int, channels: int, *, edges: bool) -> MessagePassing:
        return ResGatedGraphConv(channels, channels, edge_dim=channels if edges else None)


class GPSBlock(nn.Module):
    """A layer of GraphGPS (Rampášek et al. 2022): message passing beside attention among all nodes of a graph.

    With multi-head attention, memory grows with the square of the largest graph of the batch.

    Args:
        channels: width.
        heads: attention heads.
        edges: whether edge vectors are read.
        attention: ``"multihead"``, or ``"performer"`` for an approximation in linear memory.
        dropout: in every branch.
        norm: ``"batch_norm"`` or ``"layer_norm"``.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        edges: bool,
        attention: str = "multihead",
        dropout: float = 0.0,
        norm: str = "batch_norm",
    ) -> None:
        super().__init__()
        self.edges = self.reads_edges = edges
        conv = _gin_conv(channels, edges)
        self.layer = GPSConv(channels, conv, heads=heads, dropout=dropout, norm=norm, attn_type=attention)

    def forward(
        self, x: Tensor, edge_index: Tensor, segments: Ragged, edge_attr: Tensor, **structure: Any
    ) -> tuple[Tensor, Tensor]:
        extra = {"edge_attr": edge_attr} if self.edges else {}
        return self.layer(x, edge_index, segments.segment, **extra), edge_attr


class GPS(GraphModel):
    """GraphGPS with multi-head attention; see :class:`~graphseq.nn.GraphModel` for the arguments not named here.

    Args:
        in_channels: number of real node features; for integer features, the categories of each column.
        out_channels: number of outputs.
        edge_channels: as ``in_channels``, for edges; ``None`` without edge features.
        channels: width, a multiple of ``heads``.
        layers: depth.
        heads: attention heads.
        attention: ``"multihead"``, or ``"performer"`` for an approximation in linear memory.
        dropout: in every layer and the head.
        norm: ``"batch_norm"`` or ``"layer_norm"``.
        skeleton: ``positional``, ``level``, ``pool``, ``head_layers`` and the rest of the skeleton's arguments.

    Raises:
        ValueError: if ``heads`` does not divide ``channels``.
    """

    def __init__(
        self,
        in_channels: Channels,
        out_channels: int,
        *,
        edge_channels: Channels | None = None,
        channels: int = 64,
        layers: int = 4,
        heads: int = 2,
        attention: str = "multihead",
        dropout: float = 0.0,
        norm: str = "batch_norm",
        **skeleton: Any,
    ) -> None:
        if channels % heads:
            raise ValueError(f"channels must be a multiple of heads ({heads}), got {channels}")
        edges = edge_channels is not None
        blocks = (
            GPSBlock(channels, heads=heads, edges=edges, attention=attention, dropout=dropout, norm=norm)
            for _ in range(layers)
        )
        super().__init__(
            in_channels,
            out_channels,
            blocks,
            edge_channels=edge_channels,
            channels=channels,
            dropout=dropout,
            **skeleton,
        )


def _gin_conv(channels: int, edges: bool) -> MessagePassing:
    mlp = MLP([channels, channels, channels])
    return GINEConv(mlp, train_eps=True, edge_dim=channels) if edges else GINConv(mlp, train_eps=True)
