"""The two-dimensional recurrence: reference numbers, special cases, bounds."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.chimera import (
    ExponentialCoupling,
    HoldCoupling,
    Link,
    MixCoupling,
    NoCoupling,
    OneWayCoupling,
    Roesser,
    Sweeps,
    Transitions,
    grid_ssm,
    selective_grid_ssm,
)
from graphseq.scan import Ragged, linear_scan, selective_scan

OPERATION = "grid_scan"
FORMS = {"link": Link(), "roesser": Roesser()}
BOUNDED = [MixCoupling(), HoldCoupling(), OneWayCoupling(), NoCoupling()]


def _parameters(batch, variates, time, channels, states, dtype=torch.float64):
    cells = (batch, variates, time, channels)
    rates = [-torch.rand(channels, states, dtype=dtype) - 0.05 for _ in range(2)]
    deltas = [torch.rand(cells, dtype=dtype) * 0.5 for _ in range(2)]
    return *rates, *deltas, *(torch.randn(cells, dtype=dtype) for _ in range(2))


def _sources(batch, variates, time, channels, states):
    return [torch.randn(batch, variates, time, channels, states, dtype=torch.float64) for _ in range(2)]


@pytest.mark.parametrize("form", FORMS)
def test_golden_states_outputs_and_gradients(backend, golden, form):
    g = golden("chimera/chimera_ssm_1")
    names = ["x", "A1", "A2", "A3", "A4", "B1", "B2", "C1", "C2"]
    given = {name: g[name].clone().requires_grad_() for name in names}
    transitions = Transitions(*(given[f"A{i}"] for i in (1, 2, 3, 4)))
    y = grid_ssm(given["x"], transitions, *(given[name] for name in names[5:]), states=FORMS[form])
    torch.testing.assert_close(y, g[f"{form}_y"], rtol=0, atol=1e-12)
    u1, u2 = (g["x"][..., None] * g[name][..., None, :] for name in ("B1", "B2"))
    for state, name in zip(FORMS[form](transitions, u1, u2), ("h1", "h2"), strict=True):
        torch.testing.assert_close(state, g[f"{form}_{name}"], rtol=0, atol=1e-12)
    (y * g["weight"]).sum().backward()
    for name in names:
        torch.testing.assert_close(given[name].grad, g[f"{form}_grad_{name}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_golden_selective_parametrisation(backend, golden, form):
    g = golden("chimera/chimera_ssm_2_selective")
    names = ["delta1", "delta2", "Alog1", "Alog2", "th1", "th2", "B1", "B2", "C1", "C2", "x"]
    given = {name: g[name].clone().requires_grad_() for name in names}
    transitions = MixCoupling()(
        -given["Alog1"].exp(),
        -given["Alog2"].exp(),
        given["delta1"],
        given["delta2"],
        given["th1"],
        given["th2"],
    )
    for i, transition in enumerate(transitions, start=1):
        torch.testing.assert_close(transition, g[f"A{i}"], rtol=0, atol=1e-14)
    y = grid_ssm(
        given["x"],
        transitions,
        *(given[name] for name in ("B1", "B2", "C1", "C2")),
        delta1=given["delta1"],
        delta2=given["delta2"],
        states=FORMS[form],
    )
    torch.testing.assert_close(y, g[f"{form}_y"], rtol=0, atol=1e-12)
    (y * g["weight"]).sum().backward()
    for name in names:
        torch.testing.assert_close(given[name].grad, g[f"{form}_grad_{name}"], rtol=0, atol=1e-12)


def test_golden_selective_parametrisation_fused(backend, golden):
    g = golden("chimera/chimera_ssm_2_selective")
    names = ["delta1", "delta2", "Alog1", "Alog2", "th1", "th2", "B1", "B2", "C1", "C2", "x"]
    given = {name: g[name].clone().requires_grad_() for name in names}
    log_rate, *others = (
        torch.stack([given[f"{name}1"], given[f"{name}2"]]) for name in ("Alog", "delta", "th", "B", "C")
    )
    y = selective_grid_ssm(given["x"], -log_rate.exp(), *others, coupling=MixCoupling())
    torch.testing.assert_close(y, g["link_y"], rtol=0, atol=1e-12)
    (y * g["weight"]).sum().backward()
    for name in names:
        torch.testing.assert_close(given[name].grad, g[f"link_grad_{name}"], rtol=0, atol=1e-12)


class Unfused(Link):
    fused = False


@pytest.mark.parametrize("coupling", BOUNDED, ids=repr)
@pytest.mark.parametrize("turn", [False, True])
def test_fused_and_written_out_are_the_same(coupling, turn):
    shape = (2, 9, 10, 3, 2)
    rate1, rate2, *cells = _parameters(*shape)
    rate = torch.stack([rate1, rate2])
    rate = torch.complex(rate, torch.randn_like(rate)) if turn else rate
    x = torch.randn(shape[:4], dtype=torch.float64)
    B, C = (torch.randn(2, *shape[:3], shape[4], dtype=torch.float64) for _ in range(2))
    C = torch.complex(C, torch.randn_like(C)) if turn else C
    delta, theta = torch.stack(cells[:2]), torch.stack(cells[2:])
    leaves = [tensor.requires_grad_() for tensor in (x, rate, delta, theta, B, C, torch.randn(3, dtype=torch.float64))]
    found = []
    for states in (Link(), Unfused()):
        y = selective_grid_ssm(*leaves, coupling=coupling, states=states)
        found.append([y, *torch.autograd.grad(y.sin().sum() + 0 * sum(leaf.sum().real for leaf in leaves), leaves)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@given(size=st.tuples(st.integers(1, 5), st.integers(1, 6)))
@settings(max_examples=15, deadline=None)
def test_enough_sweeps_are_exact(size):
    shape = (2, *size, 2, 3)
    transitions, sources = MixCoupling()(*_parameters(*shape)), _sources(*shape)
    for swept, exact in zip(Sweeps()(transitions, *sources), Link()(transitions, *sources), strict=True):
        torch.testing.assert_close(swept, exact, rtol=1e-12, atol=1e-12)


def test_each_sweep_adds_the_paths_of_one_more_turn():
    shape = (1, 7, 20, 1, 4)
    transitions, sources = MixCoupling()(*_parameters(*shape)), _sources(*shape)
    exact = torch.stack(Link()(transitions, *sources))
    errors = [float((torch.stack(Sweeps(k)(transitions, *sources)) - exact).abs().max()) for k in range(1, 8)]
    assert all(later < earlier for earlier, later in pairwise(errors))
    assert errors[0] > 1e-3 and errors[-1] < 1e-12


def test_one_sweep_is_exact_without_a_way_back():
    shape = (2, 4, 5, 2, 3)
    transitions, sources = OneWayCoupling()(*_parameters(*shape)), _sources(*shape)
    for swept, exact in zip(Sweeps(1)(transitions, *sources), Link()(transitions, *sources), strict=True):
        torch.testing.assert_close(swept, exact, rtol=1e-12, atol=1e-12)


def test_one_variate_is_a_sequence():
    shape = (2, 1, 6, 2, 3)
    transitions, (u1, u2) = MixCoupling()(*_parameters(*shape)), _sources(*shape)
    h1, _ = Link()(transitions, u1, u2)
    lines = Ragged.equal(2, 6)
    one = linear_scan(transitions.A1.flatten(0, 2), u1.flatten(0, 2), lines)
    torch.testing.assert_close(h1.flatten(0, 2), one, rtol=1e-12, atol=1e-12)


def test_without_coupling_variates_are_independent():
    shape = (1, 3, 6, 2, 3)
    transitions, (u1, u2) = NoCoupling()(*_parameters(*shape)), _sources(*shape)
    h1, h2 = Link()(transitions, u1, u2)
    for v in range(3):
        alone = linear_scan(transitions.A1[0, v], u1[0, v], Ragged.equal(1, 6))
        torch.testing.assert_close(h1[0, v], alone, rtol=1e-12, atol=1e-12)
    for t in range(6):
        column = linear_scan(transitions.A4[0, :, t], u2[0, :, t], Ragged.equal(1, 3))
        torch.testing.assert_close(h2[0, :, t], column, rtol=1e-12, atol=1e-12)


def test_one_uncoupled_variate_is_mamba():
    """With C2 = 0 the layer is the selective scan of Mamba, one segment a variate."""
    batch, variates, time, channels, states = 2, 3, 5, 2, 4
    parameters = _parameters(batch, variates, time, channels, states)
    x = torch.randn(batch, variates, time, channels, dtype=torch.float64)
    B1, B2, C1 = (torch.randn(batch, variates, time, states, dtype=torch.float64) for _ in range(3))
    y = grid_ssm(
        x, NoCoupling()(*parameters), B1, B2, C1, torch.zeros_like(C1), delta1=parameters[2], delta2=parameters[3]
    )
    packed = selective_scan(
        x.flatten(0, 2),
        parameters[2].flatten(0, 2),
        parameters[0],
        B1.flatten(0, 2),
        C1.flatten(0, 2),
        topology=Ragged.equal(batch * variates, time),
    )
    torch.testing.assert_close(y.flatten(0, 2), packed, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("coupling", BOUNDED, ids=repr)
@pytest.mark.parametrize("form", FORMS)
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 8)),
    cell=st.tuples(st.integers(0, 5), st.integers(0, 7)),
    scale=st.sampled_from([0.0, 0.01, 1.0, 30.0]),
    turn=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_no_impulse_ever_grows(coupling, form, size, cell, scale, turn):
    """Whatever the steps (0: no decay at all) and angles, as rows of couplings sum to at most 1."""
    rate1, rate2, delta1, delta2, theta1, theta2 = _parameters(1, *size, 2, 3)
    if turn:
        rate1 = torch.complex(rate1, torch.randn_like(rate1))
        rate2 = torch.complex(rate2, torch.randn_like(rate2))
    transitions = coupling(rate1, rate2, scale * delta1, scale * delta2, 3 * theta1, 3 * theta2)
    u1, u2 = (torch.zeros(1, *size, 2, 3, dtype=torch.float64) for _ in range(2))
    u1[:, cell[0] % size[0], cell[1] % size[1]] = 1
    for state in Link()(transitions, u1, u2):
        assert float(state.abs().max()) <= 1 + 1e-12


def test_a_small_exchange_is_held_over_the_step_exactly():
    """Over one step the pair (h1, held h2) follows exp of the block matrix [[rate, theta], [0, 0]]."""
    rate, delta, theta = torch.tensor([[-0.7]]).double(), torch.tensor([0.3]).double(), torch.tensor([0.2]).double()
    A1, A2, A3, A4 = HoldCoupling()(rate, rate, delta, delta, theta, theta)
    exact = torch.linalg.matrix_exp(delta * torch.tensor([[-0.7, 0.2], [0.0, 0.0]]).double())
    torch.testing.assert_close(torch.stack([A1, A2]).flatten(), exact[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.stack([A4, A3]).flatten(), exact[0], rtol=1e-12, atol=1e-12)


def test_the_exponential_coupling_warns_and_grows():
    with pytest.warns(UserWarning, match="grow with the size of the grid"):
        coupling = ExponentialCoupling()
    small, rate = torch.full((1, 7, 96, 1), 0.1, dtype=torch.float64), -torch.ones(1, 1, dtype=torch.float64)
    transitions = coupling(rate, rate, small, small, 0 * small, 0 * small)
    impulse = torch.zeros(1, 7, 96, 1, 1, dtype=torch.float64)
    impulse[:, 0, 0] = 1
    assert float(Link()(transitions, impulse, 0 * impulse)[0].max()) > 1e4


@pytest.mark.parametrize("form", FORMS)
def test_a_cell_reads_no_later_time(form):
    shape = (1, 4, 6, 2, 3)
    transitions, (u1, u2) = MixCoupling()(*_parameters(*shape)), _sources(*shape)
    before = FORMS[form](transitions, u1, u2)
    later = [u.clone() for u in (u1, u2)]
    for u in later:
        u[:, :, 4:] += 1
    after = FORMS[form](transitions, *later)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a[:, :, :4], b[:, :, :4])
        assert not torch.equal(a[:, :, 4:], b[:, :, 4:])


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (1, 1)])
@pytest.mark.parametrize("states", [Link(), Roesser(), Sweeps(), Sweeps(2)], ids=repr)
def test_empty_and_single_cells(size, states):
    shape = (1, *size, 2, 3)
    transitions, (u1, u2) = MixCoupling()(*_parameters(*shape)), _sources(*shape)
    h1, h2 = states(transitions, u1, u2)
    torch.testing.assert_close(h1, u1)
    torch.testing.assert_close(h2, u2)


def test_sweeps_must_be_positive():
    with pytest.raises(ValueError, match="sweeps must be at least 1, got 0"):
        Sweeps(0)
