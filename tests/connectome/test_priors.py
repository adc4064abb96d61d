"""Densities of connections: reference numbers, integrals, and what a prior refuses."""

import pytest
import torch

from graphseq.connectome import (
    CategoricalDensity,
    ConcreteDensity,
    GaussianPrior,
    OneHotPrior,
    concrete_log_density,
    connectome_prior,
    relaxed_sample,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-11}


@pytest.fixture
def g(golden):
    return golden("connectome/priors_sbm_dev")


@pytest.mark.parametrize("temperature", [0.2, 0.5, 1.0])
def test_golden_concrete(g, temperature):
    found = concrete_log_density(g["adj"].log(), g["prior"].log(), temperature)
    torch.testing.assert_close(found, g[f"gs_logpdf_tau{temperature}"], **CLOSE)
    density = ConcreteDensity(temperature).log_density(g["adj_logits"].log_softmax(-1), g["prior"].log())
    torch.testing.assert_close(density, g[f"gs_logpdf_tau{temperature}"].sum(), **CLOSE)


@pytest.mark.parametrize("entropy", [0.0, 1.0, -1.0])
def test_golden_categorical(g, entropy):
    found = CategoricalDensity(entropy).log_density(g["adj"].log(), g["prior"].log())
    expected = g["categorical_expected_logprior"] + entropy * g["adjacency_entropy"].sum()
    torch.testing.assert_close(found, expected, **CLOSE)


def test_golden_gaussian(g):
    connections = GaussianPrior(float(g["gauss_sd"])).connections(3, 4).double()
    connections.adopt(g["gauss_W"])
    torch.testing.assert_close(connections.log_prior(), g["gauss_logprior"], **CLOSE)
    torch.testing.assert_close(connections.weight.mean(0), g["gauss_W0"], **CLOSE)


@pytest.fixture
def one_hot(g):
    connections = OneHotPrior(connectome=g["prior"]).connections(3, 4).double()
    with torch.no_grad():
        connections.adjacency_logits.copy_(g["adj_logits"])
        connections.strength_raw.copy_(g["strength_raw"])
    return connections.eval()


def test_golden_one_hot_weights(g, one_hot):
    torch.testing.assert_close(one_hot.strength, g["strength"], **CLOSE)
    torch.testing.assert_close(one_hot(), g["W_soft"], **CLOSE)
    torch.testing.assert_close(one_hot.hard(), g["W_hard"], **CLOSE)
    torch.testing.assert_close(one_hot.connectome, g["prior"], rtol=1e-6, atol=1e-7)  # was made in single precision
    assert torch.equal(one_hot.signs(0.0), g["W_hard"].sign().long())


def test_samples_scatter_about_the_probabilities(one_hot):
    """In the limit of low temperature a sample is a category, drawn with its probability."""
    draws = relaxed_sample(one_hot.adjacency_logits.log_softmax(-1).expand(4000, 3, 4, 4, 3), 1e-3).round()
    # Five standard errors of a share.
    torch.testing.assert_close(draws.mean(0), one_hot.adjacency, rtol=0, atol=0.04)


def test_the_concrete_density_integrates_to_one():
    """Over the triangle, by the mean of uniform points."""
    points = torch.distributions.Dirichlet(torch.ones(3, dtype=torch.float64)).sample((400_000,))
    probability = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    density = concrete_log_density(points.log(), probability.log(), 1.5).exp()
    assert float(density.mean() / 2) == pytest.approx(1, abs=0.02)


def test_the_variational_bound_is_at_most_zero_and_zero_at_the_connectome(g):
    log_connectome = g["prior"].log()
    assert CategoricalDensity(1.0).log_density(g["adj"].log(), log_connectome) < 0
    at = CategoricalDensity(1.0).log_density(log_connectome.expand(3, 4, 4, 3), log_connectome)
    torch.testing.assert_close(at, torch.zeros_like(at), rtol=0, atol=1e-12)


def test_the_concrete_density_stays_finite_at_a_corner():
    logits = torch.tensor([1e4, 0.0, -1e4]).requires_grad_()
    value = ConcreteDensity().log_density(logits.log_softmax(-1), torch.full((3,), 1 / 3).log())
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_adopted_weights_are_kept(g):
    connections = OneHotPrior().connections(3, 4).double().eval()
    weights = g["gauss_W"]
    connections.adopt(weights)
    large = weights.abs() > 0.1
    torch.testing.assert_close(connections()[large], weights[large], rtol=1e-9, atol=1e-9)


def test_the_temperature_falls_geometrically():
    connections = OneHotPrior(temperature=0.25, start_temperature=1.0).connections(2, 2)
    temperatures = []
    for progress in (0.0, 0.5, 1.0):
        connections.anneal(progress)
        temperatures.append(connections.temperature)
    assert temperatures == pytest.approx([1, 0.5, 0.25])


def test_known_synapses_make_a_connection_likely():
    chemical, gap = torch.zeros(3, 3), torch.zeros(3, 3)
    chemical[0, 1], gap[1, 2] = 4, 2
    prior = connectome_prior(chemical, gap)
    torch.testing.assert_close(prior.sum(2), torch.ones(3, 3))
    assert prior[0, 1, 1] < prior[1, 0, 1]
    assert prior[0, 1, 0] == prior[0, 1, 2] > prior[1, 0, 2]
    assert prior[1, 2, 2] == prior[2, 1, 2] > 2 * prior[0, 0, 2]
    torch.testing.assert_close(OneHotPrior(prior).connections(2, 3).connectome, prior)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GaussianPrior(0.0), "sd must be positive, got 0.0"),
        (lambda: OneHotPrior(temperature=0.0), "temperature must be positive, got 0.0"),
        (lambda: ConcreteDensity(-1.0), "temperature must be positive, got -1.0"),
        (lambda: OneHotPrior(torch.ones(3, 3, 2)).connections(2, 3), "shape [3, 3, 3], got [3, 3, 2]"),
        (lambda: connectome_prior(), "chemical or gap must be given"),
        (lambda: connectome_prior(torch.ones(2, 2), torch.ones(3, 3)), "gap must have shape [N, N]"),
        (lambda: connectome_prior(-torch.ones(2, 2)), "chemical must not be negative, got -1.0"),
    ],
)
def test_wrong_arguments_are_named(make, words, unchecked):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value)
