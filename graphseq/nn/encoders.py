"""From raw features to channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def feature_encoder(in_channels: int | Sequence[int], channels: int) -> nn.Module:
    """A linear map of real features, or embeddings of integer ones.

    Args:
        in_channels: number of real features; or, for integer features, how many categories each column has.
        channels: width of the result.
    """
    if isinstance(in_channels, int):
        return nn.Linear(in_channels, channels)
    return CategoricalEncoder(in_channels, channels)


class CategoricalEncoder(nn.Module):
    r"""Sum of one embedding a column, :math:`\sum_c E_c[x_c]` (the atom and bond encoder of Hu et al. 2020, OGB).

    Args:
        cardinalities: number of categories of each column.
        channels: width of the result.
    """

    starts: Tensor
    sizes: Tensor

    def __init__(self, cardinalities: Sequence[int], channels: int) -> None:
        super().__init__()
        self.cardinalities = tuple(cardinalities)
        self.channels = channels
        # One table: the columns are told apart by where their rows begin.
        self.table = nn.Embedding(sum(self.cardinalities), channels)
        starts = torch.tensor([0, *self.cardinalities[:-1]]).cumsum(0)
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("sizes", torch.tensor(self.cardinalities), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            for column in self.table.weight.split(self.cardinalities):
                nn.init.xavier_uniform_(column)

    def forward(self, x: Int[Tensor, "rows columns"]) -> Float[Tensor, "rows channels"]:
        if x.dim() != 2 or x.shape[1] != len(self.cardinalities):
            raise ValueError(f"x must have {len(self.cardinalities)} integer columns, got shape {list(x.shape)}")
        if x.numel() and bool(((x < 0) | (x >= self.sizes)).any()):
            low, high = x.amin(0).tolist(), x.amax(0).tolist()
            raise ValueError(f"x must hold categories in [0, {list(self.cardinalities)}), got {low} to {high}")
        return self.table(x + self.starts).sum(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.cardinalities)}, {self.channels})"
