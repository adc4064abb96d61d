"""Which weights of a dense affinity matrix count as links."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def top_quantile(
    weights: Float[Tensor, "*batch nodes nodes"], keep: float = 0.2
) -> Float[Tensor, "*batch nodes nodes"]:
    """Keep the strongest pairs of nodes and set all others to 0.

    Args:
        weights: symmetric and non-negative. The diagonal does not count and becomes 0.
        keep: which share of all pairs to keep, above 0 and at most 1. Of pairs that tie with the last, all are kept.

    Raises:
        ValueError: if ``keep`` is not such a share.

    Example:
        >>> weights = torch.tensor([[0.0, 3.0, 1.0], [3.0, 0.0, 2.0], [1.0, 2.0, 0.0]])
        >>> top_quantile(weights, 1 / 3)
        tensor([[0., 3., 0.],
                [3., 0., 0.],
                [0., 0., 0.]])
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be above 0 and at most 1, got {keep}")
    nodes = weights.shape[-1]
    rows, columns = torch.triu_indices(nodes, nodes, 1, device=weights.device)
    pairs = weights[..., rows, columns]
    if not pairs.shape[-1]:
        return torch.zeros_like(weights)
    # A half is added before it is cut off: products like 3 · 0.1 are not exact.
    number = max(int(keep * pairs.shape[-1] + 0.5), 1)
    least = pairs.topk(number).values[..., -1:, None]
    kept = torch.where(weights >= least, weights, 0)
    return kept - torch.diag_embed(kept.diagonal(dim1=-2, dim2=-1))


def permutation_null(
    traces: Float[Tensor, "*batch neurons time"],
    affinity: Callable[[Tensor], Tensor],
    *,
    permutations: int = 100,
    quantile: float = 0.95,
    seed: int = 0,
) -> Tensor:
    """How strong an affinity becomes between traces that have nothing to do with one another.

    Every trace is turned in time by an amount of its own, which keeps its distribution and its autocorrelation and
    breaks its relation to others. Affinities of turned traces are computed again and again; their quantile, entry by
    entry, is a threshold: ``torch.where(weights > threshold, weights, 0)``.

    Args:
        traces: of one animal, or of several.
        affinity: of traces; any function whose result has the same shape for traces of the same shape.
        permutations: how often to turn.
        quantile: of the affinities of turned traces.
        seed: the same seed gives the same threshold.

    Returns:
        The thresholds, in the shape of ``affinity(traces)``.

    Raises:
        ValueError: if ``quantile`` is not between 0 and 1, there are no permutations, or traces are shorter than 2.

    Example:
        >>> together = torch.randn(200).cumsum(0).repeat(2, 1)
        >>> correlation = lambda traces: torch.corrcoef(traces).abs()
        >>> (correlation(together) > permutation_null(together, correlation))[0, 1]
        tensor(True)

    Cost: ``permutations`` calls of ``affinity``, whose results are held at the same time.
    """
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be between 0 and 1, got {quantile}")
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")
    time = traces.shape[-1]
    if time < 2:
        raise ValueError(f"traces must be at least 2 frames long, got {time}")
    generator = torch.Generator().manual_seed(seed)
    frames = torch.arange(time, device=traces.device)
    drawn = []
    for _ in range(permutations):
        shift = torch.randint(1, time, traces.shape[:-1], generator=generator).to(traces.device)
        drawn.append(affinity(traces.gather(-1, (frames + shift[..., None]) % time)))
    return torch.stack(drawn).quantile(quantile, 0)
