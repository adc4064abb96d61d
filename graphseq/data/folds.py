"""Cross-validation splits of sets that come without a validation set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from graphseq.data.loaded import Split
from graphseq.extras import needed_by

_SEED = 0


def stored_fold(folder: Path, labels: np.ndarray, fold: int) -> Split:
    """One of the ten folds that Zhang et al. (2018) published and later work reuses.

    Their test folds hold ⌊graphs / 10⌋ graphs each, so a few graphs are never tested. The published training fold is
    divided further: a tenth of it, stratified by class under a fixed seed, becomes the validation set.
    """
    train, test = (np.loadtxt(folder / f"{part}_idx-{fold + 1}.txt", dtype=np.int64) for part in ("train", "test"))
    return _with_validation(train, test, labels)


def stratified_fold(labels: np.ndarray, num_folds: int, fold: int) -> Split:
    """One of several folds stratified by class under a fixed seed; validation as in :func:`stored_fold`."""
    with needed_by("a stratified split"):
        from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(num_folds, shuffle=True, random_state=_SEED).split(labels, labels)
    train, test = list(folds)[fold]
    return _with_validation(train, test, labels)


def same_for_all(num_graphs: int) -> Split:
    """Every graph in every part: what is measured is whether a model can tell the graphs apart at all."""
    everything = torch.arange(num_graphs)
    return Split(everything, everything, everything)


def _with_validation(train: np.ndarray, test: np.ndarray, labels: np.ndarray) -> Split:
    with needed_by("a stratified split"):
        from sklearn.model_selection import train_test_split

    train, val = train_test_split(train, test_size=0.1, random_state=_SEED, stratify=labels[train])
    return Split(*(torch.from_numpy(np.sort(part)) for part in (train, val, test)))
