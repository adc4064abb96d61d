"""What the network remembers of its own spikes: causal filters over packed sequences."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.scan import Ragged, linear_scan


class FiniteFilter(nn.Module):
    r"""A weight for each lag, :math:`H_t = \sum_{k=1}^{K} \varphi_k\, y_{t-k}`, zero before a sequence begins.

    Args:
        weights: :math:`\varphi`, lag 1 first.

    Example:
        >>> FiniteFilter(torch.tensor([1.0, 0.5]))(torch.tensor([[1.0], [2.0], [0.0]]), Ragged.equal(1, 3)).flatten()
        tensor([0.0000, 1.0000, 2.5000])
    """

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        if weights.dim() != 1 or weights.numel() == 0:
            raise ValueError(f"weights must have shape [lags] with at least one, got {list(weights.shape)}")
        self.register_buffer("weights", weights)

    def forward(self, activity: Float[Tensor, "T neurons"], topology: Ragged) -> Float[Tensor, "T neurons"]:
        history = torch.zeros_like(activity)
        for lag, weight in enumerate(self.weights, start=1):
            history = history + weight * _delayed(activity, topology, lag)
        return history

    def extra_repr(self) -> str:
        return f"lags={self.weights.numel()}"


class ExponentialFilter(nn.Module):
    r"""Exponentially fading memory with weights that sum to one: a first-order recurrence.

    .. math::
        H_t = d\, H_{t-1} + \frac{1 - d}{1 - d^K}\, (y_{t-1} - d^K y_{t-1-K}),
        \qquad \varphi_k \propto d^{k} \ (1 \le k \le K)

    Args:
        decay: :math:`d`, from 0 to 1. The one-hot HMM-GLM has :math:`e^{-1}` and five lags.
        lags: :math:`K`; none for a memory without end.

    Example:
        >>> ExponentialFilter(0.5, lags=None)(torch.tensor([[1.0], [0.0], [0.0]]), Ragged.equal(1, 3)).flatten()
        tensor([0.0000, 0.5000, 0.2500])
    """

    def __init__(self, decay: float = 0.36787944117144233, lags: int | None = 5) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(f"decay must be between 0 and 1, got {decay}")
        if lags is not None and lags < 1:
            raise ValueError(f"lags must be at least 1, or None, got {lags}")
        self.decay, self.lags = decay, lags

    def forward(self, activity: Float[Tensor, "T neurons"], topology: Ragged) -> Float[Tensor, "T neurons"]:
        source, left = _delayed(activity, topology, 1), 0.0
        if self.lags is not None:
            left = self.decay**self.lags
            source = source - left * _delayed(activity, topology, self.lags + 1)
        decay = activity.new_full((activity.shape[0],), self.decay)
        return linear_scan(decay, (1 - self.decay) / (1 - left) * source, topology)

    def extra_repr(self) -> str:
        return f"decay={self.decay:.4g}, lags={self.lags}"


def _delayed(activity: Tensor, topology: Ragged, lag: int) -> Tensor:
    """Zero where the sequence had not begun; neither copied across a border nor multiplied by zero."""
    begun = (topology.position >= lag)[:, None]
    return torch.where(begun, activity.roll(lag, 0), torch.zeros_like(activity))
