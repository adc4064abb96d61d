"""What every loader hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from torch_geometric.data import Dataset

from graphseq.data.benchmark import Task


class Split(NamedTuple):
    """Which graphs of a data set belong to which part."""

    train: Tensor
    val: Tensor
    test: Tensor


@dataclass(frozen=True)
class Loaded:
    """A data set as a loader reads it, before anybody's transforms.

    Args:
        dataset: all graphs.
        split: which graph belongs to which part; None for a single graph whose masks say it for each node.
        task: where options change it; otherwise the manifest's holds.
        node_categories, edge_categories: number of categories of each integer feature column, where known.
    """

    dataset: Dataset
    split: Split | None = None
    task: Task | None = None
    node_categories: tuple[int, ...] | None = None
    edge_categories: tuple[int, ...] | None = None
