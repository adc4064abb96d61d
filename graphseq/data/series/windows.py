"""Pairs of what was and what follows, at every row of a part of a series."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset

from graphseq.data.series.scaling import Scaling
from graphseq.data.series.series import Series

Part = Literal["train", "val", "test"]


class Window(NamedTuple):
    """One example, or with a leading axis a batch of them. Masks are true where a value was observed."""

    past: Float[Tensor, "*batch variates lookback"]
    future: Float[Tensor, "*batch variates horizon"]
    past_observed: Bool[Tensor, "*batch variates lookback"]
    future_observed: Bool[Tensor, "*batch variates horizon"]


class Windows(Dataset):
    """All windows of one part of a series, one for each row (stride 1).

    Targets lie within the part; its first windows look back into the part before, as all published results do.

    Args:
        series: the series.
        part: ``"train"``, ``"val"`` or ``"test"``.
        lookback: rows that a model sees.
        horizon: rows that it forecasts.
        scaling: how values are scaled; by the training rows if not given.
        dtype: of the windows.

    Raises:
        ValueError: if a size is below 1, the part is shorter than one window, or a value is beyond ``dtype``.
    """

    def __init__(
        self,
        series: Series,
        part: Part,
        lookback: int,
        horizon: int,
        scaling: Scaling | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        for name, size in (("lookback", lookback), ("horizon", horizon)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        borders = series.borders
        first, last = {
            "train": (0, borders.train),
            "val": (borders.train - lookback, borders.val),
            "test": (borders.val - lookback, borders.test),
        }[part]
        if first < 0 or last - first < lookback + horizon:
            raise ValueError(
                f"series must have {lookback + horizon} rows for one window of its {part} part "
                f"(lookback {lookback}, horizon {horizon}), got {last - max(first, 0)}"
            )
        self.lookback, self.horizon = lookback, horizon
        scaling = scaling or Scaling.of(series)
        rows = slice(first, last)
        observed = torch.ones_like(series.values, dtype=torch.bool) if series.observed is None else series.observed
        self.observed = observed[rows].t().contiguous()
        values = scaling.scaled(series.values[rows].double()).t()
        self.values = values.masked_fill(~self.observed, 0).to(dtype).contiguous()
        if not bool((finite := self.values.isfinite()).all()):
            column, row = (~finite).nonzero()[0].tolist()
            raise ValueError(
                f"series must hold values within {dtype} once they are scaled, got {float(values[column, row]):g} "
                f"in row {first + row} of {series.names[column]!r}"
            )

    def __len__(self) -> int:
        return self.values.shape[1] - self.lookback - self.horizon + 1

    def __getitem__(self, index: int) -> Window:
        if not 0 <= index < len(self):
            raise IndexError(f"index must be in 0..{len(self) - 1}, got {index}")
        now, end = index + self.lookback, index + self.lookback + self.horizon
        past, future = slice(index, now), slice(now, end)
        return Window(self.values[:, past], self.values[:, future], self.observed[:, past], self.observed[:, future])
