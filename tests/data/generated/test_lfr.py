"""Weighted LFR graphs: what was asked for of degrees, mixing and strengths is there."""

import numpy as np
import pytest
import torch

from graphseq.data import WeightedLFR
from graphseq.data.generated.lfr import community_sizes, power_law, smallest_degree, weighted_lfr
from graphseq.data.generated.rewiring import random_graph, separate
from graphseq.data.generated.strengths import spread_strengths


def _matrix(data):
    weights = np.zeros((data.num_nodes, data.num_nodes))
    weights[tuple(data.edge_index.numpy())] = data.edge_weight.numpy()
    return weights


@pytest.mark.parametrize(("mean", "exponent"), [(25, 2.0), (10, 2.0), (25, 2.5), (40, 1.0)])
def test_degrees_have_the_mean_to_the_nearest_smallest_degree(mean, exponent):
    smallest = smallest_degree(mean, 100, exponent)
    means = {}
    for least in (smallest - 1, smallest, smallest + 1):
        values = np.arange(least, 101)
        means[least] = (values ** (1.0 - exponent)).sum() / (values**-exponent).sum()
    assert min(means, key=lambda least: abs(means[least] - mean)) == smallest
    drawn = power_law(np.random.default_rng(0), smallest, 100, exponent, 40_000)
    # The standard error is about 0.1.
    assert abs(drawn.mean() - means[smallest]) < 0.5
    assert drawn.min() == smallest and drawn.max() <= 100


def test_sizes_add_up_and_hold_the_node_with_most_links():
    rng = np.random.default_rng(0)
    for _ in range(200):
        sizes = community_sizes(rng, 125, 20, 8, 100, 1.0)
        assert sizes.sum() == 125 and sizes.min() >= 8
        assert sizes.max() >= 21


@pytest.mark.parametrize("seed", range(4))
def test_graphs_are_simple_with_given_degrees(seed):
    degrees = np.random.default_rng(seed).integers(1, 8, 30)
    degrees[0] += degrees.sum() % 2
    rng = np.random.default_rng(seed)
    links = random_graph(rng, degrees)
    assert np.array_equal(links, links.T) and not links.diagonal().any()
    assert np.array_equal(links.sum(0), degrees)
    more = random_graph(rng, degrees, forbidden=links)
    assert not (links & more).any()


def test_separated_links_keep_their_degrees_and_leave_communities():
    rng = np.random.default_rng(0)
    community = np.arange(60) % 4
    links = random_graph(rng, np.full(60, 6))
    inside = random_graph(rng, np.full(60, 3), forbidden=links)
    apart = separate(rng, links, community, forbidden=inside)
    assert np.array_equal(apart.sum(0), links.sum(0))
    assert not (apart & inside).any() and not apart.diagonal().any() and np.array_equal(apart, apart.T)
    assert not (apart & (community[:, None] == community)).any()


def test_random_graphs_of_the_same_degrees_differ_and_mix():
    degrees = np.full(10, 4)
    rng = np.random.default_rng(0)
    mean = np.mean([random_graph(rng, degrees) for _ in range(200)], 0)
    off = mean[~np.eye(10, dtype=bool)]
    # Each pair is linked with probability 4 / 9; the standard error is 0.035.
    assert np.abs(off - 4 / 9).max() < 0.16


@pytest.mark.parametrize("mixing", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("weight_mixing", [0.25, 0.5, 0.75])
def test_mixing_is_met_to_rounding_where_communities_are_many(mixing, weight_mixing):
    data = weighted_lfr(
        np.random.default_rng(1),
        300,
        mean_degree=15,
        max_degree=30,
        mixing=mixing,
        weight_mixing=weight_mixing,
        strength_exponent=1.5,
    )
    weights, community = _matrix(data), data.y.numpy()
    links, same = weights > 0, community[:, None] == community
    degree = links.sum(1)
    assert community.max() > 3
    # Rounding, and one node of a community with an odd sum.
    outside = (links & ~same).sum(1)
    assert np.abs(outside - mixing * degree).max() < 2
    strength = degree**1.5
    assert np.abs(weights.sum(1) - strength).sum() < 0.05 * strength.sum()
    assert abs((weights * ~same).sum() / weights.sum() - weight_mixing) < 0.02


def test_strengths_are_met_and_weights_positive():
    rng = np.random.default_rng(0)
    community = np.arange(80) % 4
    links = random_graph(rng, rng.permutation(np.arange(80) % 10 + 10))
    strength = links.sum(1) ** 1.5
    weights = spread_strengths(links, community, strength, 0.3)
    assert np.array_equal(weights > 0, links) and np.array_equal(weights, weights.T)
    assert np.abs(weights.sum(1) - strength).sum() < 0.05 * strength.sum()
    within = (weights * (community[:, None] == community)).sum(1)
    assert abs(within.sum() / strength.sum() - 0.7) < 0.02


def test_data_sets_hold_graphs_with_several_communities():
    for data in WeightedLFR(num_graphs=3, seed=2):
        assert data.y.max() >= 1 and data.is_undirected() and not data.has_self_loops()
        assert data.y.shape == (125,) and (data.edge_weight >= 0).all() and (data.edge_weight > 0).float().mean() > 0.95
        assert torch.equal(data.y.unique(), torch.arange(int(data.y.max()) + 1))


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match=r"mixing must be between 0 and 1, got 1.5"):
        WeightedLFR(mixing=1.5)
    with pytest.raises(ValueError, match=r"mean_degree and max_degree must be .* < 50 nodes, got 25 and 100"):
        WeightedLFR(50)
