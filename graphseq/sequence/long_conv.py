"""Long convolutions (Fu et al. 2023, "Simple Hardware-Efficient Long Convolutions for Sequence Modeling")."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, dropout

from graphseq.scan import Ragged
from graphseq.sequence.conv import with_past
from graphseq.sequence.filter import FilterLayer, fft_conv
from graphseq.sequence.layer import positive


class LongConvState(NamedTuple):
    """The last inputs of each stream, one row a stream."""

    past: Float[Tensor, "streams channels past"]


class LongConv(FilterLayer):
    r"""A convolution whose kernel is learnt tap by tap, and made sparse and smooth.

    .. math::
        y = \operatorname{squash}(\operatorname{smooth}(K)) * x, \qquad
        \operatorname{squash}(k) = \operatorname{sign}(k) \max(|k| - \lambda, 0)

    where smoothing is a moving average over an odd number of taps, with zeros beyond the ends. Kernels start as
    :math:`0.02 \, \varepsilon \, e^{-(l/L)(H/2)^{h/H}}` for channel h of H, :math:`\varepsilon` normal. With the
    authors' other start, :math:`0.002 \, \varepsilon`, and their :math:`\lambda = 0.1` every tap would be squashed to
    zero, and its gradient with it; the default here lies below the size of the kernel.

    Args:
        channels: width of input and output.
        length: number of taps :math:`L`; nothing further back is seen.
        squash: :math:`\lambda`; 0 leaves the kernel as it is.
        smooth: taps of the moving average, odd; 1 leaves the kernel as it is.
        kernel_dropout: probability that a tap is dropped in training.
        dropout: before the channels are mixed.

    Raises:
        ValueError: if ``smooth`` is even or ``squash`` negative.

    Example:
        >>> LongConv(8, length=16, smooth=3)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])

    Cost: a stream keeps the last ``length - 1`` inputs and pays for all of them at every step.
    """

    def __init__(
        self,
        channels: int,
        *,
        length: int = 1024,
        squash: float = 1e-3,
        smooth: int = 1,
        kernel_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, dropout=dropout)
        positive(length=length, smooth=smooth)
        if smooth % 2 == 0:
            raise ValueError(f"smooth must be odd, got {smooth}")
        if squash < 0:
            raise ValueError(f"squash must be at least 0, got {squash}")
        self.length, self.squash, self.smooth, self.kernel_dropout = length, squash, smooth, kernel_dropout
        self.weight = nn.Parameter(torch.empty(channels, length))
        self.weight._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            place = torch.arange(self.length) / self.length
            channel = torch.arange(self.channels) / self.channels
            decay = torch.exp(-place * ((self.channels / 2) ** channel)[:, None])
            self.weight.copy_(0.02 * torch.randn(self.channels, self.length) * decay)

    def kernel(self) -> Float[Tensor, "channels length"]:
        """The taps that are used, the current token's first."""
        kernel: Tensor = self.weight
        if self.smooth > 1:
            kernel = avg_pool1d(kernel[None], self.smooth, stride=1, padding=self.smooth // 2)[0]
        kernel = torch.sign(kernel) * torch.relu(kernel.abs() - self.squash)
        return dropout(kernel, self.kernel_dropout, self.training)

    def filter(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: LongConvState | None = None
    ) -> tuple[Float[Tensor, "tokens channels"], LongConvState | None]:
        """The convolution, over the past as well where there is one."""
        if state is None:
            return fft_conv(self.kernel(), x, topology), None
        longer, values = with_past(x, topology, state.past)
        y = fft_conv(self.kernel(), values, longer.topology)[longer.tokens]
        return y, LongConvState(values[longer.last].transpose(1, 2))

    def initial_state(self, streams: int) -> LongConvState:
        """The state before the first token of each stream."""
        return LongConvState(self.weight.new_zeros(streams, self.channels, self.length - 1))

    def sizes(self) -> dict[str, Any]:
        return {"length": self.length, "squash": self.squash, "smooth": self.smooth}
