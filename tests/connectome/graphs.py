"""Graphs with planted communities."""

import numpy as np
import torch


def planted(sizes, seed=0, inside=0.8, between=0.1):
    """Weights and labels of a block model, weights exponential."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rate = np.where(labels[:, None] == labels, inside, between)
    upper = np.triu(rng.exponential(1, rate.shape) * (rng.random(rate.shape) < rate), 1)
    return torch.from_numpy(upper + upper.T), torch.from_numpy(labels)


def random_weights(nodes, density, seed):
    """Of links at random."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.gamma(2, 1, (nodes, nodes)) * (rng.random((nodes, nodes)) < density), 1)
    return torch.from_numpy(upper + upper.T)


def same_partition(one, two):
    """Whether two labellings agree but for the names."""
    return torch.equal(one[:, None] == one, two[:, None] == two)
