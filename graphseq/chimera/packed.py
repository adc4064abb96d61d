"""Classification of packed series: Chimera behind the interface of graph models."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphseq.chimera.model import ChimeraClassifier
from graphseq.nn.reset import ResetsParts


class ChimeraSeries(ResetsParts):
    """A class for each series of a batch. A series is a graph whose nodes are its times, their features its variates.

    Features are standardised as in training. Series of one length are scanned together, without padding, so that a
    result does not depend on the batch.

    Args:
        in_channels: number of variates.
        out_channels: number of classes.
        edge_channels: not read; series have no edges.
        level: what is predicted; a series is one example, so ``"graph"``.
        classifier: arguments of :class:`ChimeraClassifier`.

    Raises:
        ValueError: if ``level`` is another one.
    """

    needs: tuple[str, ...] = ()

    def __init__(
        self, in_channels: int, out_channels: int, *, edge_channels: Any = None, level: str = "graph", **classifier: Any
    ) -> None:
        super().__init__()
        if level != "graph":
            raise ValueError(f"level must be 'graph' for whole series, got {level!r}")
        self.scale = nn.BatchNorm1d(in_channels, affine=False)
        self.classifier = ChimeraClassifier(out_channels, in_channels, normalise=False, **classifier)

    def forward(
        self,
        x: Float[Tensor, "times variates"],
        edge_index: Tensor | None = None,
        batch: Int[Tensor, " times"] | None = None,
        edge_attr: Tensor | None = None,
        *,
        batch_size: int | None = None,
    ) -> Float[Tensor, "batch classes"]:
        """Logits.

        Args:
            x: the series, one after another.
            edge_index: not read.
            batch: which series each row belongs to; one series if not given.
            edge_attr: not read.
            batch_size: number of series.
        """
        if batch is None:
            batch = x.new_zeros(x.shape[0], dtype=torch.long)
        lengths = batch.bincount(minlength=batch_size or 0)
        series = self.scale(x).split(lengths.tolist())
        logits = x.new_empty(len(lengths), self.classifier.head.out_features)
        for length in lengths.unique().tolist():
            places = (lengths == length).nonzero().flatten().tolist()
            logits[places] = self.classifier(torch.stack([series[place].t() for place in places]))
        return logits
