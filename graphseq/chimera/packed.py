"""Classification of packed series: Chimera behind the interface of graph models."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from graphseq.chimera.model import ChimeraClassifier
from graphseq.data.validate import validate_graph
from graphseq.nn.reset import ResetsParts
from graphseq.scan import Ragged


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
            batch: which series each row belongs to, in ascending order; one series if not given.
            edge_attr: not read.
            batch_size: number of series.

        Raises:
            ValueError: if the shape of ``x`` or ``batch`` does not fit, ``batch`` is not in ascending order or beyond
                ``batch_size``, or a series has no rows.
            TypeError: if one of them is no dense tensor.
        """
        if batch is None:
            batch = torch.zeros(len(x), dtype=torch.long, device=x.device)
        validate_graph(x, batch.new_zeros(2, 0), batch, finite=False)
        variates = self.scale.num_features
        if x.dim() != 2 or x.shape[1] != variates:
            raise ValueError(f"x must have shape [times, {variates}], got {list(x.shape)}")
        lengths = Ragged.from_batch(batch, batch_size).lengths
        if bool((empty := lengths == 0).any()):
            raise ValueError(f"batch must give each series at least one row, got none for {int(empty.nonzero()[0])}")
        series = self.scale(x).split(lengths.tolist())
        logits = x.new_empty(len(lengths), self.classifier.head.out_features)
        for length in lengths.unique().tolist():
            places = (lengths == length).nonzero().flatten().tolist()
            logits[places] = self.classifier(torch.stack([series[place].t() for place in places]))
        return logits
