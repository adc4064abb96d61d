"""Scores of signed predictions: ranking, rare class, threshold from validation, nodes never seen in training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_f1_score


class SignScores(NamedTuple):
    """Of the signs of given events.

    Args:
        rocauc: area under the ROC curve.
        ap_negative: average precision of the negative class; its share among the events is what chance gets.
        macro_f1: mean of the F1 of both classes, at the threshold that was best on validation events.
        events: how many.
    """

    rocauc: float
    ap_negative: float
    macro_f1: float
    events: int


def best_threshold(logits: Float[Tensor, " events"], positive: Bool[Tensor, " events"]) -> float:
    """The logit above which an event is called positive for the best macro F1, among 200 quantiles."""
    candidates = torch.quantile(logits.double(), torch.linspace(0, 1, 200, dtype=torch.float64)).unique()
    scores = torch.stack([_macro_f1(logits, positive, float(candidate)) for candidate in candidates])
    return float(candidates[scores.argmax()])


def score_signs(logits: Float[Tensor, " events"], positive: Bool[Tensor, " events"], threshold: float) -> SignScores:
    """Score the logits of positive signs.

    Args:
        logits: large for positive.
        positive: the truth.
        threshold: from :func:`best_threshold` on validation events.
    """
    return SignScores(
        float(binary_auroc(logits.sigmoid(), positive.long())),
        float(binary_average_precision((-logits).sigmoid(), (~positive).long())),
        float(_macro_f1(logits, positive, threshold)),
        len(logits),
    )


def unseen_ends(
    pairs: Int[Tensor, "2 events"], trained: Int[Tensor, "2 events_in_training"], num_nodes: int
) -> Int[Tensor, " events"]:
    """How many ends of each pair, 0 to 2, took no part in a training event; for scores apart from the same pass."""
    seen = torch.zeros(num_nodes, dtype=torch.bool, device=pairs.device).index_fill(0, trained.flatten(), True)
    return (~seen[pairs]).sum(0)


def reciprocal_rank(logits: Float[Tensor, "events candidates"]) -> Float[Tensor, " events"]:
    """Of each event, one over the rank of its first candidate, the true one, among all; ties count half.

    Example:
        >>> reciprocal_rank(torch.tensor([[2.0, 1.0, 3.0], [1.0, 1.0, 0.0]]))
        tensor([0.5000, 0.6667])
    """
    true, others = logits[:, :1], logits[:, 1:]
    return 1 / (1 + (others > true).sum(1) + 0.5 * (others == true).sum(1))


def _macro_f1(logits: Tensor, positive: Tensor, threshold: float) -> Tensor:
    called = (logits >= threshold).long()
    return (binary_f1_score(called, positive.long()) + binary_f1_score(1 - called, (~positive).long())) / 2
