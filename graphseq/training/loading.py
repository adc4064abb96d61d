"""The loader of every data module: its order follows from the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader, Dataset

from graphseq.training.seeding import EpochSampler, global_seed


def epoch_loader(
    make: Callable[..., DataLoader],
    examples: Dataset,
    trainer: pl.Trainer | None,
    *,
    batch_size: int,
    num_workers: int,
    shuffle: bool,
    seed: int | None,
) -> DataLoader:
    """A loader of this process's share of the examples.

    Shares are made equal by repetition; :func:`~graphseq.training.processes.first_of_its_kind` tells which those are.

    Args:
        make: the class of the loader, which says how examples become a batch.
        examples: all of them.
        trainer: says how many processes there are, and which epoch it is; without one, one process and the first.
        batch_size: examples in a step, over all processes.
        num_workers: processes that load.
        shuffle: whether the order is random.
        seed: of that order; that of ``seed_everything`` if not given.

    Raises:
        ValueError: if ``batch_size`` is not a multiple of the number of processes.
    """
    processes, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
    check_batch_size(batch_size, processes)
    chosen = global_seed() if seed is None else seed
    sampler = EpochSampler(examples, processes, rank, shuffle=shuffle, seed=chosen)  # type: ignore[arg-type]
    if trainer:
        # Lightning names the epoch to a sampler only after workers have begun to follow it.
        sampler.set_epoch(trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
    options: dict[str, Any] = {"sampler": sampler, "generator": sampler.generator, "num_workers": num_workers}
    return make(examples, batch_size=batch_size // processes, **options)


def check_batch_size(batch_size: int, processes: int) -> None:
    """Raise a ``ValueError`` if processes cannot share a batch equally."""
    if batch_size % processes:
        raise ValueError(
            f"batch_size counts the examples of all processes and must be a multiple of their number "
            f"({processes}), got {batch_size}"
        )
