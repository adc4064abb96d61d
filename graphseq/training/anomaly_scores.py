"""Scores of rows from errors in windows, and what they are worth where anomalies are labelled."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from graphseq.extras import needed_by

TOLERANCE = 100
"""Rows by which the UCR anomaly archive lets a location miss the labelled range (Wu and Keogh 2021)."""


def row_scores(
    errors: Float[Tensor, "windows length"], counted: Float[Tensor, "windows length"]
) -> Float[Tensor, " rows"]:
    """Mean error of each row over all windows that hold it.

    Args:
        errors: sum of the errors of each row of each window; window ``i`` begins at row ``i``.
        counted: how many values each sum is of.

    Returns:
        One score a row, of the ``windows + length - 1`` rows; 0 where nothing was expected or observed.

    Example:
        >>> errors = torch.tensor([[0.0, 2.0], [4.0, 6.0]])
        >>> row_scores(errors, torch.ones(2, 2))
        tensor([0., 3., 6.])
    """
    windows, length = errors.shape
    total, count = errors.new_zeros(2, windows + length - 1)
    for place in range(length):
        total[place : place + windows] += errors[:, place]
        count[place : place + windows] += counted[:, place]
    return total / count.clamp(min=1)


def detection(scores: Float[Tensor, " rows"], anomalous: Bool[Tensor, " rows"], threshold: float) -> dict[str, Tensor]:
    """How well scores find labelled anomalies.

    - ``located``: 1 if the row with the largest score lies in a labelled range, or misses it by fewer rows than
      :data:`TOLERANCE` or than the range has; the question of the UCR anomaly archive.
    - ``rocauc``, ``ap``: area under the ROC curve and average precision over all rows.
    - ``f1``: of the rows above the threshold; ``f1_adjusted``: where one such row in a range marks the whole range. The
      second is often published and says little: random scores do well in it.

    Args:
        scores: one for each row.
        anomalous: the labels.
        threshold: above which a row is flagged.

    Returns:
        The numbers by name; none if only one class is there.

    Raises:
        MissingExtraError: without ``torchmetrics``.
    """
    with needed_by("detection"):
        from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_f1_score

    if not bool(anomalous.any()) or bool(anomalous.all()):
        return {}
    top, flagged = int(scores.argmax()), scores > threshold
    adjusted, located = flagged.clone(), False
    for begin, end in labelled_ranges(anomalous):
        adjusted[begin:end] |= flagged[begin:end].any()
        margin = max(TOLERANCE, end - begin)
        located |= begin - margin < top < end - 1 + margin
    truth = anomalous.long()
    return {
        "located": torch.tensor(float(located)),
        # Ranks alone count; torchmetrics would squash what is not between 0 and 1, and lose ranks to rounding.
        "rocauc": binary_auroc(_ranks(scores), truth),
        "ap": binary_average_precision(_ranks(scores), truth),
        "f1": binary_f1_score(flagged.long(), truth),
        "f1_adjusted": binary_f1_score(adjusted.long(), truth),
    }


def labelled_ranges(anomalous: Bool[Tensor, " rows"]) -> list[tuple[int, int]]:
    """Where anomalies begin and end, half open.

    Example:
        >>> labelled_ranges(torch.tensor([False, True, True, False, True]))
        [(1, 3), (4, 5)]
    """
    padded = torch.nn.functional.pad(anomalous.long(), (1, 1))
    change = padded.diff().nonzero().flatten().tolist()
    return list(zip(change[::2], change[1::2], strict=True))


def _ranks(scores: Tensor) -> Tensor:
    """Equal for equal scores, between 0 and 1."""
    return scores.unique(return_inverse=True)[1].double() / scores.numel()
