"""Affinities of all pairs in windows of time, without ever holding them at every frame."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from graphseq.connectome.affinity import Affinity, GeometricMean
from graphseq.connectome.derivative import rate_of_change
from graphseq.connectome.windows import Window

BLOCK = 1 << 22
"""Affinities held at a time; above some 10⁵ it does not matter to the speed."""


def pair_tensor(
    traces: Float[Tensor, "animals neurons time"],
    observed: Bool[Tensor, "animals neurons"] | None = None,
    *,
    window: Window,
    kind: Affinity = GeometricMean(),  # noqa: B008 (immutable)
    sigma: float = 2.0,
    dt: float = 1.0,
) -> tuple[Float[Tensor, "pairs windows animals"], Bool[Tensor, "pairs animals"], Int[Tensor, "2 pairs"]]:
    """Windowed affinity of each pair of neurons in each animal: what is factorised.

    Args:
        traces: one row a neuron; what is not observed may hold anything.
        observed: which neurons were identified in which animal. Without it a trace of nothing but NaN is a missing one.
        window: how affinities are averaged over time.
        kind: the rule of :func:`affinity`.
        sigma: width of the Gaussian whose derivative is taken, in frames.
        dt: seconds a frame.

    Returns:
        Values, 0 where missing; mask, true where both neurons were observed in the animal; and the neurons of each
        pair, the upper triangle row by row.

    Raises:
        ValueError: if an observed trace holds NaN or infinity, a window does not fit into the recording, or there are
            fewer than two neurons.

    Example:
        >>> values, mask, pairs = pair_tensor(torch.rand(3, 5, 40), window=MeanWindow(10, 5))
        >>> values.shape, mask.shape, pairs[:, :4].tolist()
        (torch.Size([10, 7, 3]), torch.Size([10, 3]), [[0, 0, 0, 0], [1, 2, 3, 4]])

    Memory: the result, and some megabytes for one block of pairs after another.
    """
    z = rate_of_change(traces, observed, sigma=sigma, dt=dt)
    animals, neurons, time = z.shape
    if neurons < 2:
        raise ValueError(f"traces must hold at least 2 neurons, got {neurons}")
    windows = len(window.frames(time))
    seen = ~z[:, :, 0].isnan()
    pairs = torch.triu_indices(neurons, neurons, 1, device=z.device)
    mask = (seen[:, pairs[0]] & seen[:, pairs[1]]).t().contiguous()
    rates = z.nan_to_num(0).permute(2, 1, 0).contiguous()  # time first, as scans want it
    values = z.new_empty(pairs.shape[1], windows, animals)
    size = max(1, BLOCK // (animals * time))
    for start in range(0, pairs.shape[1], size):
        first, second = pairs[:, start : start + size]
        block = kind(rates[:, first], rates[:, second])
        mean = window(block.flatten(1)).unflatten(1, (len(first), animals))
        values[start : start + size] = mean.transpose(0, 1)
    return values.mul_(mask[:, None]), mask, pairs


def folded(values: Float[Tensor, " pairs"], pairs: Int[Tensor, "2 pairs"], num_neurons: int) -> Tensor:
    """Values of pairs as a symmetric matrix with an empty diagonal, ``[num_neurons, num_neurons]``."""
    matrix = values.new_zeros(num_neurons, num_neurons)
    matrix[pairs[0], pairs[1]] = values
    return matrix + matrix.t()
