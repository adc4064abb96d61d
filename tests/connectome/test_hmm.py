"""Forward-backward and Viterbi: reference numbers, enumeration of all paths, gradients, and edges."""

import itertools

import pytest
import torch

from graphseq.connectome import forward_backward, log_evidence, viterbi
from graphseq.scan import Ragged

PTR = torch.tensor([0, 4, 4, 5, 8])


@pytest.fixture
def model():
    """Four sequences (one empty, one of a single observation), a forbidden step, an impossible observation."""
    emission = torch.randn(8, 3, dtype=torch.float64)
    emission[6, 1] = -torch.inf
    transition = torch.rand(3, 3, dtype=torch.float64)
    transition[0, 2] = 0
    transition = transition / transition.sum(1, keepdim=True)
    start = torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64)
    return emission, transition, start


def enumerated(emission, transition, start):
    """Probability of every path of one sequence."""
    length, states = emission.shape
    paths = torch.tensor(list(itertools.product(range(states), repeat=length)))
    moves = transition if transition.dim() == 3 else transition.expand(length, states, states)
    probability = start[paths[:, 0]] * emission[range(length), paths].exp().prod(1)
    for t in range(1, length):
        probability = probability * moves[t, paths[:, t - 1], paths[:, t]]
    return paths, probability


def check_enumeration(emission, transition, start):
    found = forward_backward(emission, transition, start, PTR)
    best = viterbi(emission, transition, start, PTR)
    expected_transitions = torch.zeros(3, 3, dtype=torch.float64)
    for k, (a, b) in enumerate(itertools.pairwise(PTR.tolist())):
        if a == b:
            assert found.log_evidence[k] == best.log_probability[k] == 0
            continue
        moves = transition[a:b] if transition.dim() == 3 else transition
        paths, probability = enumerated(emission[a:b], moves, start if start.dim() == 1 else start[k])
        total = probability.sum()
        torch.testing.assert_close(found.log_evidence[k], total.log(), rtol=1e-12, atol=1e-12)
        posterior = probability / total
        for t in range(a, b):
            for s in range(3):
                exact = posterior[paths[:, t - a] == s].sum()
                torch.testing.assert_close(found.gamma[t, s], exact, rtol=1e-12, atol=1e-12)
            for s, r in itertools.product(range(3), repeat=2):
                exact = torch.zeros((), dtype=torch.float64)
                if t > a:
                    exact = posterior[(paths[:, t - a - 1] == s) & (paths[:, t - a] == r)].sum()
                torch.testing.assert_close(found.xi[t, s, r], exact, rtol=1e-12, atol=1e-12)
                expected_transitions[s, r] += exact
        assert best.states[a:b].tolist() == paths[probability.argmax()].tolist()
        torch.testing.assert_close(best.log_probability[k], probability.max().log(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.transitions, expected_transitions, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_evidence(emission, transition, start, PTR), found.log_evidence)


def test_all_paths_enumerated(model):
    check_enumeration(*model)


def test_all_paths_enumerated_when_transitions_change_in_time(model):
    emission, _, _ = model
    transition = torch.rand(8, 3, 3, dtype=torch.float64).softmax(2)
    # What would lead into a sequence is never read.
    transition[[0, 4, 5]] = torch.nan
    check_enumeration(emission, transition, torch.rand(4, 3, dtype=torch.float64).softmax(1))


def test_golden(golden):
    g = golden("connectome/hmm_glm_dev")
    ptr = torch.tensor([0, len(g["Y"])])
    found = forward_backward(g["log_emission"], g["P"], g["pi"], ptr)
    close = {"rtol": 1e-9, "atol": 1e-11}
    torch.testing.assert_close(found.log_evidence[0], g["log_evidence"], **close)
    torch.testing.assert_close(found.gamma, g["gamma"], **close)
    torch.testing.assert_close(found.xi[1:], g["xi"], **close)
    torch.testing.assert_close(found.log_alpha, g["log_alpha"], **close)
    torch.testing.assert_close(found.log_beta, g["log_beta"], **close)
    torch.testing.assert_close(found.transitions / found.transitions.sum(1, keepdim=True), g["P_mstep"], **close)
    best = viterbi(g["log_emission"], g["P"], g["pi"], ptr)
    assert best.states.tolist() == g["viterbi"].tolist()
    torch.testing.assert_close(best.log_probability[0], g["viterbi_logp"], **close)


def test_gamma_is_the_gradient_of_the_evidence(model):
    emission, transition, start = (tensor.requires_grad_() for tensor in model)
    found = forward_backward(emission, transition, start, PTR)
    for evidence in (found.log_evidence, log_evidence(emission, transition, start, PTR)):
        of_emission, of_transition = torch.autograd.grad(evidence.sum(), (emission, transition), retain_graph=True)
        torch.testing.assert_close(of_emission, found.gamma, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(of_transition * transition, found.transitions, rtol=1e-10, atol=1e-12)


def test_single_precision_over_a_long_sequence():
    """In float32 a sequential sum of the scale is off by whole units here."""
    length = 16384
    generator = torch.Generator().manual_seed(2)
    emission = 3 * torch.randn(length, 5, dtype=torch.float64, generator=generator) - 2
    transition = torch.eye(5, dtype=torch.float64) * 0.975 + 0.005
    start, ptr = torch.full((5,), 0.2, dtype=torch.float64), torch.tensor([0, length])
    exact = log_evidence(emission, transition, start, ptr)
    single = log_evidence(emission.float(), transition.float(), start.float(), ptr)
    assert float((single - exact).abs()) < 0.02


def test_a_sequence_without_a_path_is_told_and_spoils_no_other(model):
    emission, transition, start = model
    broken = emission.index_fill(0, torch.tensor([2]), -torch.inf).requires_grad_()
    found = forward_backward(broken, transition, start, PTR)
    whole = forward_backward(emission, transition, start, PTR)
    assert found.log_evidence[0] == -torch.inf
    assert (found.gamma[:4] == 0).all()
    assert (found.xi[:4] == 0).all()
    torch.testing.assert_close(found.gamma[4:], whole.gamma[4:])
    torch.testing.assert_close(found.log_evidence[1:], whole.log_evidence[1:])
    (gradient,) = torch.autograd.grad(found.log_evidence[1:].sum(), broken)
    assert not gradient.isnan().any()
    assert viterbi(broken.detach(), transition, start, PTR).log_probability[0] == -torch.inf


def test_batching_changes_nothing(model):
    emission, transition, start = model
    together = forward_backward(emission, transition, start, Ragged(PTR))
    for k, (a, b) in enumerate(itertools.pairwise(PTR.tolist())):
        alone = forward_backward(emission[a:b], transition, start, torch.tensor([0, b - a]))
        torch.testing.assert_close(together.gamma[a:b], alone.gamma, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(together.log_evidence[k], alone.log_evidence[0], rtol=1e-13, atol=1e-13)


def test_a_constant_added_to_an_observation_adds_to_the_evidence(model):
    emission, transition, start = model
    shift = torch.randn(8, 1, dtype=torch.float64) * 1e3
    found = forward_backward(emission + shift, transition, start, PTR)
    plain = forward_backward(emission, transition, start, PTR)
    torch.testing.assert_close(found.gamma, plain.gamma, rtol=1e-9, atol=1e-11)
    added = torch.stack([shift[a:b].sum() for a, b in itertools.pairwise(PTR.tolist())])
    torch.testing.assert_close(found.log_evidence, plain.log_evidence + added, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"log_emission": torch.ones(7, 3)},
            "log_emission must have shape [T, S] with T = 8, where ptr ends, got [7, 3]",
        ),
        ({"transition": torch.ones(3, 2)}, "transition must have shape [3, 3] or [8, 3, 3], got [3, 2]"),
        ({"start": torch.ones(2)}, "start must have shape [3] or [4, 3], got [2]"),
        ({"ptr": Ragged(PTR).reverse()}, "ptr must hold sequences in their own direction"),
    ],
)
def test_wrong_arguments_are_named(change, words, unchecked):
    given = {"log_emission": torch.ones(8, 3), "transition": torch.ones(3, 3), "start": torch.ones(3), "ptr": PTR}
    with pytest.raises(ValueError) as caught:
        forward_backward(**{**given, **change})
    assert words in str(caught.value)


@pytest.mark.parametrize("function", [forward_backward, log_evidence, viterbi])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"log_emission": (5, 1, torch.nan)}, "log_emission must hold numbers below infinity, got nan at [5, 1]"),
        ({"log_emission": (5, 1, torch.inf)}, "log_emission must hold numbers below infinity, got inf at [5, 1]"),
        (
            {"transition": (1, 2, -0.5)},
            "transition must hold probabilities, finite and not negative, got -0.5 at [1, 2]",
        ),
        ({"transition": (1, 2, torch.nan)}, "transition must hold probabilities, finite and not negative, got nan"),
        ({"start": (2, torch.inf)}, "start must hold probabilities, finite and not negative, got inf at [2]"),
    ],
)
def test_what_is_no_probability_is_named(function, change, words):
    given = {
        "log_emission": torch.zeros(8, 3),
        "transition": torch.full((3, 3), 1 / 3),
        "start": torch.full((3,), 1 / 3),
    }
    ((name, (*place, value)),) = change.items()
    given[name][tuple(place)] = value
    with pytest.raises(ValueError) as caught:
        function(**given, ptr=PTR)
    assert words in str(caught.value)


def test_dtypes_that_differ_are_named(unchecked):
    emission, transition, start = torch.zeros(8, 3), torch.full((3, 3), 1 / 3), torch.full((3,), 1 / 3)
    for given, words in (
        ((emission.long(), transition, start), "log_emission must have a floating dtype, got torch.int64"),
        ((emission, transition.double(), start), r"transition must have the dtype of log_emission \(torch.float32\)"),
        ((emission, transition, start.double()), r"start must have the dtype of log_emission \(torch.float32\)"),
    ):
        with pytest.raises(TypeError, match=words):
            forward_backward(*given, PTR)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e38, -1.0])
def test_a_transition_into_a_start_is_never_read(value):
    torch.manual_seed(0)
    emission, start = torch.randn(8, 3, dtype=torch.float64), torch.full((3,), 1 / 3, dtype=torch.float64)
    transition = torch.rand(8, 3, 3, dtype=torch.float64)
    changed = transition.index_fill(0, Ragged(PTR).first, value)

    def outcome(moves):
        leaf = moves.clone().requires_grad_()
        found = forward_backward(emission, leaf, start, PTR)
        (of_moves,) = torch.autograd.grad(found.log_evidence.sum(), leaf)
        return found.gamma.detach(), found.xi.detach(), of_moves

    for found, expected in zip(outcome(changed), outcome(transition), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
