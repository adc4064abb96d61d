"""Which rows count, and what a checkpoint holds."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch_geometric.data import Data

from graphseq.data import Benchmark, Task
from graphseq.training import GraphDataModule, GraphTask
from graphseq.training.budget import count_parameters


def _one_graph() -> Benchmark:
    """Ten nodes whose label is readable from x, save that it is wrong wherever a mask should hide it."""
    y = torch.arange(10) % 2
    x = torch.stack([1.0 - y, y], dim=1)
    parts = torch.arange(10) % 3
    label_mask = torch.arange(10) < 8
    wrong = torch.where(label_mask, y, 1 - y)
    masks = {f"{split}_mask": parts == number for number, split in enumerate(("train", "val", "test"))}
    data = Data(x=x, edge_index=torch.zeros(2, 0, dtype=torch.long), y=wrong, label_mask=label_mask, **masks)
    task = Task("node", "multiclass", 2, "accuracy", maximize=True)
    return Benchmark.from_datasets([data], [data], [data], task)


def test_only_nodes_of_the_split_that_carry_a_label_count(trainer, sum_network):
    data = GraphDataModule.from_benchmark(_one_graph())
    task = GraphTask(sum_network, lr=0.1)
    run = trainer(30)
    run.fit(task, data)
    loader = next(iter(data.test_dataloader()))
    for split, nodes in {"train": [0, 3, 6], "val": [1, 4, 7], "test": [2, 5]}.items():
        task._predict(loader, split)
        store = task._predictions(split)
        assert torch.cat(store.keys)[:, 1].tolist() == nodes
        store.reset()
    assert run.test(task, data, verbose=False)[0]["test/accuracy"] == 1.0


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_training_lowers_the_loss(kind, trainer, benchmark, sum_network):
    data, task, losses = (
        GraphDataModule.from_benchmark(benchmark(kind), batch_size=4),
        GraphTask(sum_network, lr=0.05),
        [],
    )
    task.on_train_epoch_start = lambda: losses.append(trainer_run.callback_metrics.get("train/loss"))
    trainer_run = trainer(20)
    trainer_run.fit(task, data)
    assert trainer_run.callback_metrics["train/loss"] < 0.9 * losses[1]


def test_scores_do_not_depend_on_the_batches(trainer, benchmark, sum_network):
    task, results = GraphTask(partial(sum_network)), []
    for batch_size in (1, 3, 7):
        data = GraphDataModule.from_benchmark(benchmark("multilabel"), batch_size=batch_size)
        torch.manual_seed(0)
        results.append(trainer().test(task, data, verbose=False)[0])
    for result in results[1:]:
        assert result == pytest.approx(results[0], rel=1e-6)


def test_score_is_larger_where_the_error_is_smaller(trainer, benchmark, sum_network):
    data = GraphDataModule.from_benchmark(benchmark("regression"))
    result = trainer().test(GraphTask(sum_network), data, verbose=False)[0]
    assert result["test/score"] == -result["test/rmse"]


def test_a_checkpoint_loads_without_the_data_and_without_pickled_code(trainer, benchmark, sum_network, tmp_path):
    data, task = GraphDataModule.from_benchmark(benchmark()), GraphTask(sum_network)
    run = trainer(1)
    run.fit(task, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    torch.load(tmp_path / "model.ckpt", weights_only=True)
    again = GraphTask.load_from_checkpoint(tmp_path / "model.ckpt", network=sum_network, weights_only=True)
    batch = next(iter(data.test_dataloader()))
    torch.testing.assert_close(again(batch), task(batch), rtol=0, atol=0)


def test_a_parameter_budget_sets_the_width(trainer, benchmark, sum_network):
    task = GraphTask(sum_network, parameters=700)
    trainer().test(task, GraphDataModule.from_benchmark(benchmark()), verbose=False)
    assert count_parameters(task) == 3 * 100 + 100 + 100 * 3 + 3


def test_a_network_without_its_data_says_what_to_do(sum_network):
    with pytest.raises(ValueError, match="call build"):
        GraphTask(sum_network)(Data())
