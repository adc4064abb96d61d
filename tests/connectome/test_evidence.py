"""What links and weights say about blocks: densities, and the fits that they rest on."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import gamma

from graphseq.connectome import WeightedSBM
from graphseq.connectome.evidence import GammaWeights, PairModel
from tests.connectome.graphs import planted, random_weights

POWERS = (0.0, 0.5, 1.0)


def _law(weights, power):
    return GammaWeights.expected(weights, weights > 0, power)


@pytest.mark.parametrize("power", POWERS)
def test_the_evidence_is_the_integral_over_the_rate(power):
    """Of all pairs in one block, links uniform and weights by a numerical integral."""
    weights = random_weights(5, 0.9, 2).numpy()
    observed = ~np.eye(5, dtype=bool)
    model = PairModel.of(weights, observed, degree_corrected=False, strength_power=power)
    sums = model.statistics(weights, observed).sum((1, 2)) / 2
    found = float(model.evidence(sums[:, None])[0]) + model.constant(weights, observed)
    law, links = model.weights, np.triu(weights > 0)
    shape, unit, weight = law.shapes[links], law.units[links], weights[links]

    def density(rate):
        return law.scale * np.exp(-law.scale * rate) * gamma.pdf(weight, shape, scale=unit / rate).prod()

    likely = shape.sum() / (weight / unit).sum()
    integral = quad(density, 0, 30 * likely, points=[likely], limit=200, epsabs=0, epsrel=1e-10)[0]
    m = links.sum()
    assert found == pytest.approx(np.log(integral) + betaln(m + 1, 10 - m + 1), abs=1e-8)


@pytest.mark.parametrize("power", POWERS)
def test_expected_weights_leave_no_node_above_or_below_them(power):
    weights = random_weights(20, 0.4, 3).numpy()
    law = _law(weights, power)
    # Shapes are in proportion to m^p and units are m^(1 - p).
    mean = law.shapes * law.units * law.scale
    deviation = np.where(weights > 0, mean ** (power - 1) * (weights - mean), 0).sum(1)
    assert np.abs(deviation).max() < 1e-6 * np.where(weights > 0, mean**power, 0).sum(1).max()


@pytest.mark.parametrize("power", POWERS)
def test_the_law_by_which_weights_vary_is_the_most_likely(power):
    rng = np.random.default_rng(0)
    factor = np.geomspace(0.3, 3, 60)
    mean = np.outer(factor, factor)
    upper = np.triu(rng.gamma(2 * mean**power, mean / (2 * mean**power)), 1)
    weights, observed = upper + upper.T, ~np.eye(60, dtype=bool)

    def score(candidate):
        model = PairModel.of(weights, observed, degree_corrected=False, strength_power=candidate)
        sums = model.statistics(weights, observed).sum((1, 2)) / 2
        return float(model.evidence(sums[:, None])[0]) + model.constant(weights, observed)

    assert max(POWERS, key=score) == power


def test_weights_that_vary_little_do_not_hide_what_links_say():
    """Their shape is large; a prior of the rate that does not follow it would charge each pair of blocks for it."""
    weights, labels = planted((20, 20), inside=0.7, between=0.2)
    weights = torch.where(weights > 0, 1 + 0.01 * torch.rand(40, 40), 0).triu(1)
    weights = weights + weights.t()
    found = WeightedSBM(degree_corrected=True, strength_normalise=True)(weights)
    assert found.max() == 1 and (found == labels).double().mean().sub(0.5).abs() == 0.5


def test_the_unit_of_weights_changes_no_communities():
    weights, _ = planted((12, 10), inside=0.7, between=0.2)
    for options in ({}, {"strength_normalise": True}):
        model = WeightedSBM(**options, random_starts=0)
        one, other = model.fit(weights), model.fit(1024 * weights)
        links = int((weights > 0).sum()) / 2
        assert torch.equal(one.labels, other.labels)
        assert other.score == pytest.approx(one.score - links * np.log(1024), abs=1e-6)
