"""The switching network model: reference numbers, what training must improve, and recovery of a known network."""

import pytest
import torch
from torch.nn.functional import softplus

from graphseq.connectome import (
    HMMGLM,
    AdamSteps,
    Bernoulli,
    ConcreteDensity,
    EvidenceAscent,
    ExponentialFilter,
    FiniteFilter,
    Gaussian,
    GaussianPrior,
    GeneralisedEM,
    LBFGSSteps,
    OneHotPrior,
    Poisson,
    RandomStart,
    SmoothedClusters,
    connectome_prior,
    match_states,
    sign_recall,
)
from graphseq.data import SwitchingNetwork
from graphseq.scan import Ragged

PRIORS = [
    None,
    GaussianPrior(),
    OneHotPrior(),
    OneHotPrior(density=ConcreteDensity(), start_temperature=1.0, learn_connectome=False),
]


@pytest.fixture
def golden_model(golden):
    g = golden("connectome/hmm_glm_dev")
    model = HMMGLM(3, 3, activation=softplus, filter=FiniteFilter(g["phi"])).double()
    with torch.no_grad():
        model.bias.copy_(g["bias"])
        model.connections.adopt(g["W"])
        model.start.copy_(g["pi"])
    model.set_transition(g["P"])
    return g, model, torch.tensor([0, len(g["Y"])])


def test_golden(golden_model):
    g, model, ptr = golden_model
    counts, history, _ = model.observed(g["Y"], ptr)
    close = {"rtol": 1e-9, "atol": 1e-11}
    torch.testing.assert_close(history, g["history"], **close)
    torch.testing.assert_close(model.rates(history).transpose(0, 1), g["rate"], **close)
    torch.testing.assert_close(model(counts, history), g["log_emission"], **close)
    evidence = model.log_evidence(g["Y"], ptr)
    torch.testing.assert_close(evidence[0], g["log_evidence"], **close)
    assert model.viterbi(g["Y"], ptr).states.tolist() == g["viterbi"].tolist()
    found = torch.autograd.grad(evidence.sum(), (model.connections.weight, model.bias))
    for gradient, name in zip(found, ("dlogZ_dW", "dlogZ_dbias"), strict=True):
        # The reference is a finite difference.
        torch.testing.assert_close(gradient, g[name], rtol=1e-6, atol=1e-7)
    posterior = model.posterior(g["Y"], ptr)
    start = posterior.gamma[0] @ g["pi"].log()
    steps = (posterior.transitions * g["P"].log()).sum()
    q = start + steps + (posterior.gamma * g["log_emission"]).sum()
    torch.testing.assert_close(q, g["Q"], **close)
    model.set_transition(posterior.transitions)
    torch.testing.assert_close(model.transition, g["P_mstep"], **close)


@pytest.fixture
def recording():
    torch.manual_seed(1)
    counts = torch.poisson(torch.rand(60, 3, dtype=torch.float64) * 2)
    return counts, torch.tensor([0, 25, 25, 60])


def test_filters_are_the_sum_over_lags(recording):
    counts, ptr = recording
    topology = Ragged(ptr)
    weights = torch.exp(-torch.arange(1, 6, dtype=torch.float64))
    weights = weights / weights.sum()
    history = FiniteFilter(weights)(counts, topology)
    expected = torch.zeros_like(counts)
    for a, b in ((0, 25), (25, 60)):
        for t in range(a, b):
            for lag in range(1, 6):
                if t - lag >= a:
                    expected[t] += weights[lag - 1] * counts[t - lag]
    torch.testing.assert_close(history, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ExponentialFilter()(counts, topology), expected, rtol=1e-12, atol=1e-12)
    endless = FiniteFilter(0.5 ** torch.arange(1, 40, dtype=torch.float64))(counts, topology)
    torch.testing.assert_close(ExponentialFilter(0.5, None)(counts, topology), endless, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("emission", "peer", "value"),
    [
        (Poisson(), lambda mean: torch.distributions.Poisson(mean), [0.0, 1.0, 4.0]),
        (Bernoulli(), lambda mean: torch.distributions.Bernoulli(mean), [0.0, 1.0, 0.0]),
        (Gaussian(0.3), lambda mean: torch.distributions.Normal(mean, 0.3), [-1.0, 0.2, 3.0]),
    ],
)
def test_emissions_are_torchs(emission, peer, value):
    value, mean = torch.tensor(value).double(), torch.tensor([0.3, 0.6, 0.9]).double()
    torch.testing.assert_close(emission.log_density(value, mean), peer(mean).log_prob(value), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("prior", [None, GaussianPrior()], ids=repr)
@pytest.mark.parametrize("method", [GeneralisedEM, EvidenceAscent])
def test_the_objective_never_falls(recording, prior, method):
    counts, ptr = recording
    model = HMMGLM(2, 3, prior=prior).double()
    objective = model.fit(counts, ptr, method(epochs=8, maximiser=LBFGSSteps(5), start=RandomStart()))
    falls = torch.tensor(objective).diff()
    assert len(objective) == 8
    # The transitions' floor of e^-8 may cost the last digits.
    assert falls.min() > -1e-9
    assert objective[-1] > objective[0] + 1e-4


def test_transitions_become_the_expected_ones(golden_model):
    """In this chain steps there and back differ, so that rows cannot be taken for columns."""
    g, model, ptr = golden_model
    model.fit(g["Y"], ptr, GeneralisedEM(epochs=1, maximiser=LBFGSSteps(2), start=None))
    torch.testing.assert_close(model.transition, g["P_mstep"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
@pytest.mark.parametrize("method", [GeneralisedEM, EvidenceAscent])
def test_each_prior_trains_either_way(recording, prior, method):
    counts, ptr = recording
    model = HMMGLM(2, 3, prior=prior, shared_bias=True)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    objective = model.fit(counts, ptr, method(epochs=2, maximiser=AdamSteps(5, sequences=1)))
    assert all(torch.tensor(objective).isfinite())
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all()
        assert torch.equal(parameter, before[name]) == (not parameter.requires_grad), name


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_counts_that_are_not_numbers_are_named(recording, value):
    counts, ptr = recording
    counts = counts.clone()
    counts[7, 2] = value
    model = HMMGLM(2, 3).double()
    for use in (model.posterior, model.viterbi, model.log_evidence, model.score, model.fit):
        with pytest.raises(ValueError, match=f"counts must be finite, got {value} at time 7 of neuron 2"):
            use(counts, ptr)


@pytest.mark.parametrize("method", [GeneralisedEM, EvidenceAscent])
def test_a_batch_of_sequences_stands_for_all(method):
    """With one recording twice, each half alone weighs against the prior as both together do."""
    torch.manual_seed(1)
    one = torch.poisson(torch.rand(30, 3, dtype=torch.float64) * 2)
    counts, ptr = one.repeat(2, 1), torch.tensor([0, 30, 60])
    found = []
    for sequences in (None, 1):
        torch.manual_seed(2)
        model = HMMGLM(2, 3, prior=GaussianPrior(0.05)).double()
        with torch.no_grad():
            # States that are alike would be told apart by rounding alone.
            model.bias.normal_()
        model.fit(counts, ptr, method(epochs=2, maximiser=AdamSteps(20, sequences=sequences), start=None))
        found.append([parameter.detach().clone() for parameter in model.parameters()])
    for a, b in zip(*found, strict=True):
        # The same sums in another order, through some forty steps of Adam.
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_training_repeats(recording):
    counts, ptr = recording
    evidences = []
    for _ in range(2):
        torch.manual_seed(3)
        model = HMMGLM(2, 3, prior=OneHotPrior())
        model.fit(counts, ptr, GeneralisedEM(epochs=2))
        evidences.append(model.log_evidence(counts, ptr))
    assert torch.equal(*evidences)


def test_later_counts_never_change_earlier_rates(recording):
    counts, ptr = recording
    model = HMMGLM(2, 3).double()
    with torch.no_grad():
        model.connections.weight.normal_()
    rates = [model.rates(model.observed(x, ptr)[1]) for x in (counts, counts.index_fill(0, torch.tensor([30]), 9.0))]
    changed = (rates[0] != rates[1]).flatten(1).any(1)
    assert not changed[:31].any()
    assert changed[31:36].all()
    # Five lags are a recurrence that subtracts the sixth: it leaves a rounding behind.
    torch.testing.assert_close(rates[0][36:], rates[1][36:], rtol=1e-12, atol=1e-12)


def test_the_order_of_neurons_does_not_matter(recording):
    counts, ptr = recording
    order = torch.tensor([2, 0, 1])
    model, permuted = HMMGLM(2, 3).double(), HMMGLM(2, 3).double()
    with torch.no_grad():
        model.connections.weight.normal_()
        model.bias.normal_()
        permuted.connections.adopt(model.connections.weight[:, order][:, :, order])
        permuted.bias.copy_(model.bias[:, order])
    torch.testing.assert_close(permuted.log_evidence(counts[:, order], ptr), model.log_evidence(counts, ptr))


def test_one_state_is_a_plain_model(recording):
    counts, ptr = recording
    model = HMMGLM(1, 3, prior=GaussianPrior()).double()
    model.fit(counts, ptr, GeneralisedEM(epochs=2))
    data, history, _ = model.observed(counts, ptr)
    torch.testing.assert_close(model.log_evidence(counts, ptr).sum(), model(data, history).sum())


def test_biases_start_at_the_mean_rates(recording):
    counts, _ = recording
    model = HMMGLM(2, 3, activation=torch.exp).double()
    model.set_rates(counts)
    torch.testing.assert_close(model.bias.exp(), counts.mean(0).expand(2, 3))


def test_a_state_that_was_never_left_keeps_its_transitions():
    model = HMMGLM(2, 3)
    model.set_transition(torch.tensor([[0.0, 0.0], [1.0, 3.0]]))
    torch.testing.assert_close(model.transition, torch.tensor([[0.98, 0.02], [0.25, 0.75]]))


def test_states_are_matched_whatever_their_names():
    reference = torch.randint(0, 4, (200,))
    names = torch.tensor([2, 0, 3, 1])
    found = names[reference]
    assert torch.equal(match_states(found, reference, 4)[found], reference)


def test_signs_are_scored_each_on_its_own():
    found = torch.tensor([[0, 0, 0], [1, -1, 0]])
    reference = torch.tensor([[0, 0, 0], [1, 1, -1]])
    assert sign_recall(found, reference) == {-1: 0.0, 0: 1.0, 1: 0.5}


@pytest.mark.slow
@pytest.mark.parametrize("prior", [GaussianPrior(), OneHotPrior()], ids=lambda prior: type(prior).__name__)
def test_a_known_network_is_found(prior):
    network = SwitchingNetwork(num_states=3, num_neurons=10, length=1000, num_graphs=12, seed=1)
    parts = [(network[k].x, network[k].y) for k in range(12)]
    counts, states = (torch.cat(rows) for rows in zip(*parts, strict=True))
    ptr = torch.arange(13) * 1000
    model = HMMGLM(3, 10, prior=prior, activation=torch.sigmoid)
    model.fit(counts, ptr, GeneralisedEM(epochs=8, maximiser=AdamSteps(40, lr=0.03)))
    found = model.posterior(counts, ptr).gamma.argmax(1)
    match = match_states(found, states, 3)
    assert float((match[found] == states).double().mean()) > 0.9
    recall = sign_recall(model.connections.signs()[match.argsort()], network.signs)
    assert sum(recall.values()) / 3 > 0.7


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HMMGLM(0, 3), "num_states must be at least 1, got 0"),
        (lambda: HMMGLM(2, 3, stay=1.0), "stay must be between 0 and 1, got 1.0"),
        (lambda: HMMGLM(2, 3).fit(torch.ones(5, 4), torch.tensor([0, 5])), "counts must have shape [T, N] = [5, 3]"),
        (lambda: HMMGLM(2, 3).fit(torch.ones(0, 3), torch.tensor([0])), "counts must have at least one row"),
        (lambda: HMMGLM(2, 3).adopt(HMMGLM(3, 3)), "other must have 2 states and 3 neurons, got 3 and 3"),
        (lambda: ExponentialFilter(1.0), "decay must be between 0 and 1, got 1.0"),
        (lambda: FiniteFilter(torch.ones(0)), "weights must have shape [lags] with at least one, got [0]"),
        (lambda: SmoothedClusters(length=0), "length must be positive, got 0"),
        (lambda: match_states(torch.zeros(2).long(), torch.zeros(3).long(), 2), "reference must have the shape"),
    ],
)
def test_wrong_arguments_are_named(make, words, unchecked):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value)


def test_a_connectome_is_where_the_prior_starts():
    prior = connectome_prior(chemical=torch.eye(3))
    model = HMMGLM(2, 3, prior=OneHotPrior(connectome=prior))
    torch.testing.assert_close(model.connections.connectome, prior)


@pytest.mark.parametrize(
    ("emission", "value", "message"),
    [
        (Poisson(), -1.0, r"counts must lie in \[0, inf\] for Poisson, got -1 at time 7 of neuron 2"),
        (Bernoulli(), 2.0, r"counts must lie in \[0, 1\] for Bernoulli, got 2 at time 7 of neuron 2"),
    ],
)
def test_counts_that_an_emission_cannot_tell_of_are_named(emission, value, message):
    counts, ptr = torch.zeros(20, 3), torch.tensor([0, 20])
    counts[7, 2] = value
    with pytest.raises(ValueError, match=message):
        HMMGLM(2, 3, emission=emission, activation=torch.sigmoid).log_evidence(counts, ptr)
    assert HMMGLM(2, 3, emission=Gaussian()).log_evidence(counts, ptr).isfinite().all()
