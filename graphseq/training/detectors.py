"""The detectors of anomalies that others are measured against.

A detector says which values it expects in a window, NaN where it expects nothing; what differs is anomalous.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from graphseq.chimera.linear import ridge_solution
from graphseq.data.series import Windows

Rows = Float[Tensor, "batch variates rows"]
Seen = Bool[Tensor, "batch variates rows"] | None


class MovingMean(nn.Module):
    """Expects the mean of the rows around each row, itself among them.

    Args:
        width: of the mean, in rows.

    Raises:
        ValueError: if the width is no odd number from 3.

    Example:
        >>> MovingMean(3)(torch.tensor([[[1.0, 2.0, 6.0, 4.0]]]))
        tensor([[[nan, 3., 4., nan]]])
    """

    def __init__(self, width: int = 25) -> None:
        super().__init__()
        if width < 3 or width % 2 == 0:
            raise ValueError(f"width must be an odd number from 3, got {width}")
        self.width = width

    def forward(self, window: Rows, observed: Seen = None) -> Rows:
        """The means; what was not observed counts as the mean of the training rows.

        Raises:
            ValueError: if the window is shorter than ``width``.
        """
        _check_rows(window, self.width - 1)
        side = self.width // 2
        return _with_nothing(window.unfold(-1, self.width, 1).mean(-1), side, side)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.width})"


class Extrapolation(nn.Module):
    """Expects each row where a polynomial through the rows before it leads: its error is a finite difference.

    Args:
        order: rows that are read; 1 repeats the row before, 2 continues a line.

    Example:
        >>> Extrapolation(2)(torch.tensor([[[1.0, 2.0, 4.0, 4.0]]]))
        tensor([[[nan, nan, 3., 6.]]])
    """

    def __init__(self, order: int = 2) -> None:
        super().__init__()
        if order < 1:
            raise ValueError(f"order must be at least 1, got {order}")
        self.order = order

    def forward(self, window: Rows, observed: Seen = None) -> Rows:
        """Continue.

        Raises:
            ValueError: if the window has no row that ``order`` rows precede.
        """
        _check_rows(window, self.order)
        return _with_nothing(window[..., self.order :] - window.diff(self.order), self.order, 0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.order})"


class Autoregression(nn.Module):
    r"""Expects a linear map of the rows before, by least squares on the training rows, shared by all variates.

    .. math::
        \hat x_t = \sum_{k=1}^{p} w_k \, x_{t-k}

    Args:
        order: :math:`p`.
        penalty: of the squared weights, for each row of the regression.
    """

    weight: Tensor

    def __init__(self, order: int = 64, *, penalty: float = 1e-6) -> None:
        super().__init__()
        if order < 1:
            raise ValueError(f"order must be at least 1, got {order}")
        self.order, self.penalty = order, penalty
        self.register_buffer("weight", torch.zeros(order))

    def prepare(self, windows: Windows) -> None:
        """Solve, on the stretches without a gap."""
        whole = windows.observed.unfold(1, self.order + 1, 1).all(-1)
        rows = windows.values.double().unfold(1, self.order + 1, 1)[whole]
        self.weight.copy_(ridge_solution(rows[:, :-1], rows[:, -1], self.penalty))

    def forward(self, window: Rows, observed: Seen = None) -> Rows:
        """Continue; what was not observed counts as the mean of the training rows.

        Raises:
            ValueError: if the window has no row that ``order`` rows precede.
        """
        _check_rows(window, self.order)
        expected = window[..., :-1].unfold(-1, self.order, 1) @ self.weight.to(window.dtype)
        return _with_nothing(expected, self.order, 0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.order})"


def _check_rows(window: Tensor, rows: int) -> None:
    if window.shape[-1] <= rows:
        raise ValueError(f"window must have more than {rows} rows for this detector, got {window.shape[-1]}")


def _with_nothing(expected: Tensor, before: int, after: int) -> Tensor:
    return pad(expected, (before, after), value=torch.nan)
