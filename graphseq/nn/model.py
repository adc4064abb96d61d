"""The skeleton that graph models share: encode, blocks, head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphseq.data.validate import validate_graph
from graphseq.nn.block import GraphBlock
from graphseq.nn.encoders import NoEncoder, as_columns, feature_encoder
from graphseq.nn.heads import Level, Pool, make_head
from graphseq.nn.positional import PositionalEncoder
from graphseq.nn.recompute import recomputed
from graphseq.nn.reset import ResetsParts
from graphseq.scan import Ragged


class GraphModel(ResetsParts):
    """Encoded features through a stack of blocks into a head.

    A block is called as ``block(x, edge_index, segments, edge_attr, **structure)`` and returns the new
    ``(x, edge_attr)``; ``segments`` holds the bounds of the graphs in the batch, and ``structure`` what blocks need
    beyond the graph (see :class:`GraphBlock`).

    Args:
        in_channels: number of real node features; for integer features, the categories of each column.
        out_channels: number of outputs.
        blocks: the stack.
        edge_channels: as ``in_channels``, for edges; without edge features every edge gets the same learned vector.
        positional: how to make the encoders of positions (:class:`PositionalEncoder`), each called with a quarter of
            ``channels``; the data come with what they read.
        level: what is predicted: ``"node"``, ``"graph"`` or ``"edge"`` (pairs in ``edge_label_index``).
        channels: width of nodes and edges.
        dropout: in the head.
        pool: how a graph's nodes are pooled.
        head_layers: depth of the head.
        recompute: whether each block's activations are computed again for the gradient instead of kept, one block after
            the other: less memory for about a third more arithmetic, and the same numbers.
        validate: also search ``x`` and ``edge_attr`` for NaN and infinity on every call.
    """

    needs: tuple[str, ...] = ("edge_label_index",)
    """Further keys of ``Data`` that :meth:`forward` takes as keywords."""

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        blocks: Iterable[nn.Module],
        *,
        edge_channels: int | Sequence[int] | None = None,
        positional: Sequence[Callable[[int], PositionalEncoder]] = (),
        level: Level = "graph",
        channels: int = 64,
        dropout: float = 0.0,
        pool: Pool = "mean",
        head_layers: int = 2,
        recompute: bool = False,
        validate: bool = False,
    ) -> None:
        super().__init__()
        self.level, self.channels, self.recompute, self.validate = level, channels, recompute, validate
        width = max(1, channels // 4)
        if len(positional) * width >= channels:
            raise ValueError(f"positional must leave channels ({channels}) to features, got {len(positional)} encoders")
        self.node_encoder = feature_encoder(in_channels, channels - len(positional) * width)
        self.positional = nn.ModuleList(make(width) for make in positional)
        self.edge_encoder = feature_encoder(1 if edge_channels is None else edge_channels, channels, "edge_attr")
        self.has_edge_features = edge_channels is not None
        self.blocks = nn.ModuleList(blocks)
        self._leave_unread_edges()
        needs = [key for block in self._graph_blocks() for key in block.needs]
        self.needs = tuple(dict.fromkeys([*self.needs, *(encoder.key for encoder in self._encoders()), *needs]))
        self.head = make_head(level, channels, out_channels, layers=head_layers, dropout=dropout, pool=pool)

    def forward(
        self,
        x: Tensor,
        edge_index: Int[Tensor, "2 edges"],
        batch: Int[Tensor, " nodes"] | None = None,
        edge_attr: Tensor | None = None,
        *,
        batch_size: int | None = None,
        edge_label_index: Int[Tensor, "2 pairs"] | None = None,
        **structure: Any,
    ) -> Float[Tensor, "rows out"]:
        """Predict.

        Args:
            x: node features.
            edge_index: edges, from source to target.
            batch: graph of each node, sorted; one graph without it.
            edge_attr: edge features; one real feature may lack its axis, as PyG's ``edge_weight`` does.
            batch_size: number of graphs, if graphs without nodes may stand at the end.
            edge_label_index: the pairs to score, at level ``"edge"``.
            structure: what the positional encoders and the blocks of the model need beyond this, see ``needs``.

        Returns:
            One row a node, a graph or a pair.

        Raises:
            ValueError: if shapes or devices do not fit, an edge names a node that is not there or, under ``validate``,
                a feature is NaN or infinite.
            TypeError: if a dtype does not fit, or ``edge_index`` is a sparse matrix.
        """
        validate_graph(x, edge_index, batch, edge_attr, finite=self.validate)
        segments = Ragged.equal(1, x.shape[0], x.device) if batch is None else Ragged.from_batch(batch, batch_size)
        if x.dim() != 2:
            raise ValueError(f"x must have shape [nodes, features], got {list(x.shape)}")
        h = torch.cat([self.node_encoder(x), *self._positions(structure, segments)], dim=-1)
        e = self._encoded_edges(h, edge_index, edge_attr)
        predictions = [
            self.head(self._through_blocks(h, edge_index, segments, e, variant), segments, edge_label_index)
            for variant in self._structures(structure, x, edge_index)
        ]
        return predictions[0] if len(predictions) == 1 else torch.stack(predictions).mean(0)

    def _leave_unread_edges(self) -> None:
        """No parameter for what nobody reads: it would have no gradient, and several processes could not train."""
        blocks = list(self.blocks)
        for place, block in reversed(list(enumerate(blocks))):
            # What also stands in an earlier place, whole or in part, writes there what is read here.
            earlier = {part for other in blocks[:place] for part in other.modules()}
            if hasattr(block, "leave_edges") and earlier.isdisjoint(block.modules()):
                block.leave_edges()  # type: ignore[operator]
            if getattr(block, "reads_edges", True):
                return
        # It was made with the rest all the same, so that a seed gives the initial values that it always gave.
        self.edge_encoder = NoEncoder(self.channels)

    def _graph_blocks(self) -> list[GraphBlock]:
        return [block for block in self.blocks if isinstance(block, GraphBlock)]

    def _structures(self, structure: dict[str, Any], x: Tensor, edge_index: Tensor) -> list[dict[str, Any]]:
        for block in self._graph_blocks():
            structure = block.prepare(structure, x, edge_index)
        variants = [structure]
        for block in self._graph_blocks():
            variants = [new for variant in variants for new in block.variants(variant)]
        return variants

    def _through_blocks(
        self, h: Tensor, edge_index: Tensor, segments: Ragged, e: Tensor, structure: dict[str, Any]
    ) -> Tensor:
        for block in self.blocks:
            if self.recompute and not getattr(block, "recomputes", False):
                h, e = recomputed(block, h, edge_index, segments, e, owner=block, **structure)
            else:
                h, e = block(h, edge_index, segments, e, **structure)
        return h

    def _encoders(self) -> list[PositionalEncoder]:
        return [encoder for encoder in self.positional if isinstance(encoder, PositionalEncoder)]

    def _positions(self, structure: dict[str, Any], segments: Ragged) -> list[Tensor]:
        """The encoded positions, whose keys are taken out of ``structure``."""
        encodings = {key: structure.pop(key, None) for key in {encoder.key for encoder in self._encoders()}}
        for key, encoding in encodings.items():
            if encoding is None:
                raise ValueError(f"{key} must be given, since the model was made to encode it, got None")
        return [encoder(encodings[encoder.key], segments) for encoder in self._encoders()]

    def _encoded_edges(self, h: Tensor, edge_index: Tensor, edge_attr: Tensor | None) -> Tensor:
        if not self.has_edge_features:
            return self.edge_encoder(h.new_ones(edge_index.shape[1], 1))
        if edge_attr is None:
            raise ValueError("edge_attr must be given, since the model was made with edge_channels, got None")
        return self.edge_encoder(as_columns("edge_attr", edge_attr))
