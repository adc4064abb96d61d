"""A generated series in which what happens to one variate reaches the next one later: gauges along a river."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch_geometric.data import Data

from graphseq.data.series.series import Borders, Series


class Flow(NamedTuple):
    """A generated series and the graph along which it flows, whose nodes are the variates."""

    series: Series
    graph: Data


def flow_series(
    variates: int = 8,
    rows: int = 2000,
    *,
    lag: int = 3,
    gain: float = 0.95,
    memory: float = 0.5,
    season: float = 0.5,
    trend: float = 0.5,
    noise: float = 0.1,
    period: int = 24,
    shuffle: bool = False,
    seed: int = 0,
) -> Flow:
    r"""Trend, season and a flow from each variate to the next.

    .. math::
        x_v(t) = a\,\frac{t}{T} + s \sin\Bigl(\frac{2\pi t}{P} + \phi_v\Bigr) + w_v(t) + \sigma \epsilon_v(t), \qquad
        w_v(t) = g\, w_{v-1}(t - l) + \sqrt{1 - g^2}\, n_v(t)

    with autoregressive noise :math:`n_v` of variance 1, and :math:`w_0 = n_0`. Up to :math:`l` rows ahead, the flow of
    a variate is known from the one before it, all but a part :math:`1 - g^2` of its variance; from the variate's own
    past it is known as far as the noise remembers. So a forecast that reads other variates must win.

    Args:
        variates: length of the river.
        rows: length of the series.
        lag: :math:`l`, rows from one variate to the next.
        gain: :math:`g`, in [0, 1]; at 0 nothing flows.
        memory: correlation of the noise from row to row.
        season: :math:`s`.
        trend: :math:`a`, the rise over the whole series.
        noise: :math:`\sigma`, what is added by the gauge.
        period: :math:`P`.
        shuffle: whether the variates come in random order; the graph says where each one flows.
        seed: the same seed gives the same series.

    Raises:
        ValueError: if a size is below 1, or ``gain`` or ``memory`` is out of range.

    Example:
        >>> flow = flow_series(4, 100)
        >>> flow.series.num_variates, flow.graph.edge_index.tolist()
        (4, [[0, 1, 2], [1, 2, 3]])
    """
    for name, size in (("variates", variates), ("rows", rows), ("lag", lag), ("period", period)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    for name, share in (("gain", gain), ("memory", memory)):
        if not 0 <= share <= 1 or (name == "memory" and share == 1):
            raise ValueError(f"{name} must be in [0, 1{']' if name == 'gain' else ')'}, got {share}")
    rng = np.random.default_rng(seed)
    # What has entered before the first row must have reached the last variate.
    before = lag * variates
    own = _remembered(rng.normal(size=(before + rows, variates)), memory)
    w = own.copy()
    for v in range(1, variates):
        w[lag:, v] = gain * w[:-lag, v - 1] + (1 - gain**2) ** 0.5 * own[lag:, v]
    t = np.arange(rows)[:, None]
    phase = rng.uniform(0, 2 * np.pi, variates)
    values = trend * t / rows + season * np.sin(2 * np.pi * t / period + phase) + w[before:]
    values += noise * rng.normal(size=values.shape)
    place = rng.permutation(variates) if shuffle else np.arange(variates)
    graph = Data(edge_index=torch.from_numpy(np.stack([place[:-1], place[1:]])), num_nodes=variates)
    mixed = np.empty_like(values)
    mixed[:, place] = values
    names = tuple(f"gauge{v}" for v in range(variates))
    series = Series(torch.from_numpy(mixed), names, Borders.of_fractions(rows), period=period, name="flow")
    return Flow(series, graph)


def _remembered(noise: np.ndarray, memory: float) -> np.ndarray:
    """First-order autoregression of variance 1."""
    out = noise.copy()
    for t in range(1, len(out)):
        out[t] = memory * out[t - 1] + (1 - memory**2) ** 0.5 * noise[t]
    return out
