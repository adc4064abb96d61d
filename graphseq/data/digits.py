"""Handwritten digits: the small set of 8 × 8 images that comes with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.benchmark import Task
from graphseq.data.generated.dataset import GeneratedDataset
from graphseq.data.loaded import Loaded, Split
from graphseq.extras import needed_by


def digits(*, seed: int = 0) -> Loaded:
    """1797 digits (Alpaydin & Kaynak 1998), of each class 70 % to train, 15 % to validate and 15 % to test.

    Like :class:`~graphseq.data.ArrowPointing`: pixels as nodes, row by row, and ``image_size``.
    """
    with needed_by("the data set digits"):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    everything = np.arange(len(labels))
    train, rest = train_test_split(everything, test_size=0.3, random_state=seed, stratify=labels)
    val, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=labels[rest])
    dataset = GeneratedDataset(
        Data(
            x=torch.from_numpy(image / 16).float().view(-1, 1),
            y=torch.tensor([int(label)]),
            image_size=torch.tensor([[8, 8]]),
        )
        for image, label in zip(images, labels, strict=True)
    )
    split = Split(*(torch.from_numpy(np.sort(part)) for part in (train, val, test)))
    return Loaded(dataset, split, Task("graph", "multiclass", 10, "accuracy", maximize=True))
