"""From an affinity at every frame to one for every window of time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool1d

from graphseq.scan import Ragged, linear_scan


class Window(ABC):
    """Averages over time. Time is the first axis of what it is called on."""

    @abstractmethod
    def __call__(self, values: Float[Tensor, "time channels"]) -> Float[Tensor, "windows channels"]:
        """The average of each channel in each window."""

    @abstractmethod
    def frames(self, time: int) -> Int[Tensor, " windows"]:
        """The frame at which each window starts, or for which it stands.

        Raises:
            ValueError: if a recording of ``time`` frames is too short for one window.
        """


@dataclass(frozen=True)
class MeanWindow(Window):
    """Plain means over stretches of equal length; frames that fill no last window are left out.

    Args:
        length: frames a window.
        stride: frames from one start to the next; half of ``length`` if not given.

    Raises:
        ValueError: if either is below 1.

    Example:
        >>> MeanWindow(2)(torch.arange(4.0)[:, None]).squeeze()
        tensor([0.5000, 1.5000, 2.5000])
    """

    length: int
    stride: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("stride", self.stride)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @property
    def step(self) -> int:
        """Frames from one start to the next."""
        return self.stride or max(self.length // 2, 1)

    def __call__(self, values: Tensor) -> Tensor:
        self.frames(len(values))
        return avg_pool1d(values.t(), self.length, self.step).t()

    def frames(self, time: int) -> Tensor:
        if time < self.length:
            raise ValueError(f"length must be at most the number of frames, {time}, got {self.length}")
        return torch.arange(0, time - self.length + 1, self.step)


@dataclass(frozen=True)
class ExponentialWindow(Window):
    r"""Average with weights that fall off exponentially into the past, for every frame; one linear scan.

    .. math::
        h_t = d\,h_{t-1} + (1 - d)\,x_t, \qquad \bar x_t = \frac{h_t}{1 - d^{\,t+1}}

    The quotient makes the weights of what has been seen sum to 1 at every frame, so that a recording does not seem to
    start from silence.

    Args:
        decay: :math:`d`, in [0, 1); the window reaches back about :math:`1 / (1 - d)` frames.
        stride: keep every so many frames.
        symmetric: weights :math:`d^{|t - s|}` into past and future: a second scan, reversed.

    Raises:
        ValueError: if ``decay`` is not in [0, 1), or ``stride`` is below 1.

    Example:
        >>> ExponentialWindow(0.5)(torch.tensor([1.0, 1.0, 0.0])[:, None]).squeeze()
        tensor([1.0000, 1.0000, 0.4286])
    """

    decay: float
    stride: int = 1
    symmetric: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {self.decay}")
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")

    def __call__(self, values: Tensor) -> Tensor:
        # The weights go through the same scan as one more channel: what they sum to needs no formula.
        source = torch.cat([values, values.new_ones(len(values), 1)], dim=1)
        topology = Ragged.equal(1, len(values), values.device)
        decay = values.new_full((len(values), 1), self.decay)
        sums = linear_scan(decay, source, topology)
        if self.symmetric:
            # The frame itself is in both.
            sums = sums + linear_scan(decay, source, topology, reverse=True) - source
        return (sums[:, :-1] / sums[:, -1:])[:: self.stride]

    def frames(self, time: int) -> Tensor:
        return torch.arange(0, time, self.stride)
