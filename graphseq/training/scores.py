"""The metric of a task, from all predictions of a split at once."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional import mean_absolute_error, mean_squared_error
from torchmetrics.functional.classification import (
    binary_accuracy,
    binary_auroc,
    binary_average_precision,
    multiclass_accuracy,
)
from torchmetrics.utilities import dim_zero_cat

from graphseq.data import Task
from graphseq.extras import needed_by

_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": binary_accuracy,
    "rocauc": binary_auroc,
    "ap": binary_average_precision,
}


class Predictions(Metric):
    """All predictions of a split, gathered over processes.

    A sampler that shares examples out among processes repeats some to make the shares equal. Each row therefore
    carries the number of its example and its place there: repeats are dropped and the rows come back in the order of
    the data set, so that a score does not depend on the number of processes or on the batches.
    """

    full_state_update = False
    logits: list[Tensor]
    targets: list[Tensor]
    keys: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("logits", "targets", "keys"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(
        self,
        logits: Float[Tensor, "rows outputs"],
        targets: Shaped[Tensor, "rows *outputs"],
        keys: Int[Tensor, "rows 2"],
    ) -> None:
        self.logits.append(logits.detach().float())
        self.targets.append(targets)
        self.keys.append(keys)

    def compute(self) -> tuple[Tensor, Tensor]:
        keys = dim_zero_cat(self.keys)
        unique, inverse = keys.unique(dim=0, return_inverse=True)
        rows = torch.empty(unique.shape[0], dtype=torch.int64, device=keys.device)
        rows[inverse] = torch.arange(keys.shape[0], device=keys.device)
        return dim_zero_cat(self.logits)[rows], dim_zero_cat(self.targets)[rows]


def score(
    task: Task, logits: Float[Tensor, "rows outputs"], y: Shaped[Tensor, "rows *outputs"], dataset: str = ""
) -> float:
    """The task's metric; for the sets of the Open Graph Benchmark, as its own evaluator computes it.

    Metrics of labels are computed for each output over the rows that carry a label, then averaged over the outputs:
    for the area under the ROC curve and the average precision, over those outputs that have both classes.

    Args:
        task: what was predicted.
        logits: predictions before the sigmoid or softmax.
        y: targets, NaN where there is none.
        dataset: name of the data set.

    Returns:
        The metric; NaN if no output can be scored.
    """
    if task.kind == "multiclass":
        return float(multiclass_accuracy(logits, y, num_classes=task.num_outputs, average="micro"))
    if task.metric in ("rocauc", "ap") and not _both_classes(y).any():
        return math.nan
    if dataset.startswith("ogbg-"):
        with needed_by(f"the metric of {dataset}"):
            from ogb.graphproppred import Evaluator

        return float(Evaluator(dataset).eval({"y_true": y.cpu().numpy(), "y_pred": logits.cpu().numpy()})[task.metric])
    if task.kind == "regression":
        labelled = ~y.isnan()
        if task.metric == "mae":
            return float(mean_absolute_error(logits[labelled], y[labelled]))
        return float(mean_squared_error(logits[labelled], y[labelled], squared=False))
    columns = range(y.shape[1]) if task.metric == "accuracy" else _both_classes(y).nonzero().flatten().tolist()
    scores = [_BINARY[task.metric](*_labelled(logits[:, column], y[:, column])) for column in columns]
    return float(torch.stack(scores).mean())


def _both_classes(y: Tensor) -> Tensor:
    return (y == 0).any(0) & (y == 1).any(0)


def _labelled(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    labelled = ~y.isnan()
    return logits[labelled].sigmoid(), y[labelled].long()
