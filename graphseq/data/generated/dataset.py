"""What all generated data sets share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, InMemoryDataset

#: Label of a node that carries none. It is no class, so that a loss that forgets ``label_mask`` fails at once.
UNLABELLED = -1


class GeneratedDataset(InMemoryDataset):
    """Graphs made in memory; there are no files.

    Args:
        graphs: the graphs.
        transform: applied to each graph on every access.
        pre_transform: applied to each graph once.
    """

    def __init__(
        self, graphs: Iterable[Data], transform: Callable | None = None, pre_transform: Callable | None = None
    ) -> None:
        super().__init__(None, transform)
        made = list(graphs) if pre_transform is None else [pre_transform(data) for data in graphs]
        self.data, self.slices = self.collate(made)


class Joined(Dataset):
    """Data sets one after another, each example made when it is asked for.

    Args:
        parts: the data sets.
    """

    def __init__(self, parts: Sequence[Dataset]) -> None:
        super().__init__(None)
        self.parts = list(parts)

    def len(self) -> int:
        return sum(map(len, self.parts))

    def get(self, idx: int) -> Data:
        for part in self.parts:
            if idx < len(part):
                return part[idx]
            idx -= len(part)
        raise IndexError(idx)


def labelled_node(num_nodes: int, node: int, label: int) -> dict[str, Tensor]:
    """``y`` and ``label_mask`` of a graph in which one node alone carries a label."""
    y = torch.full((num_nodes,), UNLABELLED)
    mask = torch.zeros(num_nodes, dtype=torch.bool)
    y[node], mask[node] = label, True
    return {"y": y, "label_mask": mask}


def at_least(argument: str, value: int, least: int) -> None:
    """Check a size."""
    if value < least:
        raise ValueError(f"{argument} must be at least {least}, got {value}")


def one_of(argument: str, value: str, choices: Sequence[str]) -> None:
    """Check a choice."""
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}, got {value!r}")


def size_range(argument: str, value: int | tuple[int, int], least: int) -> tuple[int, int]:
    """A size or a range of sizes, as (smallest, largest)."""
    low, high = (value, value) if isinstance(value, int) else value
    if not least <= low <= high:
        raise ValueError(f"{argument} must be a size of at least {least}, or (smallest, largest), got {value}")
    return low, high
