"""Warnings of Lightning that tell our users nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def expected_warnings_ignored() -> Iterator[None]:
    """Leave out the warnings about what is meant to be so."""
    with warnings.catch_warnings():
        # Graphs are in memory: a process that loads them costs more than it saves, unless there are heavy transforms.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # A run that is resumed goes on in its own folder, see RunFolder.
        warnings.filterwarnings("ignore", ".*exists and is not empty.*")
        # The sampler shares out the test set, and scores drop its repetitions, see Predictions.
        warnings.filterwarnings("ignore", ".*it is recommended to use `Trainer\\(devices=1.*")
        # Forecasters that are solved in closed form or repeat the past have nothing to train.
        warnings.filterwarnings("ignore", ".*configure_optimizers` returned `None`.*")
        warnings.filterwarnings("ignore", ".*is an empty generator, no gradient clipping.*")
        # Lightning's own, on torch 2.13.
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        yield
