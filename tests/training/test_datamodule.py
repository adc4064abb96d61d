"""Loaders: the order, the whole test set, transforms."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, Constant

from graphseq.data import Benchmark, SignedNetwork, Task, signed_benchmark
from graphseq.data.series import Borders, Series
from graphseq.training import GraphDataModule, SeriesDataModule


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


def _declared() -> Benchmark:
    """Categories 0 to 2 occur, of ten that there are."""
    data = Data(
        x=torch.tensor([[0], [1], [2]]),
        edge_index=torch.tensor([[0, 1], [1, 2]]),
        edge_attr=torch.tensor([[0, 1], [1, 0]]),
        y=torch.tensor([0]),
    )
    task = Task("graph", "multiclass", 3, "accuracy", maximize=True)
    return Benchmark.from_datasets(
        [data], [data], [data], task, name="mine", in_channels=(10,), edge_channels=(4, 5), num_splits=7, split=3
    )


class Change(BaseTransform):
    """Changes the features as it is told."""

    def __init__(self, change):
        self.change = change

    def forward(self, data):
        data.x = self.change(data.x)
        return data


@pytest.mark.parametrize(
    ("change", "in_channels"),
    [
        (lambda x: x, (10,)),
        (lambda x: x + 20, (23,)),
        (lambda x: torch.cat([x, 4 * x], 1), (10, 9)),
        (lambda x: x.float(), 1),
    ],
)
def test_what_a_benchmark_declares_outlives_a_transform(change, in_channels):
    """Categories that never occur above all, which cannot be counted."""
    ours = _declared()
    data = GraphDataModule.from_benchmark(ours, pre_transforms=[Change(change)])
    assert data.signature.in_channels == in_channels
    assert data.signature.edge_channels == (4, 5)
    kept = data.benchmark
    assert (kept.name, kept.task, kept.num_splits, kept.split) == ("mine", ours.task, 7, 3)
    assert (data.name, data.split) == ("mine", 3)
    assert GraphDataModule.from_benchmark(ours).split == 3


class Drop(BaseTransform):
    """Leaves out the features of edges."""

    def forward(self, data):
        data.edge_attr = None
        return data


def test_edges_may_lose_their_features():
    data = GraphDataModule.from_benchmark(_declared(), pre_transforms=[Drop()])
    assert data.signature.edge_channels is None


def _one_graph() -> Benchmark:
    masks = {f"{part}_mask": torch.arange(6) % 3 == number for number, part in enumerate(("train", "val", "test"))}
    data = Data(x=torch.ones(6, 1), edge_index=torch.zeros(2, 0, dtype=torch.long), y=torch.arange(6) % 2, **masks)
    graphs = [data]
    return Benchmark.from_datasets(graphs, graphs, graphs, Task("node", "multiclass", 2, "accuracy", maximize=True))


def test_a_graph_that_is_every_part_is_transformed_once():
    data = GraphDataModule.from_benchmark(_one_graph(), pre_transforms=[Noise()])
    (train,), (val,), (test,) = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    assert train.noise.equal(val.noise) and train.noise.equal(test.noise)


def test_nothing_is_held_out_of_one_graph_that_is_validated_on_its_test_nodes():
    ours = _one_graph()
    data = GraphDataModule.from_benchmark(ours, validate_on_test=True)
    (train,), (val,), (test,) = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    assert train.train_mask.tolist() == [True, True, False] * 2
    assert val.val_mask.equal(test.test_mask) and val.val_mask.tolist() == [False, False, True] * 2
    assert ours.train[0].train_mask.tolist() == [True, False, False] * 2


@pytest.mark.parametrize("argument", ["name", "root", "mirror", "split", "options"])
def test_how_a_named_set_is_loaded_is_no_matter_of_a_benchmark(argument):
    with pytest.raises(TypeError, match=f"{argument} says how a named data set is loaded"):
        GraphDataModule.from_benchmark(_declared(), **{argument: 1})


@pytest.mark.parametrize("argument", ["name", "root", "mirror", "options"])
def test_how_a_named_series_is_loaded_is_no_matter_of_a_given_one(argument):
    series = Series(torch.randn(30, 1, dtype=torch.float64), ("a",), Borders.of_fractions(30))
    with pytest.raises(TypeError, match=f"{argument} says how a named series is loaded"):
        SeriesDataModule.from_series(series, lookback=2, horizon=1, **{argument: "x"})


def test_processes_must_share_a_batch_equally_but_for_a_stream():
    with pytest.raises(ValueError, match=r"must be a multiple of their number \(2\), got 5"):
        GraphDataModule.from_benchmark(_declared(), batch_size=5).check_share(2)
    GraphDataModule.from_benchmark(_declared(), batch_size=6).check_share(2)
    events = signed_benchmark(SignedNetwork(num_nodes=10, num_events=60).events)
    GraphDataModule.from_benchmark(events, batch_size=1, shuffle=False).check_share(2)
