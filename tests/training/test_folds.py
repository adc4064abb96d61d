"""The protocols of the TU collection: what is trained on, what is tested, and which number is taken."""

from __future__ import annotations

import numpy as np
import pytest

from graphseq.training import GraphDataModule
from graphseq.training.folds import best_common_epoch, last_epochs


def test_the_last_ten_epochs_are_averaged():
    scores = np.stack([np.arange(30.0), np.full(30, 2.0)])
    assert last_epochs(scores).tolist() == [24.5, 2.0]


def test_the_best_epoch_is_one_for_all_folds():
    scores = np.array([[0.9, 0.5, 0.1], [0.1, 0.6, 0.2]])
    assert best_common_epoch(scores).tolist() == [0.5, 0.6]


@pytest.mark.parametrize("on_test", [True, False])
def test_nothing_is_held_out_of_a_fold_that_is_tested_after_every_epoch(benchmark, on_test):
    data = benchmark("multiclass")
    module = GraphDataModule.from_benchmark(data, validate_on_test=on_test, batch_size=100)
    (train,), (val,), (test,) = module.train_dataloader(), module.val_dataloader(), module.test_dataloader()
    assert train.num_graphs == 12 + (7 if on_test else 0)
    assert val.x.equal(test.x) == on_test
