"""Classification of whole series: the UCR and UEA archive, and arrays of your own."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.benchmark import Benchmark, Task
from graphseq.data.cells import as_cells, first_row, is_missing, shown
from graphseq.data.generated.dataset import GeneratedDataset
from graphseq.data.loaded import Loaded, Split
from graphseq.data.manifest import Manifest
from graphseq.extras import needed_by

# Some writers put a byte-order mark first.
_ENCODING = "utf-8-sig"

Sample = tuple[np.ndarray, str]


def load_series_archive(manifest: Manifest, root: Path, split: int) -> Loaded:
    """A set of the UCR/UEA archive (Dau et al. 2019, Bagnall et al. 2018) in its ``.ts`` files.

    A graph is one series: ``x`` has a row for each time and a column for each dimension, and no edges. A stratified
    fifth of the training part, under a fixed seed, validates.
    """
    train, test = (read_ts(root / file.to) for file in manifest.files)
    classes = sorted({label for _, label in train})
    if stray := sorted({label for _, label in test} - set(classes)):
        raise ValueError(f"test labels of {manifest.name} must be among those of training, {classes}, got {stray}")
    labels = np.array([classes.index(label) for _, label in (*train, *test)])
    dataset = _dataset([values for values, _ in (*train, *test)], labels)
    parts = _held_out(labels[: len(train)])
    return Loaded(dataset, Split(*parts, torch.arange(len(train), len(labels))))


def read_ts(path: Path) -> list[Sample]:
    """The series of a ``.ts`` file, gzipped or not: values ``[times, dimensions]`` and the label of each.

    Raises:
        ValueError: if a line holds dimensions of different lengths, another number of them than the first, or something
            that is no finite number; if its label is not among those that the file states; or if the file states that
            its series have no labels, or holds none after ``@data``.
    """
    stated: tuple[str, ...] = ()
    samples: list[Sample] = []
    with gzip.open(path, "rt", encoding=_ENCODING) if path.suffix == ".gz" else path.open(encoding=_ENCODING) as file:
        lines = enumerate((line.strip() for line in file), start=1)
        for _, line in lines:
            if line.lower() == "@data":
                break
            if line.lower().startswith("@classlabel"):
                stated = _stated_labels(line, path)
        for number, line in lines:
            if line:
                samples.append(_sample(line, f"{path}, line {number}", stated))
                if (found := samples[-1][0].shape[1]) != (wanted := samples[0][0].shape[1]):
                    raise ValueError(f"{path}, line {number} must hold {wanted} dimensions like the first, got {found}")
    if not samples:
        raise ValueError(f"{path} must hold series after a line @data, got none")
    return samples


def benchmark_from_arrays(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], *, name: str = "custom"
) -> Benchmark:
    """Series of equal length as a benchmark; in this form ``aeon.datasets.load_classification`` returns its sets.

    Args:
        train: values ``[series, dimensions, times]`` and the label of each series.
        test: the same.
        name: what it is called in results.

    Raises:
        ValueError: if an array has another shape, holds something that is no finite number or is beyond float32, a
            label is missing, or a test label is not among those of training.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> part = rng.normal(size=(20, 3, 50)), np.repeat(["a", "b"], 10)
        >>> benchmark = benchmark_from_arrays(part, part)
        >>> len(benchmark.train), len(benchmark.val), benchmark.in_channels, benchmark.task.num_outputs
        (16, 4, 3, 2)
    """
    for part, (values, labels) in (("train", train), ("test", test)):
        if values.ndim != 3 or np.shape(labels) != (len(values),):
            raise ValueError(
                f"{part} must hold values [series, dimensions, times] and a label for each series, "
                f"got shapes {list(values.shape)} and {list(np.shape(labels))}"
            )
        _check_values(part, values)
        if (row := first_row(as_cells(labels), _is_no_label)) is not None:
            raise ValueError(
                f"{part} must have a label for each series, got {shown(as_cells(labels)[row])} in row {row}"
            )
    classes = sorted({str(label) for label in train[1]})
    if stray := sorted({str(label) for label in test[1]} - set(classes)):
        raise ValueError(f"test must have labels of train, {classes}, got {stray}")
    numbered = [np.array([classes.index(str(label)) for label in labels]) for _, labels in (train, test)]
    graphs = [
        _dataset(list(values.swapaxes(1, 2)), labels)
        for (values, _), labels in zip((train, test), numbered, strict=True)
    ]
    fitted, held = _held_out(numbered[0])
    task = Task("graph", "multiclass", len(classes), "accuracy", maximize=True)
    return Benchmark.from_datasets(graphs[0][fitted], graphs[0][held], graphs[1], task, name=name)


def _stated_labels(line: str, path: Path) -> tuple[str, ...]:
    _, *words = line.split()
    if words and words[0].lower() == "false":
        raise ValueError(f"{path} must hold a label at the end of each series, got {line!r}")
    return tuple(words[1:])


def _sample(line: str, where: str, stated: tuple[str, ...]) -> Sample:
    *dimensions, label = line.split(":")
    try:
        rows = [np.array(dimension.split(","), dtype=np.float64) for dimension in dimensions]
    except ValueError as error:
        raise ValueError(f"{where} must hold numbers: {error}") from error
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"{where} must hold dimensions of one length, got {[len(row) for row in rows]}")
    values = np.stack(rows, axis=1)
    if not np.isfinite(values).all():
        raise ValueError(f"{where} must hold finite numbers, got {values[~np.isfinite(values)][0]}")
    label = label.strip()
    if not label or (stated and label not in stated):
        raise ValueError(f"{where} must end with a label{f' of {list(stated)}' if stated else ''}, got {label!r}")
    return values, label


def _check_values(part: str, values: np.ndarray) -> None:
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{part} must hold values that are numbers, got {values.dtype}")
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(values.astype(np.float32))
    if bad.any():
        series, dimension, time = np.argwhere(bad)[0].tolist()
        raise ValueError(
            f"{part} must hold finite values within float32, got {values[series, dimension, time]} in series {series}, "
            f"dimension {dimension}, time {time}: fill gaps before, and give series of different lengths as a list of "
            "graphs to Benchmark.from_datasets"
        )


def _is_no_label(label: Any) -> bool:
    return not label.strip() if isinstance(label, str) else is_missing(label)


def _dataset(series: list[np.ndarray], labels: np.ndarray) -> GeneratedDataset:
    return GeneratedDataset(
        Data(x=torch.from_numpy(np.ascontiguousarray(values)).float(), y=torch.tensor([int(label)]))
        for values, label in zip(series, labels, strict=True)
    )


def _held_out(labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Training and validation part."""
    with needed_by("a stratified split"):
        from sklearn.model_selection import train_test_split

    fitted, held = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=0, stratify=labels)
    return torch.from_numpy(np.sort(fitted)), torch.from_numpy(np.sort(held))
