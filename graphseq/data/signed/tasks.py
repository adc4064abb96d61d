"""What is predicted about an event: its sign, whether it happens, both at once, or its signed weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphseq.data.benchmark import Task


@dataclass(frozen=True)
class EventTask:
    """A question about ordered pairs of nodes at a time.

    Args:
        negatives: pairs that are no event, drawn for each event; 0 where the event is given.
    """

    negatives: int = 0

    task: ClassVar[Task]

    def labels(self, sign: Tensor, strength: Tensor) -> Tensor:
        """Targets ``[E, 1 + negatives]`` of each event and of the pairs drawn for it.

        Args:
            sign: -1 or +1, ``[E]``.
            strength: ``[E]``.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class SignTask(EventTask):
    """The sign of an event that is known to happen: 1 for positive, scored by ROC-AUC."""

    task: ClassVar[Task] = Task("edge", "binary", 1, "rocauc", maximize=True)

    def labels(self, sign: Tensor, strength: Tensor) -> Tensor:
        return (sign > 0).to(strength.dtype)[:, None]


@dataclass(frozen=True)
class ExistenceTask(EventTask):
    """Whether a pair is an event at its time: 1 for events, 0 for drawn pairs, scored by ROC-AUC."""

    negatives: int = 1

    task: ClassVar[Task] = Task("edge", "binary", 1, "rocauc", maximize=True)

    def labels(self, sign: Tensor, strength: Tensor) -> Tensor:
        return torch.ones_like(strength)[:, None] * (torch.arange(1 + self.negatives) == 0)


@dataclass(frozen=True)
class JointTask(EventTask):
    """Three classes: 0 for a negative event, 1 for a positive one, 2 for none."""

    negatives: int = 1

    task: ClassVar[Task] = Task("edge", "multiclass", 3, "accuracy", maximize=True)

    def labels(self, sign: Tensor, strength: Tensor) -> Tensor:
        none = torch.full((len(sign), self.negatives), 2)
        return torch.cat([(sign > 0).long()[:, None], none], dim=1)


@dataclass(frozen=True)
class WeightTask(EventTask):
    """Sign times strength of an event that is known to happen, scored by RMSE."""

    task: ClassVar[Task] = Task("edge", "regression", 1, "rmse", maximize=False)

    def labels(self, sign: Tensor, strength: Tensor) -> Tensor:
        return (sign * strength)[:, None]


EVENT_TASKS: dict[str, type[EventTask]] = {
    "sign": SignTask,
    "existence": ExistenceTask,
    "joint": JointTask,
    "weight": WeightTask,
}
