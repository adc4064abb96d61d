"""The network that image models are measured against, on the same skeleton."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from graphseq.nn import ImageModel


class ViTBlock(nn.Module):
    """A pre-norm Transformer layer on all patches of an image.

    Args:
        channels: width.
        heads: attention heads.
        dropout: in both parts.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            channels, heads, 4 * channels, dropout, "gelu", batch_first=True, norm_first=True
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1, 2)).view(x.shape)


class ViT(ImageModel):
    """Vision Transformer (Dosovitskiy et al. 2021), with patches, positions and head of the skeleton.

    Args:
        in_channels: channels of a pixel.
        out_channels: number of outputs.
        channels: width, a multiple of ``heads``.
        layers: depth.
        heads: attention heads.
        dropout: in the blocks.
        skeleton: ``patch``, ``image``, ``positions`` and the rest of the arguments of
            :class:`~graphseq.nn.ImageModel`.

    Raises:
        ValueError: if ``heads`` does not divide ``channels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int = 64,
        layers: int = 4,
        heads: int = 2,
        dropout: float = 0.0,
        **skeleton: Any,
    ) -> None:
        if channels % heads:
            raise ValueError(f"channels must be a multiple of heads ({heads}), got {channels}")
        blocks = [ViTBlock(channels, heads, dropout) for _ in range(layers)]
        super().__init__(in_channels, out_channels, blocks, channels=channels, **skeleton)
