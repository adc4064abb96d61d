"""What a data set asks of a network."""

from __future__ import annotations

import dataclasses
from typing import Any

from graphseq.data import Benchmark, Task


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and outputs that a network needs for a data set, and the name under which the set is scored.

    A checkpoint carries it, so that a network can be built again without the data.

    Args:
        in_channels: number of real node features; for integer features, the categories of each column.
        edge_channels: as ``in_channels``, for edges; ``None`` without edge features.
        task: what is predicted, and how it is measured.
        dataset: name of the data set.
    """

    in_channels: int | tuple[int, ...]
    edge_channels: int | tuple[int, ...] | None
    task: Task
    dataset: str = ""

    @classmethod
    def of(cls, benchmark: Benchmark) -> Signature:
        """The signature of a benchmark."""
        return cls(benchmark.in_channels, benchmark.edge_channels, benchmark.task, benchmark.name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, as a checkpoint that is loaded with ``weights_only=True`` may hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Signature:
        """Inverse of :meth:`to_dict`."""
        return cls(**{**values, "task": Task(**values["task"])})
