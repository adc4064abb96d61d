"""From the memories of an ordered pair to a prediction about it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import MLP


class LinearDecoder(nn.Module):
    """The published decoder: a linear map of both embeddings, without an interaction of the two.

    Args:
        in_channels: width of an embedding.
        out_channels: number of outputs.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin = nn.Linear(2 * in_channels, out_channels)

    def reset_parameters(self) -> None:
        self.lin.reset_parameters()

    def forward(
        self, source: Float[Tensor, "pairs channels"], destination: Float[Tensor, "pairs channels"]
    ) -> Float[Tensor, "pairs out"]:
        return self.lin(torch.cat([source, destination], dim=1))


class PairDecoder(nn.Module):
    """A perceptron on both embeddings.

    Args:
        in_channels: width of an embedding.
        out_channels: number of outputs.
        hidden: widths of the hidden layers.
        dropout: after each of them.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, hidden: Sequence[int] = (48,), dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.mlp = MLP([2 * in_channels, *hidden, out_channels], norm=None, dropout=dropout)

    def reset_parameters(self) -> None:
        self.mlp.reset_parameters()

    def forward(
        self, source: Float[Tensor, "pairs channels"], destination: Float[Tensor, "pairs channels"]
    ) -> Float[Tensor, "pairs out"]:
        return self.mlp(torch.cat([source, destination], dim=1))
