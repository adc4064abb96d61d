"""pLSTM on images: a whole model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphseq.nn import ImageModel
from graphseq.plstm.block import PLSTMBlock, make_gates, plan
from graphseq.plstm.image_gates import ImageDiffusion, ImagePropagation, ReleasedImagePropagation
from graphseq.plstm.layer import PLSTM2d

_KINDS = {"P": ImagePropagation, "D": ImageDiffusion, "P-released": ReleasedImagePropagation}


class PLSTMImage(ImageModel):
    """pLSTM on the patches of an image, in four directions, with the four corners read out.

    Args:
        in_channels: channels of a pixel.
        out_channels: number of outputs.
        channels: width, a multiple of ``heads``.
        layers: depth; each layer has a block for each mode.
        heads: number of heads.
        modes: the modes of a layer's blocks: ``"P"``, ``"D"``, ``"P-released"``, or several joined by ``+`` with some
            heads each.
        dropout: in the blocks.
        skeleton: ``patch``, ``image``, ``positions`` and the rest of the arguments of
            :class:`~graphseq.nn.ImageModel`.

    Example:
        >>> PLSTMImage(1, 10, channels=8, heads=2, layers=1, patch=2, image=8)(torch.randn(3, 1, 8, 8)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        channels: int = 64,
        layers: int = 2,
        heads: int = 2,
        modes: Sequence[str] = ("P", "D"),
        dropout: float = 0.0,
        **skeleton: Any,
    ) -> None:
        blocks = [
            PLSTMBlock(channels, PLSTM2d(channels, heads, make_gates(mode, _KINDS, channels, heads)), dropout=dropout)
            for mode, _ in plan(modes, layers, both_ways=False)
        ]
        super().__init__(in_channels, out_channels, blocks, channels=channels, **skeleton)
