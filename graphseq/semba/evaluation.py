"""Scores of signed predictions: ranking, rare class, threshold from validation, nodes never seen in training."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Data

from graphseq.extras import needed_by
from graphseq.semba.answers import Answers

_NEGATIVE, _POSITIVE, _NONE = 0, 1, 2


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
    metrics = _of_classes()
    return SignScores(
        float(metrics.binary_auroc(logits.sigmoid(), positive.long())),
        float(metrics.binary_average_precision((-logits).sigmoid(), (~positive).long())),
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


def score_answers(task: str, val: Answers, test: Answers) -> dict[str, float]:
    """The scores of a task.

    =============  ================================================================================================
    ``sign``       ``rocauc``, ``ap_negative`` (average precision of negative signs) and ``macro_f1`` at the
                   threshold that is best on validation questions
    ``existence``  ``rocauc``, ``ap`` and ``mrr``, the mean reciprocal rank of an event among the pairs drawn for it
    ``joint``      ``macro_f1`` and ``weighted_f1`` of the likeliest of three classes, ``existence_rocauc`` of not
                   being none, ``sign_rocauc`` among real events
    ``weight``     ``rmse``, ``pearson`` correlation and ``r2``
    =============  ================================================================================================

    Args:
        task: its name.
        val: answers of the validation pass, where a threshold is chosen.
        test: answers of the test pass, which are scored.

    Raises:
        ValueError: if there is no such task.
    """
    if task not in _SCORES:
        raise ValueError(f"task must be one of {', '.join(_SCORES)}, got {task!r}")
    return _SCORES[task](val, test)


def score_unseen(task: str, val: Answers, test: Answers, train: Iterable[Data]) -> dict[int, dict[str, float]]:
    """The scores of a task apart for events of which no, one or both ends took part in no training event.

    All come from the same pass, in which a node that training never saw may have events by the time it is asked about.
    Pairs drawn for an event count with it. Scores of a part without both classes are those of :mod:`torchmetrics`.

    Args:
        task: its name.
        val, test: as in :func:`score_answers`.
        train: chunks of the training pass.

    Returns:
        Scores by number of unseen ends; numbers of which there are no events are left out.
    """
    trained = torch.cat([chunk.edge_index for chunk in train], dim=1)
    first = torch.cat([torch.ones(1, dtype=torch.bool), test.event.diff() != 0])
    asked = first.cumsum(0) - 1
    number = unseen_ends(test.pairs[:, first], trained, int(max(test.pairs.max(), trained.max())) + 1)[asked]
    return {int(value): score_answers(task, val, test.where(number == value)) for value in number.unique()}


def _sign(val: Answers, test: Answers) -> dict[str, float]:
    threshold = best_threshold(val.logits[:, 0], val.target > 0)
    scores = score_signs(test.logits[:, 0], test.target > 0, threshold)
    return {"rocauc": scores.rocauc, "ap_negative": scores.ap_negative, "macro_f1": scores.macro_f1}


def _existence(val: Answers, test: Answers) -> dict[str, float]:
    metrics = _of_classes()
    probability, target = test.logits[:, 0].sigmoid(), test.target.long()
    groups = int(target.sum())
    return {
        "rocauc": float(metrics.binary_auroc(probability, target)),
        "ap": float(metrics.binary_average_precision(probability, target)),
        "mrr": float(reciprocal_rank(test.logits[:, 0].reshape(groups, -1)).mean()),
    }


def _joint(val: Answers, test: Answers) -> dict[str, float]:
    metrics = _of_classes()
    target, real = test.target.long(), test.target != _NONE
    f1 = {
        f"{average}_f1": float(metrics.multiclass_f1_score(test.logits, target, num_classes=3, average=average))
        for average in ("macro", "weighted")
    }
    existence = torch.logsumexp(test.logits[:, :_NONE], dim=1) - test.logits[:, _NONE]
    sign = test.logits[:, _POSITIVE] - test.logits[:, _NEGATIVE]
    return f1 | {
        "existence_rocauc": float(metrics.binary_auroc(existence.sigmoid(), real.long())),
        "sign_rocauc": float(metrics.binary_auroc(sign[real].sigmoid(), target[real])),
    }


def _weight(val: Answers, test: Answers) -> dict[str, float]:
    metrics = _of_numbers()
    predicted, target = test.logits[:, 0], test.target.double()
    return {
        "rmse": float(metrics.mean_squared_error(predicted, target, squared=False)),
        "pearson": float(metrics.pearson_corrcoef(predicted, target)),
        "r2": float(metrics.r2_score(predicted, target)),
    }


_SCORES = {"sign": _sign, "existence": _existence, "joint": _joint, "weight": _weight}


def _macro_f1(logits: Tensor, positive: Tensor, threshold: float) -> Tensor:
    metrics = _of_classes()
    called = (logits >= threshold).long()
    both = metrics.binary_f1_score(called, positive.long()), metrics.binary_f1_score(1 - called, (~positive).long())
    return sum(both) / 2


def _of_classes() -> ModuleType:
    with needed_by("scoring signed predictions"):
        from torchmetrics.functional import classification
    return classification


def _of_numbers() -> ModuleType:
    with needed_by("scoring signed predictions"):
        from torchmetrics.functional import regression
    return regression
