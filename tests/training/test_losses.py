"""Losses as sums and weights."""

import pytest
import torch
from torch.nn import functional

from graphseq.data import Task
from graphseq.training.losses import make_loss


def _task(kind: str, outputs: int, metric: str) -> Task:
    return Task("graph", kind, outputs, metric, maximize=True)


def test_entries_without_label_have_no_part_in_the_loss():
    loss = make_loss(_task("multilabel", 2, "ap"))
    logits = torch.tensor([[1.0, 5.0], [-2.0, 3.0]], requires_grad=True)
    total, weight = loss(logits, torch.tensor([[1.0, torch.nan], [0.0, 1.0]]))
    by_hand = torch.tensor([1.0, 2.0, 3.0]).neg().exp().log1p().sum()
    torch.testing.assert_close(total, by_hand)
    assert weight == 3
    total.backward()
    assert logits.grad[0, 1] == 0


def test_class_weights_give_the_weighted_mean_of_torch():
    weights, logits, y = [1.0, 2.0, 4.0], torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    total, weight = make_loss(_task("multiclass", 3, "accuracy"), weights)(logits, y)
    torch.testing.assert_close(total / weight, functional.cross_entropy(logits, y, weight=torch.tensor(weights)))


@pytest.mark.parametrize(("metric", "expected"), [("mae", 1.5), ("rmse", 2.5)])
def test_regression_minimises_what_its_metric_measures(metric, expected):
    total, weight = make_loss(_task("regression", 1, metric))(
        torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [4.0]])
    )
    assert total / weight == expected


def test_class_weights_of_the_wrong_number_are_refused():
    with pytest.raises(ValueError, match=r"class_weights .* got 2 weights .* with 3 outputs"):
        make_loss(_task("multiclass", 3, "accuracy"), [1.0, 2.0])


def test_balanced_classes_count_the_same_however_rare():
    """The loss of the released SEMBA: the mean over positive events plus that over negative ones."""
    logits = torch.tensor([[0.3], [-1.0], [2.0], [0.5]], requires_grad=True)
    y = torch.tensor([[1.0], [1.0], [0.0], [1.0]])
    total, weight = make_loss(_task("binary", 1, "rocauc"), "balanced")(logits, y)
    losses = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")[:, 0]
    torch.testing.assert_close(total, losses[[0, 1, 3]].mean() + losses[2])
    assert weight == 2
    total.backward()
    assert logits.grad[2].abs() > logits.grad[[0, 1, 3]].abs().max()


def test_classes_that_a_batch_lacks_have_no_part_in_the_balance():
    logits, y = torch.randn(5, 3), torch.tensor([0, 2, 2, 0, 2])
    total, weight = make_loss(_task("multiclass", 3, "accuracy"), "balanced")(logits, y)
    losses = functional.cross_entropy(logits, y, reduction="none")
    torch.testing.assert_close(total / weight, (losses[[0, 3]].mean() + losses[[1, 2, 4]].mean()) / 2)


def test_real_targets_have_no_classes_to_balance():
    with pytest.raises(ValueError, match=r"class_weights can be 'balanced' .* got a regression task"):
        make_loss(_task("regression", 1, "rmse"), "balanced")
