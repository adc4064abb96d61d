"""The selective layer, its directions and its poles."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

import graphseq.chimera.states
from graphseq.chimera import (
    AutoregressivePoles,
    BiGridSSM,
    GridSSM,
    HoldCoupling,
    NoCoupling,
    RealPoles,
    Roesser,
    SeasonalPoles,
    SeparableGridSSM,
    Sweeps,
)
from graphseq.scan import linear_scan

VARIANTS = {
    "mix": {},
    "hold": {"coupling": HoldCoupling()},
    "roesser": {"states": Roesser()},
    "sweeps": {"states": Sweeps(2)},
    "seasonal": {"poles": SeasonalPoles(12.0)},
}


def _layer(**options):
    return GridSSM(6, state_size=3, **options).double()


def _input(batch=2, variates=4, time=7):
    return torch.randn(batch, variates, time, 6, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_column_reads_no_later_one(variant):
    layer, x = _layer(**VARIANTS[variant]), _input()
    (gradient,) = torch.autograd.grad(layer(x)[:, :, 3].square().sum(), x)
    assert bool((gradient[:, :, 4:] == 0).all())
    assert bool((gradient[:, :, :4].abs().sum((0, 1, 3)) > 0).all())


@pytest.mark.parametrize(("variant", "fused"), [("mix", True), ("seasonal", True), ("hold", False), ("roesser", False)])
def test_states_are_held_in_memory_only_where_they_must(variant, fused, monkeypatch):
    def counted(*arguments):
        calls.append(1)
        return linear_scan(*arguments)

    calls = []
    monkeypatch.setattr(graphseq.chimera.states, "linear_scan", counted)
    _layer(**VARIANTS[variant])(_input())
    assert bool(calls) != fused


def test_ahead_reads_earlier_variates_and_both_directions_read_all():
    x = _input()
    for layer, read in ((_layer(), [1, 1, 0, 0]), (BiGridSSM(6, state_size=3).double(), [1, 1, 1, 1])):
        (gradient,) = torch.autograd.grad(layer(x)[:, 1].square().sum(), x)
        assert (gradient.abs().sum((0, 2, 3)) > 0).int().tolist() == read


def test_batches_do_not_mix():
    layer, x = _layer(), _input()
    for row in range(2):
        torch.testing.assert_close(layer(x[row : row + 1])[0], layer(x)[row], rtol=1e-12, atol=1e-12)


def test_tied_directions_commute_with_reversing_the_variates():
    x = _input()
    tied, free = (BiGridSSM(6, state_size=3, tie=tie).double() for tie in (True, False))
    torch.testing.assert_close(tied(x.flip(1)), tied(x).flip(1), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(free(x.flip(1)), free(x).flip(1))
    assert tied.back is tied.ahead


def test_uncoupled_variates_do_not_read_each_other():
    layer, x = _layer(coupling=NoCoupling()), _input()
    C2 = layer.state_size
    with torch.no_grad():
        # The second state still runs along the variates: what it gives out is taken away.
        layer.x_proj.weight[-C2:] = 0
    (gradient,) = torch.autograd.grad(layer(x)[:, 2].square().sum(), x)
    assert bool((gradient[:, [0, 1, 3]] == 0).all())


def test_the_separable_layer_is_one_sweep_of_the_coupled_one_without_a_way_back():
    layer, x = SeparableGridSSM(6, state_size=3).double(), _input()
    swept = layer(x)
    layer.states = Sweeps()
    torch.testing.assert_close(layer(x), swept, rtol=1e-12, atol=1e-12)


def test_what_was_not_observed_feeds_nothing_in():
    layer, x = _layer().requires_grad_(False), _input().detach()
    observed = torch.ones(2, 4, 7, dtype=torch.bool)
    observed[:, 1, 2] = False
    other = x.clone()
    other[:, 1, 2] = 1e3
    away = torch.ones(2, 4, 7, dtype=torch.bool)
    away[:, 1, 2:] = away[:, 2:, 2:] = False
    # The steps of the cell itself follow its features, so compare where they have not been read.
    torch.testing.assert_close(layer(x, observed)[away], layer(other, observed)[away], rtol=1e-12, atol=1e-12)
    assert float(layer(other, observed).abs().max()) < 1e3


def test_two_half_gaps_are_one_gap():
    """An empty column between two others changes nothing, if the gap between them stays what it was."""
    layer = _layer(coupling=NoCoupling()).requires_grad_(False)
    layer.dt_proj.weight.zero_()
    first, last = (torch.randn(1, 1, 1, 6, dtype=torch.float64) for _ in range(2))
    empty = torch.zeros_like(first)
    seen = torch.tensor([True, False, False]).view(1, 1, 3)
    whole = layer(torch.cat([first, last], dim=2), seen[..., :2], torch.tensor([[1.0, 1.0]]).double())
    halves = layer(torch.cat([first, empty, last], dim=2), seen, torch.tensor([[1.0, 0.5, 0.5]]).double())
    usual = layer(torch.cat([first, empty, last], dim=2), seen)
    torch.testing.assert_close(halves[:, 0, -1], whole[:, 0, -1], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(usual[:, 0, -1], whole[:, 0, -1])


def test_seasonal_poles_turn_once_in_a_period():
    layer = GridSSM(4, state_size=3, poles=SeasonalPoles(12.0, memory=2.0)).double()
    delta = softplus(layer.dt_proj.bias[:4])[:, None]
    step = torch.exp(delta * torch.complex(-layer.A_log[0].exp(), layer.frequency[0]))
    angles = torch.tensor([0.0, 2 * math.pi / 12, 4 * math.pi / 12]).double().expand(4, 3)
    # Parameters were set in single precision.
    torch.testing.assert_close(step.angle(), angles, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(step.abs() ** 24, torch.full((4, 3), 0.5).double(), rtol=1e-4, atol=1e-4)


def test_autoregressive_poles_are_the_roots_of_the_process():
    coefficients = [1.2, -0.8, 0.1]
    log_rate, turn = AutoregressivePoles(coefficients)(2, torch.tensor([0.5], dtype=torch.float64))
    poles = torch.exp(0.5 * torch.complex(-log_rate.exp(), turn)).flatten().numpy()
    for pole in poles:
        assert abs(pole**3 - sum(c * pole ** (2 - k) for k, c in enumerate(coefficients))) < 1e-9
    assert np.unique(poles.round(9)).size == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GridSSM(0), "channels must be at least 1, got 0"),
        (lambda: GridSSM(4, exchange=1.0), r"exchange must be in \[0, 1\), got 1.0"),
        (lambda: SeasonalPoles(0.0), "period and memory must be positive, got 0.0"),
        (lambda: AutoregressivePoles([]), "coefficients must hold at least one"),
        (lambda: AutoregressivePoles([1.1]), "stable process .* got 1.1"),
        (lambda: GridSSM(4)(torch.zeros(2, 3, 4)), r"x must have shape \[batch, variates, time, 4\]"),
        (lambda: GridSSM(4)(torch.zeros(1, 2, 3, 5)), r"x must have shape .* got \[1, 2, 3, 5\]"),
        (
            lambda: GridSSM(4)(torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 4, dtype=torch.bool)),
            r"observed must have shape \[1, 2, 3\], got \[1, 2, 4\]",
        ),
        (lambda: GridSSM(4)(torch.zeros(1, 2, 3, 4), gaps=torch.ones(1, 2)), r"gaps must have shape \[1, 3\]"),
    ],
)
def test_wrong_input_is_named(unchecked, make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_reset_parameters_starts_anew():
    layer = GridSSM(4, poles=SeasonalPoles(6.0))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    torch.manual_seed(0)
    layer.reset_parameters()
    once = {name: value.clone() for name, value in layer.state_dict().items()}
    torch.manual_seed(0)
    layer.reset_parameters()
    assert all(torch.equal(value, once[name]) for name, value in layer.state_dict().items())
    assert not torch.equal(before["x_proj.weight"], once["x_proj.weight"])
    assert isinstance(GridSSM(4).poles, RealPoles)
