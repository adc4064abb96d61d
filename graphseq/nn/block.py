"""What a block of a graph model may ask for beyond the graph."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphseq.nn.reset import ResetsParts


class GraphBlock(ResetsParts):
    """A block that reads more than nodes and edges. One that does not may be any module with the same call.

    A model calls each block as ``block(x, edge_index, segments, edge_attr, **structure)``. Before the first one, every
    block in turn adds to ``structure`` what it needs and does not find there.
    """

    needs: tuple[str, ...] = ()
    """Keys of ``Data`` that enter ``structure`` where the data have them."""

    recomputes: bool = False
    """Whether the block computes its activations again for the gradient by itself, part by part."""

    @property
    def reads_edges(self) -> bool:
        """Whether the vectors of edges that the block is given have any effect."""
        return True

    def leave_edges(self) -> None:
        """Update no edges from now on: what the block returns of them is read by nobody."""

    def prepare(self, structure: dict[str, Any], x: Tensor, edge_index: Tensor) -> dict[str, Any]:
        """``structure`` with what this block needs, from the raw features and the edges of the batch."""
        return structure

    def variants(self, structure: dict[str, Any]) -> list[dict[str, Any]]:
        """The structures over which the model's prediction is to be averaged; mostly the one given."""
        return [structure]
