"""What the community methods take and give: a symmetric matrix of weights, communities numbered by size."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def checked(weights: Tensor) -> Float[np.ndarray, "nodes nodes"]:
    """The weights in float64 with a diagonal of 0.

    Raises:
        ValueError: if they are not square, symmetric, finite and non-negative.
    """
    if weights.dim() != 2 or weights.shape[0] != weights.shape[1]:
        raise ValueError(f"weights must be [nodes, nodes], got {list(weights.shape)}")
    matrix = weights.detach().cpu().double().numpy().copy()
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise ValueError(f"weights must be finite and at least 0, got {matrix.min():g} to {matrix.max():g}")
    if not np.array_equal(matrix, matrix.T):
        raise ValueError(f"weights must be symmetric, got a difference of {np.abs(matrix - matrix.T).max():g}")
    np.fill_diagonal(matrix, 0)
    return matrix


def observed_pairs(observed: Tensor | None, nodes: int) -> Bool[np.ndarray, "nodes nodes"]:
    """Which pairs of different nodes were seen, all by default.

    Raises:
        ValueError: if the mask is not a symmetric matrix of this size.
    """
    mask = np.ones((nodes, nodes), bool) if observed is None else observed.detach().cpu().numpy().copy()
    if mask.shape != (nodes, nodes) or not np.array_equal(mask, mask.T):
        raise ValueError(f"observed must be symmetric, {[nodes, nodes]}, got {list(mask.shape)}")
    np.fill_diagonal(mask, False)
    return mask


def by_size(labels: np.ndarray) -> Int[Tensor, " nodes"]:
    """The same communities, numbered from the largest; of equal ones, that of the first node comes first."""
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), int)
    rank[np.lexsort((first, -counts))] = np.arange(len(counts))
    return torch.from_numpy(rank[inverse])
