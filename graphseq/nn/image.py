"""The skeleton that image models share: patches with positions, blocks on the grid of patches, four corners, head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch_geometric.nn.inits import reset

from graphseq.nn.check import check_like_weights


class ImageModel(nn.Module):
    """Patches of an image through a stack of blocks into a head that reads the four corners.

    A block is called as ``block(x)`` on ``[batch, height, width, channels]``. Learned positions are those of a square
    image of the size seen in training, and resized to others.

    Args:
        in_channels: channels of a pixel.
        out_channels: number of outputs.
        blocks: the stack.
        edge_channels: not read; images have no edges.
        level: what is predicted; an image is one example, so ``"graph"``.
        channels: width.
        patch: side of a patch in pixels.
        image: side of the training images in pixels, a multiple of ``patch``.
        positions: whether learned positions are added to the patches.

    Raises:
        ValueError: if ``patch`` does not divide ``image``, or ``level`` is another one.
    """

    needs: tuple[str, ...] = ("image_size",)
    """Further keys of ``Data`` that :meth:`forward` takes as keywords."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: Iterable[nn.Module],
        *,
        edge_channels: Any = None,
        level: str = "graph",
        channels: int = 64,
        patch: int = 8,
        image: int = 64,
        positions: bool = True,
    ) -> None:
        super().__init__()
        if level != "graph":
            raise ValueError(f"level must be 'graph' for images, got {level!r}")
        if patch < 1 or image < 1 or image % patch:
            raise ValueError(f"image must be a multiple of patch ({patch}), got {image}")
        self.patch, self.channels = patch, channels
        side = image // patch
        self.embed = nn.Conv2d(in_channels, channels, patch, stride=patch)
        self.positions = nn.Parameter(torch.empty(1, channels, side, side)) if positions else None
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(channels, eps=1e-5)
        self.head = nn.Linear(4 * channels, out_channels)
        self._draw_own()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in (self.embed, self.blocks, self.norm, self.head):
            reset(module)
        self._draw_own()

    def _draw_own(self) -> None:
        """What is not left as its module draws it."""
        if self.positions is not None:
            nn.init.normal_(self.positions, std=(2 / (5 * self.channels)) ** 0.5)
        nn.init.normal_(self.head.weight, std=2e-5)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        x: Float[Tensor, "pixels channels"] | Float[Tensor, "batch channels height width"],
        edge_index: Tensor | None = None,
        batch: Tensor | None = None,
        edge_attr: Tensor | None = None,
        *,
        batch_size: int | None = None,
        image_size: Int[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch out"]:
        """Predict.

        Args:
            x: images; or their pixels, row by row, one image after another, with ``image_size``.
            edge_index: not read.
            batch: not read.
            edge_attr: not read.
            batch_size: not read.
            image_size: height and width of each image, the same for all.

        Raises:
            ValueError: if sizes do not fit one another or the model, are no multiple of ``patch``, or ``x`` is on
                another device than the model.
            TypeError: if ``x`` is no tensor, or has another dtype than the model's weights.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a tensor, got {type(x).__name__}")
        if x.dim() not in (2, 4) or x.shape[1] != self.embed.in_channels:
            own = self.embed.in_channels
            expected = f"[batch, {own}, height, width] or [pixels, {own}]"
            raise ValueError(f"x must have shape {expected}, got {list(x.shape)}")
        check_like_weights("x", x, self.embed.weight)
        images = x if x.dim() == 4 else _images(x, image_size)
        height, width = images.shape[-2:]
        if not height or not width or height % self.patch or width % self.patch:
            raise ValueError(f"height and width must be multiples of patch ({self.patch}), got {height} and {width}")
        h = self.embed(images)
        if self.positions is not None:
            h = h + _resized(self.positions, *h.shape[-2:])
        h = h.movedim(1, -1)
        for block in self.blocks:
            h = block(h)
        h = self.norm(h)
        corners = torch.cat([h[:, row, column] for row in (0, -1) for column in (0, -1)], -1)
        return self.head(corners)


def _resized(positions: Tensor, height: int, width: int) -> Tensor:
    if positions.shape[-2:] == (height, width):
        return positions
    return interpolate(positions, (height, width), mode="bicubic", align_corners=False)


def _images(pixels: Tensor, image_size: Tensor | None) -> Tensor:
    if image_size is None:
        raise ValueError("image_size must be given with packed pixels, got None")
    sizes = image_size.unique(dim=0)
    if sizes.shape[0] != 1:
        raise ValueError(f"image_size must be the same for all images of a batch, got {sizes.tolist()}")
    height, width = sizes[0].tolist()
    if pixels.shape[0] != len(image_size) * height * width:
        raise ValueError(
            f"x must have a row for each pixel of {len(image_size)} images of {height} × {width}, "
            f"got {pixels.shape[0]} rows"
        )
    return pixels.view(len(image_size), height, width, -1).movedim(-1, 1)
