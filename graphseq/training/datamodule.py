"""Loaders for a data set of graphs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import ConcatDataset, Dataset
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import BaseTransform, Compose

from graphseq.data import Benchmark, load
from graphseq.data import names as dataset_names
from graphseq.data.benchmark import Channels
from graphseq.data.manifest import nearest
from graphseq.training.loading import check_batch_size, epoch_loader
from graphseq.training.signature import Signature


class GraphDataModule(pl.LightningDataModule):
    """A named data set, or one of your own by :meth:`from_benchmark`, for training, validation and test.

    The order of training examples depends on the seed and the epoch alone, not on the number of processes or workers.
    Processes share the examples, except where each has to see all of them: those of a stream, whose chunks follow one
    another (they carry the key ``begins``), and those that are predicted.

    Args:
        name: one of :func:`graphseq.data.names`.
        root: folder for raw and processed files.
        mirror: folder with raw files, looked into before anything is downloaded.
        split: which split, where the data set has several.
        batch_size: examples in a step, over all processes.
        num_workers: processes that load.
        pre_transforms: applied to every example once, after loading.
        transforms: applied to an example each time it is used.
        options: for generated data sets, what they are made with.
        seed: of the order of training examples; that of ``seed_everything`` if not given.
        validate_on_test: train on the training and the validation part together, and validate on the test part, as the
            protocols of ``graphseq folds`` do. What is chosen by such a validation has seen the test set.
        shuffle: whether training examples come in random order; chunks of a stream must not.
    """

    def __init__(
        self,
        name: str,
        root: str | None = None,
        mirror: str | None = None,
        split: int = 0,
        batch_size: int = 32,
        num_workers: int = 0,
        pre_transforms: list[BaseTransform] | None = None,
        transforms: list[BaseTransform] | None = None,
        options: dict[str, Any] | None = None,
        seed: int | None = None,
        validate_on_test: bool = False,
        shuffle: bool = True,
    ) -> None:
        super().__init__()
        if name not in dataset_names():
            raise ValueError(f"name must be a known data set, got {name!r}{nearest(name, dataset_names())}")
        self.name, self.root, self.mirror, self.split = name, root, mirror, split
        self.batch_size, self.num_workers = batch_size, num_workers
        self.pre_transforms, self.transforms = pre_transforms or [], transforms or []
        self.options, self.seed, self.shuffle = options or {}, seed, shuffle
        self.validate_on_test = validate_on_test
        self._benchmark: Benchmark | None = None

    @classmethod
    def from_benchmark(cls, benchmark: Benchmark, **arguments: Any) -> GraphDataModule:
        """Wrap data sets of your own, see :meth:`graphseq.data.Benchmark.from_datasets`.

        What the benchmark declares holds after ``pre_transforms`` too: the name, the split, and the categories of a
        column, which grow where a transform makes more of them. Columns that a transform adds behind are counted.

        Args:
            benchmark: the data.
            arguments: ``batch_size``, ``num_workers``, ``pre_transforms``, ``transforms``, ``seed``, ``shuffle`` and
                ``validate_on_test`` as above.

        Raises:
            TypeError: if there is an argument that only says how a named data set is loaded.
        """
        for argument in arguments:
            if argument in ("name", "root", "mirror", "split", "options"):
                raise TypeError(f"{argument} says how a named data set is loaded; a benchmark brings its own")
        module = cls(dataset_names()[0], **arguments)
        module.name, module.split = benchmark.name, benchmark.split
        once = module._pre_transform
        module._benchmark = benchmark if once is None else _transformed(benchmark, once)
        return module

    @property
    def signature(self) -> Signature:
        """What the data asks of a network."""
        return Signature.of(self.benchmark)

    @property
    def benchmark(self) -> Benchmark:
        """The data, loaded on first use."""
        if self._benchmark is None:
            self._benchmark = load(
                str(self.name), self.root, self.mirror, self.split, pre_transform=self._pre_transform, **self.options
            )
        return self._benchmark

    def prepare_data(self) -> None:
        _ = self.benchmark

    def setup(self, stage: str) -> None:
        _ = self.benchmark

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=self.shuffle)

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader:
        return self._loader("test", shared=False)

    def check_share(self, processes: int) -> None:
        """Raise a ``ValueError`` if this many processes cannot share a batch equally."""
        if not self._is_stream:
            check_batch_size(self.batch_size, processes)

    @property
    def _is_stream(self) -> bool:
        return "begins" in self.benchmark.train[0]

    @property
    def _pre_transform(self) -> Compose | None:
        return Compose(self.pre_transforms) if self.pre_transforms else None

    def _examples(self, split: str) -> Any:
        if not self.validate_on_test:
            return getattr(self.benchmark, split)
        if "train_mask" in self.benchmark.train[0]:
            # One graph is each of the parts, which differ in their masks alone.
            return [_validated_on_test(data) for data in getattr(self.benchmark, split)]
        if split == "train":
            return ConcatDataset([self.benchmark.train, self.benchmark.val])  # type: ignore[list-item]
        return self.benchmark.test

    def _loader(self, split: str, *, shuffle: bool = False, shared: bool = True) -> DataLoader:
        return epoch_loader(
            DataLoader,
            _Numbered(self._examples(split), Compose(self.transforms)),
            self.trainer if shared and not self._is_stream else None,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            shuffle=shuffle,
            seed=self.seed,
        )


def _transformed(benchmark: Benchmark, once: Compose) -> Benchmark:
    parts: dict[int, list[Data]] = {}
    for part in (benchmark.train, benchmark.val, benchmark.test):
        if id(part) not in parts:  # one graph may be all three
            parts[id(part)] = [once(data) for data in part]
    train, val, test = (parts[id(part)] for part in (benchmark.train, benchmark.val, benchmark.test))
    made = Benchmark.from_datasets(train, val, test, benchmark.task)
    return dataclasses.replace(
        benchmark,
        train=train,
        val=val,
        test=test,
        in_channels=_declared(benchmark.in_channels, made.in_channels),
        edge_channels=None if made.edge_channels is None else _declared(benchmark.edge_channels, made.edge_channels),
    )


def _declared(before: Channels | None, counted: Channels) -> Channels:
    """The sizes after a transform: at least what was declared, for the columns that were there before."""
    if isinstance(before, tuple) and isinstance(counted, tuple):
        declared = before + (0,) * len(counted)  # a transform adds its columns behind
        return tuple(map(max, counted, declared))
    return counted


def _validated_on_test(data: Data) -> Data:
    changed = copy.copy(data)
    changed.train_mask, changed.val_mask = data.train_mask | data.val_mask, data.test_mask
    return changed


class _Numbered(Dataset):
    """Examples that carry their number, by which a prediction finds its place again."""

    def __init__(self, examples: Dataset | Sequence[Data], transform: BaseTransform) -> None:
        self.examples: Any = examples
        self.transform = transform

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: int) -> Data:
        data = self.transform(copy.copy(self.examples[number]))
        data.example = number
        return data
