"""From raw features to channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphseq.nn.check import check_like_weights


def feature_encoder(in_channels: int | Sequence[int], channels: int, argument: str = "x") -> nn.Module:
    """A linear map of real features, or embeddings of integer ones.

    Args:
        in_channels: number of real features; or, for integer features, how many categories each column has.
        channels: width of the result.
        argument: what the features are called when they are refused.
    """
    if isinstance(in_channels, int):
        return RealEncoder(in_channels, channels, argument)
    return CategoricalEncoder(in_channels, channels, argument)


class RealEncoder(nn.Linear):
    """A linear map of real features, which says what does not fit.

    Args:
        in_channels: number of features.
        channels: width of the result.
        argument: what the features are called when they are refused.
    """

    def __init__(self, in_channels: int, channels: int, argument: str = "x") -> None:
        super().__init__(in_channels, channels)
        self.argument = argument

    def forward(self, features: Tensor) -> Float[Tensor, "*rows channels"]:
        """The encoded features.

        Raises:
            ValueError: if the last axis has another size, there is no other axis, or they are on another device.
            TypeError: if the dtype is not that of the weights.
        """
        check_real(self.argument, features, self.in_features)
        check_like_weights(self.argument, features, self.weight)
        return super().forward(features)


def as_columns(argument: str, features: Tensor) -> Tensor:
    """Features of edges ``[edges, features]``; one number an edge, PyG's ``edge_weight``, may lack its axis.

    Raises:
        ValueError: if there are more axes, or none.
    """
    if features.dim() not in (1, 2):
        raise ValueError(f"{argument} must have shape [edges, features] or [edges], got {list(features.shape)}")
    return features[:, None] if features.dim() == 1 else features


def check_real(argument: str, features: Tensor, in_channels: int) -> None:
    """Whether these are rows of that many real features.

    Raises:
        ValueError: if the last axis has another size, or there is no other axis.
        TypeError: if the features are integers: these are categories, which are stated one number a column.
    """
    if features.dim() < 2 or features.shape[-1] != in_channels:
        raise ValueError(f"{argument} must have shape [..., {in_channels}], got {list(features.shape)}")
    if not features.is_floating_point():
        raise TypeError(
            f"{argument} must have a floating dtype, got {features.dtype}: state integer features by the number of "
            "categories of each column"
        )


class CategoricalEncoder(nn.Module):
    r"""Sum of one embedding a column, :math:`\sum_c E_c[x_c]` (the atom and bond encoder of Hu et al. 2020, OGB).

    Args:
        cardinalities: number of categories of each column.
        channels: width of the result.
        argument: what the features are called when they are refused.
    """

    starts: Tensor
    sizes: Tensor

    def __init__(self, cardinalities: Sequence[int], channels: int, argument: str = "x") -> None:
        super().__init__()
        self.argument = argument
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
            columns = len(self.cardinalities)
            raise ValueError(f"{self.argument} must have {columns} integer columns, got shape {list(x.shape)}")
        if x.is_floating_point() or x.is_complex() or x.dtype is torch.bool:
            raise TypeError(f"{self.argument} must have an integer dtype for categories, got {x.dtype}")
        # What a compiler traces has no values to look at.
        if not torch.compiler.is_compiling() and x.numel() and bool(((x < 0) | (x >= self.sizes)).any()):
            low, high = x.amin(0).tolist(), x.amax(0).tolist()
            raise ValueError(
                f"{self.argument} must hold categories in [0, {list(self.cardinalities)}), got {low} to {high}"
            )
        return self.table(x + self.starts).sum(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.cardinalities)}, {self.channels})"


class NoEncoder(nn.Module):
    """Zeros in place of vectors that nobody reads.

    Args:
        channels: width of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_load_state_dict_pre_hook(_left_out)

    def forward(self, features: Tensor) -> Float[Tensor, "rows channels"]:
        return torch.zeros((), device=features.device).expand(len(features), self.channels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels})"


def _left_out(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Checkpoints from before an encoder was left out hold it."""
    for key in [key for key in state if key.startswith(prefix)]:
        del state[key]
