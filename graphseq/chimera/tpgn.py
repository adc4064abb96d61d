"""TPGN (Jia et al. 2024): a gated layer over all earlier periods at once, in the place of a recurrence."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from graphseq.chimera.check import check_series
from graphseq.chimera.normalise import WindowNorm
from graphseq.nn.reset import ResetsParts


class VariateLinear(nn.Module):
    """A linear map with weights of its own for each variate.

    Args:
        variates: number of variates.
        inputs: width of the input.
        outputs: width of the output.
    """

    def __init__(self, variates: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(variates, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(variates, outputs))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = self.weight.shape[1] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Float[Tensor, "batch variates *rows inputs"]) -> Float[Tensor, "batch variates *rows outputs"]:
        """Map each row by the weights of its variate."""
        bias = self.bias.view(-1, *[1] * (x.dim() - 3), self.bias.shape[-1])
        return torch.einsum("bv...i,vio->bv...o", x, self.weight) + bias


class PGN(nn.Module):
    r"""Parallel gated network: a linear layer over all earlier rows, then one gate.

    .. math::
        H_r = b + \sum_{k=1}^{R-1} W_k\, x_{r-k}, \qquad [s, c] = V [x_r, H_r], \qquad
        y_r = \sigma(s) \odot H_r + (1 - \sigma(s)) \odot \tanh(c)

    with rows before the first as zeros. One step connects any two rows; nothing is multiplied up, so it is no linear
    recurrence and gains nothing from a scan.

    Args:
        variates: number of variates, each with weights of its own.
        rows: :math:`R`.
        channels: width of the output.
    """

    def __init__(self, variates: int, rows: int, channels: int) -> None:
        super().__init__()
        self.rows = rows
        self.history = VariateLinear(variates, max(rows - 1, 1), channels)
        self.gates = VariateLinear(variates, 1 + channels, 2 * channels)

    def forward(
        self, x: Float[Tensor, "batch variates rows phases"]
    ) -> Float[Tensor, "batch variates rows phases channels"]:
        """The equations above, down each phase."""
        # Row r sees rows r-R+1 ... r-1; the last of them is W_1's.
        columns = x.transpose(2, 3)
        earlier = pad(columns, (max(self.rows - 1, 1), 0))[..., :-1].unfold(-1, max(self.rows - 1, 1), 1)
        h = self.history(earlier.flip(-1))
        s, c = self.gates(torch.cat([columns[..., None], h], dim=-1)).chunk(2, dim=-1)
        gate = s.sigmoid()
        return (gate * h + (1 - gate) * c.tanh()).transpose(2, 3)


class TPGN(ResetsParts):
    r"""Forecasts each variate from its window folded into rows of a period.

    The long-term branch is :class:`PGN` down each phase, then a linear layer over the rows: a vector for each phase.
    The short-term branch is a linear layer over each row, then one over the rows: a vector that all phases share. Both
    together give the values of each phase. Variates never mix. Calendar marks, which the authors append to the values,
    are not read.

    Args:
        lookback: rows that are seen, a multiple of ``period``.
        horizon: rows that are forecast.
        variates: number of variates.
        period: rows of a period.
        channels: width.

    Raises:
        ValueError: if ``lookback`` is no multiple of ``period``, or a size is below 1.

    Example:
        >>> TPGN(96, 30, 7, period=24, channels=8)(torch.randn(2, 7, 96)).shape
        torch.Size([2, 7, 30])
    """

    def __init__(self, lookback: int, horizon: int, variates: int, *, period: int = 24, channels: int = 32) -> None:
        super().__init__()
        sizes = {"lookback": lookback, "horizon": horizon, "variates": variates, "period": period}
        for name, size in {**sizes, "channels": channels}.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if lookback % period:
            raise ValueError(f"lookback must be a multiple of the period ({period}), got {lookback}")
        self.lookback, self.horizon, self.period = lookback, horizon, period
        rows = lookback // period
        self.norm = WindowNorm()
        self.long = PGN(variates, rows, channels)
        self.long_rows = VariateLinear(variates, rows * channels, channels)
        self.short = VariateLinear(variates, period, channels)
        self.short_rows = VariateLinear(variates, rows * channels, channels)
        self.head = VariateLinear(variates, 2 * channels, math.ceil(horizon / period))

    def forward(
        self,
        past: Float[Tensor, "batch variates lookback"],
        observed: Bool[Tensor, "batch variates lookback"] | None = None,
    ) -> Float[Tensor, "batch variates horizon"]:
        """Forecast; what was not observed counts as the mean of the window.

        Raises:
            ValueError: if there are not ``lookback`` rows of ``variates`` variates, or an axis or a device
                does not fit.
            TypeError: if a dtype does not fit.
        """
        weight = self.head.weight
        check_series("past", past, observed, variates=weight.shape[0], rows=self.lookback, weight=weight)
        normal, scale = self.norm(past, observed)
        folded = normal.unflatten(-1, (-1, self.period))
        long = self.long_rows(self.long(folded).movedim(3, 2).flatten(3))
        short = self.short_rows(self.short(folded).flatten(2))
        both = torch.cat([long, short[:, :, None].expand_as(long)], dim=-1)
        # The values of a phase lie a period apart.
        future = self.head(both).transpose(2, 3).flatten(2)[..., : self.horizon]
        return future * scale.deviation + scale.mean

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.lookback}, {self.horizon}, period={self.period})"
