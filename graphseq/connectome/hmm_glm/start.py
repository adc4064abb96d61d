"""First guesses of the hidden states, which tell the states of a fresh model apart."""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from graphseq.scan import Ragged, linear_scan


@runtime_checkable
class Start(Protocol):
    """Responsibilities before anything is learnt."""

    def __call__(self, counts: Tensor, topology: Ragged, num_states: int) -> Tensor:
        """``[T, S]``, rows that sum to one."""
        ...


@dataclasses.dataclass(frozen=True)
class SmoothedClusters:
    """Clusters (k-means++) of the counts, smoothed in both directions: states differ in their rates, if only a little.

    Args:
        length: time constant of the smoothing, in bins; shorter than a state lasts.
        tries: how often; the tightest clusters are taken.
        seed: of the clusters.

    Ours, not the paper's, whose states all start alike but for noise.
    """

    length: float = 10.0
    tries: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.length > 0:
            raise ValueError(f"length must be positive, got {self.length}")
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1, got {self.tries}")

    def __call__(self, counts: Tensor, topology: Ragged, num_states: int) -> Tensor:
        from scipy.cluster.vq import kmeans2

        decay = counts.new_full((counts.shape[0],), math.exp(-1 / self.length))
        # Each average is divided by its weights, so that a sequence's ends are no darker than its middle.
        padded = torch.cat([counts, torch.ones_like(counts[:, :1])], 1)
        both = linear_scan(decay, padded, topology) + linear_scan(decay, padded, topology, reverse=True)
        smooth = (both[:, :-1] / both[:, -1:]).double().cpu().numpy()
        rng = np.random.default_rng(self.seed)
        found = [kmeans2(smooth, num_states, minit="++", seed=rng) for _ in range(self.tries)]
        _, label = min(found, key=lambda pair: float(np.square(smooth - pair[0][pair[1]]).sum()))
        return one_hot(torch.from_numpy(label).long(), num_states).to(counts)


@dataclasses.dataclass(frozen=True)
class RandomStart:
    """Responsibilities at random, independent at each time.

    Args:
        seed: of the draw.
    """

    seed: int = 0

    def __call__(self, counts: Tensor, topology: Ragged, num_states: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(counts.shape[0], num_states, generator=generator).to(counts).softmax(1)
