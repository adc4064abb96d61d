"""Standardisation by the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.data.series.series import Series


@dataclass(frozen=True)
class Scaling:
    """Mean and population standard deviation of each variate over the observed values of the training rows.

    Args:
        mean: of each variate.
        std: of each variate.
    """

    mean: Float[Tensor, " variates"]
    std: Float[Tensor, " variates"]

    @classmethod
    def of(cls, series: Series) -> Scaling:
        """Measure a series.

        Raises:
            ValueError: if a variate is constant there or never observed, or its squares are beyond float64.
        """
        values = series.values[: series.borders.train].double()
        seen = values.new_ones(values.shape) if series.observed is None else series.observed[: len(values)].double()
        count = seen.sum(0)
        mean = (values * seen).sum(0) / count.clamp(min=1)
        std = ((values - mean).square() * seen).sum(0).div(count.clamp(min=1)).sqrt()
        if not bool(std.isfinite().all()):
            column = int((~std.isfinite()).nonzero()[0])
            raise ValueError(
                f"series must hold values whose squares are within float64, got up to "
                f"{float(values[:, column].abs().max()):g} in {series.names[column]!r}"
            )
        # A constant column of numbers that binary cannot hold exactly deviates by rounding.
        flat = std <= 1e-12 * mean.abs()
        if bool(flat.any()):
            column = int(flat.nonzero()[0])
            what = "constant" if count[column] else "never observed"
            raise ValueError(
                f"series must vary in its {len(values)} training rows, but {series.names[column]!r} is {what} there: "
                "leave it out, or do not scale"
            )
        return cls(mean, std)

    def scaled(self, values: Float[Tensor, "rows variates"]) -> Float[Tensor, "rows variates"]:
        """To mean 0 and standard deviation 1 of the training rows."""
        return (values - self.mean) / self.std

    def restored(self, values: Float[Tensor, "*rows variates"]) -> Float[Tensor, "*rows variates"]:
        """Back to the units of the series."""
        return values * self.std.to(values.dtype) + self.mean.to(values.dtype)

    @classmethod
    def identity(cls, variates: int) -> Scaling:
        """Leaves values as they are."""
        return cls(torch.zeros(variates, dtype=torch.float64), torch.ones(variates, dtype=torch.float64))
