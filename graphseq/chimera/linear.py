"""The linear forecaster in closed form: no training, no seed, and hard to beat."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from graphseq.chimera.check import check_series
from graphseq.data.series import Windows


class LinearForecaster(nn.Module):
    r"""One matrix from past to future for all variates, after the last value is taken off both (least squares).

    .. math::
        \hat y = x_L + (x - x_L) W, \qquad
        W = \arg\min_W \sum \bigl\|y - x_L - (x - x_L) W\bigr\|^2 + \lambda \, n \, \|W\|^2

    over the :math:`n` training windows of all variates. Taking the last value off is what a level shift needs, and is
    all that separates it from DLinear (Zeng et al. 2023) where levels move.

    Args:
        lookback: rows that are seen.
        horizon: rows that are forecast.
        variates: not read; one matrix serves all.
        ridge: :math:`\lambda`.

    Example:
        >>> LinearForecaster(96, 24)
        LinearForecaster(96, 24)
    """

    weight: Tensor

    def __init__(self, lookback: int, horizon: int, variates: int | None = None, *, ridge: float = 1e-6) -> None:
        super().__init__()
        self.lookback, self.horizon, self.ridge = lookback, horizon, ridge
        self.register_buffer("weight", torch.zeros(lookback, horizon))

    def fit(self, windows: Windows) -> LinearForecaster:
        """Solve for the matrix; windows with a gap are left out.

        Raises:
            ValueError: if the windows have other sizes, or all of them have gaps.
        """
        if (windows.lookback, windows.horizon) != (self.lookback, self.horizon):
            raise ValueError(
                f"windows must have lookback {self.lookback} and horizon {self.horizon}, "
                f"got {windows.lookback} and {windows.horizon}"
            )
        rows = windows.values.double().unfold(1, self.lookback + self.horizon, 1).flatten(0, 1)
        whole = windows.observed.unfold(1, self.lookback + self.horizon, 1).flatten(0, 1).all(1)
        rows = rows[whole]
        if len(rows) == 0:
            raise ValueError("windows must hold at least one without a gap, got none")
        rows = rows - rows[:, self.lookback - 1, None]
        past, future = rows[:, : self.lookback], rows[:, self.lookback :]
        self.weight = ridge_solution(past, future, self.ridge).to(self.weight.device)
        return self

    def prepare(self, windows: Windows) -> None:
        """What training calls before its first step: :meth:`fit`."""
        self.fit(windows)

    def forward(
        self, past: Float[Tensor, "batch variates lookback"], observed: Tensor | None = None
    ) -> Float[Tensor, "batch variates horizon"]:
        """Forecast; what was not observed counts as the last value that was.

        Raises:
            ValueError: if there are not ``lookback`` rows, or another shape or a device does not fit.
            TypeError: if a dtype does not fit.
        """
        check_series("past", past, observed, rows=self.lookback)
        return linear_forecast(past, observed, self.weight.to(past.dtype))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.lookback}, {self.horizon})"


def linear_forecast(
    past: Float[Tensor, "batch variates lookback"],
    observed: Bool[Tensor, "batch variates lookback"] | None,
    weight: Float[Tensor, "lookback horizon"],
) -> Float[Tensor, "batch variates horizon"]:
    """The last value that was observed, and a linear map of what differs from it."""
    if observed is None:
        last = past[..., -1:]
        return last + (past - last) @ weight
    rows = torch.arange(past.shape[-1], device=past.device)
    latest = torch.where(observed, rows, 0).amax(-1, keepdim=True)
    last = past.gather(-1, latest).masked_fill(~observed.any(-1, keepdim=True), 0)
    return last + (past - last).masked_fill(~observed, 0) @ weight


def ridge_solution(
    x: Float[Tensor, "rows inputs"], y: Float[Tensor, "rows *outputs"], penalty: float
) -> Float[Tensor, "inputs *outputs"]:
    """The map of ``x`` to ``y`` with the least squared error plus ``penalty`` a row times its squared entries."""
    gram = x.t() @ x
    gram.diagonal().add_(penalty * len(x))
    return torch.linalg.solve(gram, x.t() @ y)
