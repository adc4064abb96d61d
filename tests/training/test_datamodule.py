"""Loaders: the order, the whole test set, transforms."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.transforms import BaseTransform, Constant

from graphseq.training import GraphDataModule


def _order(data: GraphDataModule, epoch: int, workers: int = 0) -> list[int]:
    data.num_workers = workers
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [number for batch in loader for number in batch.example.tolist()]


def test_the_order_depends_on_seed_and_epoch_alone(benchmark):
    first, second = (GraphDataModule.from_benchmark(benchmark(), batch_size=5, seed=3) for _ in range(2))
    torch.manual_seed(1)
    order = _order(first, epoch=2)
    torch.manual_seed(2)
    assert _order(second, epoch=2, workers=1) == order
    assert sorted(order) == list(range(12))
    assert _order(second, epoch=1) != order
    assert _order(GraphDataModule.from_benchmark(benchmark(), batch_size=5, seed=4), epoch=2) != order


def test_evaluation_sees_every_example_once_and_in_order(benchmark):
    data = GraphDataModule.from_benchmark(benchmark(), batch_size=4)
    for loader in (data.val_dataloader(), data.test_dataloader()):
        assert [number for batch in loader for number in batch.example.tolist()] == list(range(7))


class Noise(BaseTransform):
    """Adds a random feature, anew on every use."""

    def forward(self, data):
        data.noise = torch.rand(1)
        return data


def test_a_transform_in_a_worker_repeats_with_the_epoch(benchmark):
    def noise(epoch: int) -> torch.Tensor:
        data = GraphDataModule.from_benchmark(benchmark(), transforms=[Noise()], num_workers=1)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch.noise for batch in loader])

    assert torch.equal(noise(1), noise(1))
    assert not torch.equal(noise(1), noise(2))


def test_pre_transforms_apply_once_and_leave_the_data_alone(benchmark):
    ours = benchmark()
    data = GraphDataModule.from_benchmark(ours, pre_transforms=[Constant()])
    assert next(iter(data.train_dataloader())).x.shape[1] == 4
    assert data.signature.in_channels == 4
    assert ours.train[0].x.shape[1] == 3


def test_an_unknown_data_set_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"'ogbg-molesl'.*ogbg-molesol"):
        GraphDataModule("ogbg-molesl")


def test_generated_data_need_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"num_nodes": 10, "num_train": 10, "num_val": 5, "num_test": 5}
    data = GraphDataModule("ring-transfer", options=options)
    assert data.signature.task.num_outputs == 5
    assert next(iter(data.train_dataloader())).num_graphs == 10
    assert not list(tmp_path.iterdir())
