"""GraphNorm on sorted rows."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.nn import GraphNorm

from graphseq.spen.incidence import segments


class SortedGraphNorm(GraphNorm):
    """PyG's :class:`~torch_geometric.nn.GraphNorm`, whose sums and their gradients cost half of a layer, on rows that
    lie graph by graph; the weights are the same.

    Args:
        in_channels: width.
    """

    def over(self, x: Float[Tensor, "rows channels"], graphs: Graphs) -> Float[Tensor, "rows channels"]:
        """Normalise over the rows of each graph."""
        centred = x - graphs.spread @ (graphs.mean @ x * self.mean_scale)
        variance = graphs.mean @ centred.square()
        return centred * (graphs.spread @ (self.weight / (variance + self.eps).sqrt())) + self.bias


class Graphs:
    """Which rows belong to which graph.

    Args:
        batch: graph of each row, ascending.
        batch_size: number of graphs.
        dtype: of what is averaged.
    """

    def __init__(self, batch: Int[Tensor, " rows"], batch_size: int, dtype: torch.dtype) -> None:
        each = torch.bincount(batch, minlength=batch_size)
        self.spread = segments(batch, each, torch.ones(batch_size, dtype=dtype, device=batch.device))
        self.mean = segments(batch, each, 1 / each.clamp(min=1).to(dtype)).T
