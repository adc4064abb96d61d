"""The loss of each kind of task, as a sum and what to divide it by, so that processes can share one mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional
from torch_geometric.utils import scatter

from graphseq.data import Task
from graphseq.training.processes import process_count, summed

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Logits ``[rows, outputs]`` and targets to the summed loss and its weight; their ratio is the mean loss."""


class CrossEntropy:
    """Cross entropy of integer targets, each row weighted by the weight of its class."""

    def __init__(self, class_weights: Float[Tensor, " classes"] | None = None) -> None:
        self.class_weights = class_weights

    def __call__(self, logits: Float[Tensor, "rows classes"], y: Shaped[Tensor, " rows"]) -> tuple[Tensor, Tensor]:
        weights = None if self.class_weights is None else self.class_weights.to(logits)
        total = functional.cross_entropy(logits, y, weight=weights, reduction="sum")
        weight = logits.new_tensor(float(y.shape[0])) if weights is None else weights[y].sum()
        return total, weight


class Elementwise:
    """An elementwise loss over the entries that carry a label; NaN marks those that do not."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function

    def __call__(
        self, logits: Float[Tensor, "rows outputs"], y: Float[Tensor, "rows outputs"]
    ) -> tuple[Tensor, Tensor]:
        labelled = ~y.isnan()
        total = self.function(logits[labelled], y[labelled].to(logits.dtype), reduction="sum")
        return total, labelled.sum().to(logits.dtype)


class Balanced:
    """Cross entropy, its mean taken in each class and then over the classes of a batch, so that a rare one counts as
    much as a frequent one. What comes out is not calibrated: probabilities are those of equally frequent classes.

    Classes are counted over all processes, whose losses add up to that of one with the whole batch."""

    def __call__(self, logits: Float[Tensor, "rows outputs"], y: Shaped[Tensor, "..."]) -> tuple[Tensor, Tensor]:
        if y.is_floating_point():
            labelled = ~y.isnan()
            logits, target = logits[labelled], y[labelled]
            losses = functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
            y, classes = target.long(), 2
        else:
            losses, classes = functional.cross_entropy(logits, y, reduction="none"), logits.shape[1]
        sums = scatter(losses, y, dim_size=classes, reduce="sum")
        counts = summed(torch.bincount(y, minlength=classes))
        present = (counts > 0).sum().to(losses.dtype) / process_count()
        return (sums / counts.clamp(min=1)).sum(), present


def make_loss(task: Task, class_weights: list[float] | Literal["balanced"] | None = None) -> Loss:
    """Cross entropy for classes, its binary form for labels, and for real targets the absolute or squared error,
    whichever the task's metric (MAE or RMSE) is made of.

    Args:
        task: what is predicted.
        class_weights: for a multiclass task, the weight of each class; for a multiclass or binary one, ``"balanced"``,
            see :class:`Balanced`.

    Raises:
        ValueError: if the weights do not fit the task.
    """
    if class_weights == "balanced":
        if task.kind not in ("multiclass", "binary"):
            raise ValueError(f"class_weights can be 'balanced' for a multiclass or binary task, got a {task.kind} task")
        return Balanced()
    if class_weights is not None and (task.kind != "multiclass" or len(class_weights) != task.num_outputs):
        raise ValueError(
            f"class_weights must hold a weight for each class of a multiclass task, got {len(class_weights)} weights "
            f"for a {task.kind} task with {task.num_outputs} outputs"
        )
    if task.kind == "multiclass":
        return CrossEntropy(None if class_weights is None else torch.tensor(class_weights))
    if task.kind in ("binary", "multilabel"):
        return Elementwise(functional.binary_cross_entropy_with_logits)
    return Elementwise(functional.l1_loss if task.metric == "mae" else functional.mse_loss)
