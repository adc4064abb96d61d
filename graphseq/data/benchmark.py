"""A data set made ready for training: its three parts, what is predicted, and the sizes a model needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, InMemoryDataset

Channels: TypeAlias = int | tuple[int, ...]
# PyG's data sets behave like sequences but are not registered as such.
Graphs: TypeAlias = Sequence[Data] | Dataset

_CHOICES = {
    "level": ("node", "edge", "graph"),
    "kind": ("multiclass", "binary", "multilabel", "regression"),
    "metric": ("accuracy", "rocauc", "ap", "rmse", "mae"),
}


@dataclass(frozen=True)
class Task:
    """What is predicted and how it is scored.

    Args:
        level: what carries the label: ``"node"``, ``"edge"`` or ``"graph"``.
        kind: ``"multiclass"`` (integer ``y``), ``"binary"``, ``"multilabel"`` or ``"regression"`` (real ``y``, one
            column an output, NaN where a label is missing).
        num_outputs: width of a model's prediction.
        metric: ``"accuracy"``, ``"rocauc"``, ``"ap"``, ``"rmse"`` or ``"mae"``.
        maximize: whether a larger metric is better.
    """

    level: str
    kind: str
    num_outputs: int
    metric: str
    maximize: bool

    def __post_init__(self) -> None:
        for argument, choices in _CHOICES.items():
            if (value := getattr(self, argument)) not in choices:
                raise ValueError(f"{argument} must be one of {', '.join(choices)}, got {value!r}")
        if self.num_outputs < 1:
            raise ValueError(f"num_outputs must be at least 1, got {self.num_outputs}")
        if self.kind == "binary" and self.num_outputs != 1:
            raise ValueError(f"num_outputs must be 1 for a binary task, got {self.num_outputs}")


@dataclass(frozen=True)
class Benchmark:
    """A data set with its split and its task.

    ``train``, ``val`` and ``test`` are sequences of :class:`~torch_geometric.data.Data` for PyG's ``DataLoader``.

    ===========  =============================================  ====================================
    level        ``y``, multiclass                              ``y``, every other kind
    ===========  =============================================  ====================================
    graph        ``[1]`` integer                                ``[1, num_outputs]`` real
    node         ``[nodes]`` integer                            ``[nodes, num_outputs]`` real
    ===========  =============================================  ====================================

    A set that is one big graph has that graph as each of its parts, with the chosen split in the one-dimensional
    ``train_mask``, ``val_mask`` and ``test_mask``. Where only some nodes of a graph carry a label, ``label_mask``
    says which.

    Args:
        name: what it is called in results.
        task: what is predicted.
        train, val, test: the parts.
        in_channels: width of ``x``; for integer ``x``, the number of categories of each column.
        edge_channels: the same for ``edge_attr``; None where edges carry nothing.
        num_splits: how many splits the data set has.
        split: which of them this is.
    """

    name: str
    task: Task
    train: Graphs
    val: Graphs
    test: Graphs
    in_channels: Channels
    edge_channels: Channels | None = None
    num_splits: int = 1
    split: int = 0

    @classmethod
    def from_datasets(
        cls,
        train: Graphs,
        val: Graphs,
        test: Graphs,
        task: Task,
        *,
        name: str = "custom",
        in_channels: Channels | None = None,
        edge_channels: Channels | None = None,
        num_splits: int = 1,
        split: int = 0,
    ) -> Benchmark:
        """A benchmark from data of your own.

        Args:
            train, val, test: PyG data sets or lists of ``Data``.
            task: what is predicted; ``y`` must have the shape that :class:`Benchmark` states for it.
            name: what it is called in results.
            in_channels, edge_channels: number of categories of each integer column, or of the only one. Without it they
                are counted, which misses a category that never occurs. Ignored for real features, whose width is read
                off.
            num_splits, split: for cross-validation.

        Every graph of a list is checked; of a data set that makes its graphs when they are asked for, the first.

        Raises:
            ValueError: if a part is empty, has no ``x``, or has labels that do not fit ``task``; if graphs of a list
                have different keys or types of features, which PyG would drop or mix in a batch; if fewer categories
                are declared than occur; or if ``split`` is not one of ``num_splits``.

        Example:
            >>> from torch_geometric.datasets import FakeDataset
            >>> graphs = FakeDataset(num_graphs=10, task="graph", num_classes=3, num_channels=8, edge_dim=2)
            >>> task = Task("graph", "multiclass", 3, "accuracy", maximize=True)
            >>> bench = Benchmark.from_datasets(graphs[:6], graphs[6:8], graphs[8:], task)
            >>> bench.in_channels, bench.edge_channels
            (8, 2)
        """
        if not 0 <= split < num_splits:
            raise ValueError(f"split must be in 0..{num_splits - 1}, got {split}")
        parts = {"train": train, "val": val, "test": test}
        for part, graphs in parts.items():
            if len(graphs) == 0:
                raise ValueError(f"{part} must hold at least one graph, got none")
            if "x" not in graphs[0]:
                raise ValueError(
                    f"{part} must have node features x, got none (torch_geometric.transforms.Constant adds some)"
                )
            _check_example(part, graphs[0], task)
            _check_others(part, graphs, task)
        _check_alike(parts)
        has_edge_attr = any("edge_attr" in graphs[0] for graphs in parts.values())
        return cls(
            name=name,
            task=task,
            train=train,
            val=val,
            test=test,
            in_channels=_channels(parts, "x", in_channels),
            edge_channels=_channels(parts, "edge_attr", edge_channels) if has_edge_attr else None,
            num_splits=num_splits,
            split=split,
        )


def _check_example(part: str, data: Data, task: Task) -> None:
    if not isinstance(y := data.y, Tensor):
        raise ValueError(f"{part} must have labels y, got {y!r}")
    # Edge labels often sit on pairs of nodes of their own (edge_label_index), so their number is free.
    rows = {"graph": 1, "node": data.num_nodes}.get(task.level, len(y) if y.dim() else 1)
    if task.kind == "multiclass":
        expected = [rows]
        fits = y.dtype == torch.long and list(y.shape) == expected
    else:
        expected = [rows, task.num_outputs]
        fits = y.is_floating_point() and list(y.shape) == expected
    if not fits:
        dtype = "int64" if task.kind == "multiclass" else "float"
        raise ValueError(
            f"{part} must have {dtype} labels y of shape {expected} for a {task.kind} task on each {task.level}, "
            f"got {y.dtype} of shape {list(y.shape)}"
        )
    _check_labels(part, y, data.get("label_mask", None), task)


def _check_labels(part: str, y: Tensor, mask: Tensor | None, task: Task) -> None:
    labels = y if mask is None else y[mask]
    if task.kind == "multiclass":
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < task.num_outputs:
            raise ValueError(f"{part} must have labels y in 0..{task.num_outputs - 1}, got {labels.unique().tolist()}")
        return
    # NaN is a label that is missing.
    labels = labels[~labels.isnan()]
    if task.kind == "regression":
        if bool(labels.isinf().any()):
            raise ValueError(f"{part} must have finite labels y, or NaN where one is missing, got infinity")
    elif labels.numel() and not 0 <= float(labels.min()) <= float(labels.max()) <= 1:
        found = labels.unique().tolist()
        raise ValueError(
            f"{part} must have labels y of 0 and 1 for a {task.kind} task, or NaN where one is missing, "
            f"got {found[:6]}{' …' if len(found) > 6 else ''}"
        )


def _check_others(part: str, graphs: Graphs, task: Task) -> None:
    """The graphs after the first, as far as that costs little."""
    if not isinstance(graphs, list | tuple):
        if (y := _stored(graphs, "y")) is not None:
            _check_labels(part, y, _stored(graphs, "label_mask"), task)
        return
    first = graphs[0]
    for number, data in enumerate(graphs):
        if different := sorted(set(first.keys()) ^ set(data.keys())):
            has, lacks = ("the first", number) if different[0] in first else (number, "the first")
            raise ValueError(
                f"{part} must hold graphs with the same keys, of which batches are made: {different[0]!r} is in graph "
                f"{has}, but not in graph {lacks}"
            )
        for key in ("x", "edge_attr"):
            if (found := _layout(data.get(key, None))) != (wanted := _layout(first.get(key, None))):
                raise ValueError(
                    f"{part} must have {key} like its first graph ({wanted}), got {found} in graph {number}"
                )
        _check_example(f"graph {number} of {part}" if number else part, data, task)


def _check_alike(parts: dict[str, Graphs]) -> None:
    """Weights that some parts lack would be read in training and missing in a test, or the other way round."""
    holders = [part for part, graphs in parts.items() if "edge_weight" in graphs[0]]
    if holders and (without := [part for part in parts if part not in holders]):
        raise ValueError(f"{without[0]} must have edge_weight like {holders[0]}, got none")


def _channels(parts: dict[str, Graphs], key: str, declared: Channels | None) -> Channels:
    examples = {part: graphs[0].get(key, None) for part, graphs in parts.items()}
    example = examples["train"]
    for part, value in examples.items():
        if _layout(value) != _layout(example):
            raise ValueError(f"{part} must have {key} like train ({_layout(example)}), got {_layout(value)}")
    if example.dim() != 2:
        raise ValueError(f"{key} must have shape [rows, channels], got {list(example.shape)}")
    if example.is_floating_point():
        return int(example.shape[1])
    if declared is None:
        features = [rows for graphs in parts.values() for rows in _features(graphs, key)]
        return _count_categories(key, features, example.shape[1])
    argument = "in_channels" if key == "x" else "edge_channels"
    categories = declared if isinstance(declared, tuple) else (declared,)
    if len(categories) != example.shape[1]:
        raise ValueError(
            f"{argument} must be the number of categories of each of the {example.shape[1]} columns of {key}, "
            f"got {declared}"
        )
    known = [rows for graphs in parts.values() for rows in _features(graphs, key, at_any_cost=False)]
    counted = _count_categories(key, known, example.shape[1])
    if any(count > size for count, size in zip(counted, categories, strict=True)):
        raise ValueError(f"{argument} must cover the categories that occur in {key}, {counted}, got {declared}")
    return categories


def _features(graphs: Graphs, key: str, at_any_cost: bool = True) -> list[Tensor]:
    """What the graphs hold, in one piece where it is kept so."""
    if (stored := _stored(graphs, key)) is not None:
        return [stored]
    cheap = isinstance(graphs, list | tuple)
    return [data[key] for data in graphs] if at_any_cost or cheap else [graphs[0][key]]


def _stored(graphs: Graphs, key: str) -> Tensor | None:
    """Of a data set in memory, the rows of all its graphs; none for others, or where access changes them."""
    if not isinstance(graphs, InMemoryDataset) or graphs.transform is not None:
        return None
    if type(graphs).get is not InMemoryDataset.get or graphs._data is None or key not in graphs._data:
        return None
    rows = graphs._data[key]
    if graphs.slices is None or key not in graphs.slices:
        return rows
    bounds = torch.as_tensor(graphs.slices[key])
    chosen = torch.zeros(len(bounds) - 1, dtype=torch.bool)
    chosen[torch.as_tensor(list(graphs.indices()), dtype=torch.long)] = True
    return rows[chosen.repeat_interleave(bounds.diff())]


def _count_categories(key: str, features: list[Tensor], num_columns: int) -> tuple[int, ...]:
    filled = [columns for columns in features if columns.numel()]
    if any(int(columns.min()) < 0 for columns in filled):
        raise ValueError(f"{key} must hold categories from 0 if it is integer, got {min(map(torch.min, filled))}")
    largest = [torch.zeros(num_columns, dtype=torch.long), *(columns.amax(0) for columns in filled)]
    return tuple((torch.stack(largest).amax(0) + 1).tolist())


def _layout(value: Tensor | None) -> str:
    return "none" if value is None else f"{value.dtype}, {'x'.join(['rows', *map(str, value.shape[1:])])}"
