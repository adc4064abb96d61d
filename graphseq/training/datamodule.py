"""Loaders for a data set of graphs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import ConcatDataset, Dataset
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import BaseTransform, Compose

from graphseq.data import Benchmark, load
from graphseq.data import names as dataset_names
from graphseq.data.manifest import nearest
from graphseq.training.loading import epoch_loader
from graphseq.training.signature import Signature


class GraphDataModule(pl.LightningDataModule):
    """A named data set, or one of your own by :meth:`from_benchmark`, for training, validation and test.

    The order of training examples depends on the seed and the epoch alone, not on the number of processes or workers.

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

        Args:
            benchmark: the data.
            arguments: ``batch_size``, ``num_workers``, ``pre_transforms``, ``transforms``, ``seed`` and ``shuffle``
            as above.
        """
        module = cls(dataset_names()[0], **arguments)
        module.name = benchmark.name
        once = module._pre_transform
        if once is not None:
            train, val, test = (
                [once(data) for data in part] for part in (benchmark.train, benchmark.val, benchmark.test)
            )
            benchmark = Benchmark.from_datasets(train, val, test, benchmark.task, name=benchmark.name)
        module._benchmark = benchmark
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
        return self._loader("test")

    @property
    def _pre_transform(self) -> Compose | None:
        return Compose(self.pre_transforms) if self.pre_transforms else None

    def _examples(self, split: str) -> Any:
        if not self.validate_on_test:
            return getattr(self.benchmark, split)
        if split == "train":
            return ConcatDataset([self.benchmark.train, self.benchmark.val])  # type: ignore[list-item]
        return self.benchmark.test

    def _loader(self, split: str, *, shuffle: bool = False) -> DataLoader:
        return epoch_loader(
            DataLoader,
            _Numbered(self._examples(split), Compose(self.transforms)),
            self.trainer,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            shuffle=shuffle,
            seed=self.seed,
        )


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
