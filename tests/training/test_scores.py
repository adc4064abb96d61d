"""Metrics against numbers worked out by hand, and predictions in the order of the data."""

import math

import pytest
import torch

from graphseq.data import Task
from graphseq.training.scores import Predictions, score

NAN = torch.nan


def _task(kind: str, outputs: int, metric: str) -> Task:
    return Task("graph", kind, outputs, metric, maximize=metric not in ("rmse", "mae"))


def test_accuracy_counts_rows():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [5.0, 0.0, 0.0]])
    assert score(_task("multiclass", 3, "accuracy"), logits, torch.tensor([0, 2, 2, 0])) == 0.75


def test_roc_auc_is_the_share_of_pairs_in_order():
    logits, y = torch.tensor([[3.0], [1.0], [2.0], [0.0]]), torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    assert score(_task("binary", 1, "rocauc"), logits, y) == pytest.approx(3 / 4)


def test_average_precision_is_the_mean_over_labels_with_both_classes():
    # First label: positives at ranks 1 and 3 of the labelled rows, (1 + 2/3) / 2. Second: one class only, left out.
    logits = torch.tensor([[4.0, 0.0], [3.0, 1.0], [2.0, 2.0], [9.0, 3.0]])
    y = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [NAN, 1.0]])
    assert score(_task("multilabel", 2, "ap"), logits, y) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize(("metric", "expected"), [("rmse", math.sqrt(5)), ("mae", 2.0)])
def test_errors_of_regression(metric, expected):
    logits, y = torch.tensor([[1.0], [2.0], [0.0]]), torch.tensor([[0.0], [5.0], [NAN]])
    assert score(_task("regression", 1, metric), logits, y) == pytest.approx(expected)


def test_a_label_with_one_class_cannot_be_scored():
    assert math.isnan(score(_task("binary", 1, "rocauc"), torch.tensor([[1.0], [2.0]]), torch.ones(2, 1)))


def test_the_evaluator_of_ogb_agrees_with_ours():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 27, generator=generator)
    y = torch.randint(0, 2, (40, 27), generator=generator).float()
    y[torch.rand(40, 27, generator=generator) < 0.2] = NAN
    task = _task("multilabel", 27, "rocauc")
    assert score(task, logits, y, "ogbg-molsider") == pytest.approx(score(task, logits, y), abs=1e-6)


def test_predictions_come_back_in_the_order_of_the_data_and_once():
    predictions = Predictions()
    for example, place in [(2, 0), (0, 1), (0, 0), (2, 0), (1, 0)]:
        predictions.update(
            torch.tensor([[10.0 * example + place]]), torch.tensor([example]), torch.tensor([[example, place]])
        )
    logits, targets = predictions.compute()
    assert logits.flatten().tolist() == [0, 1, 10, 20]
    assert targets.tolist() == [0, 0, 1, 2]
