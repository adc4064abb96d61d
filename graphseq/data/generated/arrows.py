"""Arrow pointing (Pöppel et al. 2025): does the arrow in an image point at the disc?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch_geometric.data import Data, Dataset

from graphseq.data.generated.dataset import at_least

Range = Sequence[int | float]


class Scenes(NamedTuple):
    """What is seen in each image, in pixels; angles from the x axis (to the right) towards the y axis (down)."""

    arrow: np.ndarray  # middle of the arrow, [images, 2] as (x, y)
    angle: np.ndarray  # in which it points
    length: np.ndarray
    width: np.ndarray  # of its lines
    disc: np.ndarray  # centre, [images, 2]
    radius: np.ndarray
    hits: np.ndarray  # the label


class ArrowPointing(Dataset):
    r"""White images with a black disc and a black arrow; the label says whether the ray of the arrow meets the disc.

    In a square of side :math:`s` = ``size`` - 2 ``padding`` the arrow's middle :math:`a` is uniform. The disc has a
    uniform radius :math:`r`, and in each coordinate its centre is :math:`c = a + 2r + (s - 4r) u`, less :math:`s` where
    that exceeds :math:`s`, with uniform :math:`u`. Half of the images are positive. With :math:`d = c - a` and
    :math:`\varphi = \arcsin(\rho / |d|)`, the arrow points

    - for positives, within :math:`\varphi` of :math:`d`, with :math:`\rho = r / f`,
    - for negatives, anywhere else, with :math:`\rho = r f`,

    uniformly. So no ray comes nearer to the rim than the factor :math:`f`. An arrow is a line through its middle and
    two lines of 2/5 of its length from its tip, 0.5 rad off its direction.

    The defaults are those of the paper divided by three, with longer and wider arrows, as small ones cannot be told
    apart at that resolution. Whoever draws larger images of the same things (``size`` alone) asks for extrapolation.

    Each image has a ``size`` × ``size`` grid of pixels as nodes, row by row, with one feature, the ink between 0 and 1,
    and ``image_size``, height and width. Pixels at an outline are grey, by how far they lie inside (ours). Images are
    drawn when they are asked for, in 256 shades; a data set takes no more memory than its scenes, unless it is to keep
    what it has drawn.

    Args:
        size: side of the images.
        num_images: how many.
        padding: distance of arrow and disc centre from the border.
        radius: smallest and largest radius.
        length: smallest and largest length of the arrow.
        width: smallest and largest width of its lines.
        factor: :math:`f`, at least 1.
        keep: draw each image once, and keep it as bytes; a training of several epochs is faster for it.
        seed: the same seed gives the same data.
        transform: as in PyG.

    Raises:
        ValueError: if a disc of the largest radius does not fit, or a range is none.
    """

    def __init__(
        self,
        size: int = 64,
        num_images: int = 1000,
        *,
        padding: int | float = 10,
        radius: Range = (5, 10),
        length: Range = (8, 15),
        width: Range = (1, 2),
        factor: int | float = 1.2,
        keep: bool = False,
        seed: int = 0,
        transform: Callable | None = None,
    ) -> None:
        at_least("num_images", num_images, 1)
        for name, (low, high) in (("radius", radius), ("length", length), ("width", width)):
            if not 0 < low <= high:
                raise ValueError(f"{name} must be (smallest, largest) above 0, got {(low, high)}")
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        if size - 2 * padding < 4 * radius[1]:
            raise ValueError(
                f"size must be at least {2 * padding + 4 * radius[1]:g}, four radii within the padding, got {size}"
            )
        super().__init__(None, transform)
        self.size = size
        rng = np.random.default_rng(seed)
        self.scenes = _scenes(rng, num_images, size, padding, radius, length, width, factor)
        self._kept: dict[int, np.ndarray] | None = {} if keep else None

    def len(self) -> int:
        return len(self.scenes.hits)

    def get(self, idx: int) -> Data:
        return Data(
            x=torch.from_numpy(self._shades(idx)).view(-1, 1) / 255,
            y=torch.tensor([int(self.scenes.hits[idx])]),
            image_size=torch.tensor([[self.size, self.size]]),
        )

    def _shades(self, idx: int) -> np.ndarray:
        kept = self._kept or {}
        shades = kept[idx] if idx in kept else np.rint(255 * _ink(self.scenes, idx, self.size)).astype(np.uint8)
        if self._kept is not None:
            self._kept[idx] = shades
        return shades


def _scenes(
    rng: np.random.Generator,
    count: int,
    size: int,
    padding: int | float,
    radius: Range,
    length: Range,
    width: Range,
    factor: int | float,
) -> Scenes:
    side = size - 2 * padding
    arrow = rng.uniform(0, side, (count, 2))
    radii = rng.uniform(radius[0], radius[1], count)
    disc = arrow + 2 * radii[:, None] + (side - 4 * radii)[:, None] * rng.uniform(size=(count, 2))
    disc = np.where(disc > side, disc - side, disc)
    hits = rng.permutation(count) < count / 2
    towards = disc - arrow
    distance = np.hypot(*towards.T)
    half = np.arcsin(np.where(hits, radii / factor, radii * factor) / distance)
    u = rng.uniform(size=count)
    off = np.where(hits, (2 * u - 1) * half, half + u * (2 * np.pi - 2 * half))
    return Scenes(
        arrow=arrow + padding,
        angle=np.arctan2(towards[:, 1], towards[:, 0]) + off,
        length=rng.uniform(length[0], length[1], count),
        width=rng.uniform(width[0], width[1], count),
        disc=disc + padding,
        radius=radii,
        hits=hits,
    )


def _ink(scenes: Scenes, number: int, size: int) -> np.ndarray:
    """The image, ``[size, size]``, row by row."""
    x = (np.arange(size) + 0.5)[None, :]
    y = x.T
    arrow, angle, length, width, disc, radius, _ = (field[number] for field in scenes)
    ink = radius - np.hypot(x - disc[0], y - disc[1])
    ahead = np.array([np.cos(angle), np.sin(angle)])
    tip = arrow + length / 2 * ahead
    lines = [(arrow - length / 2 * ahead, tip)]
    for turn in (-0.5, 0.5):
        back = np.array([np.cos(angle + turn), np.sin(angle + turn)])
        lines.append((tip - length / 2.5 * back, tip))
    for start, end in lines:
        ink = np.maximum(ink, width / 2 - _distance(x, y, start, end))
    return np.clip(ink + 0.5, 0, 1).astype(np.float32)


def _distance(x: np.ndarray, y: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """To the nearest point between two points."""
    along = end - start
    share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along)
    share = np.clip(share, 0, 1)
    return np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
