"""Random numbers that depend on the seed and the epoch alone."""

from __future__ import annotations

import os
import random

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import Dataset, DistributedSampler


def global_seed() -> int:
    """The seed given to Lightning's ``seed_everything``; 0 if it was not called."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


class EpochSeed(pl.Callback):
    """Seed Python, NumPy and torch at the start of each training epoch from (seed, epoch, process).

    An epoch then draws the same numbers whether the run came to it straight or was resumed from a checkpoint, so that a
    resumed run ends where an unbroken one does.

    Args:
        seed: the run's seed; that of ``seed_everything`` if not given.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        run = global_seed() if self.seed is None else self.seed
        state = np.random.SeedSequence([run, trainer.current_epoch, trainer.global_rank]).generate_state(3)
        random.seed(int(state[0]))
        np.random.seed(int(state[1]))  # noqa: NPY002  libraries that draw from the legacy generator are meant
        torch.manual_seed(int(state[2]))


class EpochSampler(DistributedSampler):
    """Torch's sampler, which orders by (seed, epoch), with a generator for the loader that follows the same rule.

    A loader seeds its workers from its generator, or from the global one, which a resumed run reads at another moment
    than an unbroken one.

    Args:
        examples: what is sampled.
        processes: how many share the examples.
        rank: which of them this is.
        shuffle: whether the order is random.
        seed: of order and generator.
    """

    def __init__(self, examples: Dataset, processes: int, rank: int, *, shuffle: bool, seed: int) -> None:
        super().__init__(examples, processes, rank, shuffle=shuffle, seed=seed)
        self.generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.generator.manual_seed(int(np.random.SeedSequence([self.seed, epoch, self.rank]).generate_state(1)[0]))
