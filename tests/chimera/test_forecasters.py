"""TSM2 and TPGN against their equations written out, and how a forecast of Chimera comes apart."""

import math

import pytest
import torch

from graphseq.chimera import (
    TPGN,
    TSM2,
    ChimeraClassifier,
    ChimeraForecaster,
    ChimeraReconstructor,
    ChimeraSeries,
    ChimeraTrunk,
    LinearForecaster,
    WindowNorm,
)
from graphseq.chimera.tpgn import PGN
from graphseq.chimera.tsm2 import SelectiveSSM, TimeMixer, VariateMixer
from graphseq.scan import Ragged

SIZES = {"channels": 4, "layers": 2, "patch": 4, "state_size": 2}


def _close(actual, expected):
    # Double precision throughout: only the order of sums differs.
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def _selective(model, x):
    """The selective model on one sequence, step by step."""
    T = x.shape[0]
    p = x @ model.in_proj.weight.t() + model.in_proj.bias
    kernel, bias = model.conv1d.weight[:, 0], model.conv1d.bias
    width = kernel.shape[1]
    h = torch.zeros(p.shape[1], model.state_size, dtype=x.dtype)
    out = []
    for t in range(T):
        taps = [kernel[:, width - 1 - k] * p[t - k] for k in range(width) if t - k >= 0]
        a = sum(taps) + bias
        a = a * a.sigmoid()
        raw = model.x_proj.weight @ a
        delta, B, C = raw.split([p.shape[1], model.state_size, model.state_size])
        delta = torch.log1p((delta + model.dt_bias).exp())
        h = (delta[:, None] * -model.A_log.exp()).exp() * h + (delta * a)[:, None] * B
        out.append(h @ C + model.D * a)
    return torch.stack(out)


def test_the_selective_model_is_its_recurrence():
    model, x = SelectiveSSM(3, 5, state_size=2).double(), torch.randn(6, 3, dtype=torch.float64)
    _close(model(x, Ragged(torch.tensor([0, 6]))), _selective(model, x))


@pytest.mark.parametrize("kind", [TimeMixer, VariateMixer])
def test_a_mixer_is_its_models_under_one_gate(kind):
    mixer = kind(3, state_size=2).double()
    x = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    mean, variance = x.mean((1, 2), keepdim=True), x.var((1, 2), keepdim=True, correction=0)
    normal = (x - mean) / (variance + mixer.norm.eps).sqrt()
    # Lines along time for the one, along variates for the other.
    lines = normal if kind is TimeMixer else normal.transpose(1, 2)
    mixed = torch.empty_like(lines)
    for example in range(2):
        for line, n in enumerate(lines[example]):
            h = _selective(mixer.models[0], n)
            if kind is VariateMixer:
                h = h + _selective(mixer.models[1], n.flip(0)).flip(0)
            z = n @ mixer.gate.weight.t() + mixer.gate.bias
            mixed[example, line] = (h * z * z.sigmoid()) @ mixer.out_proj.weight.t() + mixer.out_proj.bias
    _close(mixer(x), x + (mixed if kind is TimeMixer else mixed.transpose(1, 2)))


def test_tsm2_is_a_weighted_sum_of_all_before_through_mixers_in_turn():
    model = TSM2(13, 3, channels=4, layers=2, patch=4, stride=3, state_size=2).double().eval()
    with torch.no_grad():
        for weights in (*model.time_weights, *model.variate_weights):
            weights.normal_()
    past = torch.randn(2, 3, 13, dtype=torch.float64)
    mean, deviation = past.mean(-1, keepdim=True), (past.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    normal = (past - mean) / deviation
    columns = [normal[..., start : start + 4] for start in range(0, 10, 3)]
    x = torch.stack([torch.cat([c, torch.ones_like(c)], -1) for c in columns], 2) @ model.embed.weight.t()
    x = x + model.embed.bias
    (a, b), (a2, b2) = model.time_weights[0], model.time_weights[1]
    t1 = model.time_mixers[0](a[0] * x + b[0] * x)
    w = model.variate_weights[0]
    c1 = model.variate_mixers[0](w[0] * x + w[1] * t1 + w[2] * x)
    t2 = model.time_mixers[1](a2[0] * x + a2[1] * t1 + b2[0] * x + b2[1] * c1)
    w = model.variate_weights[1]
    c2 = model.variate_mixers[1](w[0] * x + w[1] * t1 + w[2] * t2 + w[3] * x + w[4] * c1)
    _close(model(past), (c2.flatten(2) @ model.head.weight.t() + model.head.bias) * deviation + mean)


def test_tsm2_marks_rows_before_the_first_and_rows_that_were_not_observed():
    model = TSM2(14, 3, channels=4, layers=1, patch=4, stride=4, state_size=2).double()
    observed = torch.rand(2, 3, 14) > 0.3
    past = torch.randn(2, 3, 14, dtype=torch.float64)
    seen = model._patches(past, observed).unflatten(-1, (2, 4))[..., 1, :].flatten(2)
    assert bool((seen[..., :2] == 0).all()) and torch.equal(seen[..., 2:].bool(), observed)
    model.eval()
    _close(model(torch.where(observed, past, 1e6), observed), model(past, observed))


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_pgn_reads_all_earlier_rows_of_its_phase(rows):
    layer = PGN(2, rows, 3).double()
    x = torch.randn(2, 2, rows, 5, dtype=torch.float64)
    W, b = layer.history.weight, layer.history.bias
    V, c = layer.gates.weight, layer.gates.bias
    expected = torch.empty(2, 2, rows, 5, 3, dtype=torch.float64)
    for n in range(2):
        for v in range(2):
            for p in range(5):
                for r in range(rows):
                    H = b[v] + sum(W[v, k - 1] * x[n, v, r - k, p] for k in range(1, rows) if r - k >= 0)
                    s, new = (torch.cat([x[n, v, r, p : p + 1], H]) @ V[v] + c[v]).chunk(2)
                    expected[n, v, r, p] = s.sigmoid() * H + (1 - s.sigmoid()) * new.tanh()
    _close(layer(x), expected)


def test_tpgn_is_its_two_branches():
    model = TPGN(12, 6, 2, period=4, channels=3).double()
    past = torch.randn(2, 2, 12, dtype=torch.float64)
    mean, deviation = past.mean(-1, keepdim=True), (past.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    grid = ((past - mean) / deviation).view(2, 2, 3, 4)
    long = model.long(grid)
    expected = torch.empty(2, 2, 2, 4, dtype=torch.float64)
    for n in range(2):
        for v in range(2):
            rows = [grid[n, v, r] @ model.short.weight[v] + model.short.bias[v] for r in range(3)]
            short = torch.cat(rows) @ model.short_rows.weight[v] + model.short_rows.bias[v]
            for p in range(4):
                history = long[n, v, :, p].flatten() @ model.long_rows.weight[v] + model.long_rows.bias[v]
                expected[n, v, :, p] = torch.cat([history, short]) @ model.head.weight[v] + model.head.bias[v]
    assert math.ceil(6 / 4) == 2
    _close(model(past), expected.flatten(2)[..., :6] * deviation + mean)


def test_variates_of_tpgn_never_mix():
    model, past = TPGN(12, 6, 3, period=4, channels=3).double(), torch.randn(1, 3, 12, dtype=torch.float64)
    past.requires_grad_()
    heard = torch.autograd.grad(model(past)[0, 1].sum(), past)[0].abs().sum(-1)[0]
    assert (heard > 1e-9).tolist() == [False, True, False]


@pytest.mark.parametrize("linear", [True, False])
def test_trend_and_season_add_up_to_the_forecast(linear):
    model = ChimeraForecaster(24, 5, linear=linear, **SIZES).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    past, observed = torch.randn(2, 3, 24, dtype=torch.float64), torch.rand(2, 3, 24) > 0.2
    for seen in (None, observed):
        trend, season = model.decompose(past, seen, period=7)
        _close(trend + season, model(past, seen))
        assert bool((season.abs() > 1e-3).any())
    with torch.no_grad():
        for block in model.trunk.blocks:
            for way in (block.season.ahead, block.season.back):
                way.D.zero_()
                way.x_proj.weight.zero_()
        if linear:
            model.linear.zero_()
    # A seasonal model that puts nothing out, and a linear path that repeats the last value.
    season = model.decompose(past, period=1).season
    _close(season, torch.zeros_like(season))


def test_what_flows_keeps_its_size_under_a_shared_deviation():
    past = torch.randn(2, 3, 20, dtype=torch.float64) * torch.tensor([1.0, 2.0, 5.0])[:, None]
    normal, scale = WindowNorm(shared=True)(past)
    assert bool((scale.deviation == scale.deviation[:, :1]).all())
    _close(normal.square().mean((1, 2)) * scale.deviation[:, 0, 0] ** 2, scale.deviation[:, 0, 0] ** 2 - 1e-5)
    _close(normal * scale.deviation + scale.mean, past)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TPGN(10, 4, 2, period=4), r"lookback must be a multiple of the period \(4\), got 10"),
        (lambda: TPGN(8, 4, 2, period=4)(torch.zeros(1, 2, 12)), "past must have 8 rows, got 12"),
        (lambda: TPGN(8, 0, 2, period=4), "horizon must be at least 1, got 0"),
        (lambda: TSM2(8, 4, stride=0), "stride must be at least 1, got 0"),
        (lambda: TSM2(8, 4)(torch.zeros(1, 2, 9)), "past must have 8 rows, got 9"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


MODELS_OF_SERIES = {
    "past": {
        "ChimeraForecaster": lambda: ChimeraForecaster(24, 5, channels=8, layers=1),
        "LinearForecaster": lambda: LinearForecaster(24, 5),
        "TPGN": lambda: TPGN(24, 5, 3, period=12, channels=8),
        "TSM2": lambda: TSM2(24, 5, channels=8, layers=1),
    },
    "x": {
        "ChimeraClassifier": lambda: ChimeraClassifier(4, 3, channels=8, layers=1),
        "ChimeraReconstructor": lambda: ChimeraReconstructor(channels=8, layers=1),
        "ChimeraTrunk": lambda: ChimeraTrunk(8, 1),
        "WindowNorm": WindowNorm,
    },
}


@pytest.mark.parametrize(("argument", "name"), [(a, name) for a, models in MODELS_OF_SERIES.items() for name in models])
def test_wrong_series_are_named(unchecked, argument, name):
    model, x = MODELS_OF_SERIES[argument][name]().eval(), torch.randn(2, 3, 24)
    seen = torch.ones_like(x, dtype=torch.bool)
    for wrong, error, message in (
        ((x[0],), ValueError, rf"{argument} must have shape \[batch, variates, rows\], got \[3, 24\]"),
        ((x.long(),), TypeError, f"{argument} must have a floating dtype, got torch.int64"),
        ((x.tolist(),), TypeError, f"{argument} must be a tensor, got list"),
        ((x, seen[:, :2]), ValueError, rf"observed must have the shape of {argument}, \[2, 3, 24\], got \[2, 2, 24\]"),
        ((x, seen.float()), TypeError, "observed must have dtype torch.bool, got torch.float32"),
        ((x, seen.to("meta")), ValueError, rf"observed must be on the device of {argument} \(cpu\), got meta"),
    ):
        with pytest.raises(error, match=message):
            model(*wrong)
    if argument == "past":
        with pytest.raises(ValueError, match="past must have 24 rows, got 23"):
            model(x[..., 1:])
    if name not in ("LinearForecaster", "WindowNorm"):
        with pytest.raises(TypeError, match=r"dtype of the model's weights \(torch.float32\), got torch.float64"):
            model(x.double())
    if name in ("TPGN", "ChimeraClassifier"):
        with pytest.raises(ValueError, match=f"{argument} must have 3 variates, got 4"):
            model(torch.randn(2, 4, 24))


def test_a_batch_that_is_no_row_of_series_is_named(unchecked):
    """A batch out of order would mix the series, and one without rows has no class."""
    model, x = ChimeraSeries(3, 2, channels=8, layers=1).eval(), torch.randn(6, 3)
    for batch, batch_size, message in (
        ([0, 1, 0, 1, 0, 1], 2, "batch must be in ascending order, got 0 after 1 at position 2"),
        ([0, 0, 0, 2, 2, 2], 3, "batch must give each series at least one row, got none for 1"),
        ([0, 0, 0, 1, 1, 1], 3, "batch must give each series at least one row, got none for 2"),
        ([0, 0, 0, 2, 2, 2], 2, r"batch must be sorted and hold numbers in \[0, 2\)"),
        ([0, 0, 0], 1, "batch must have one entry for each of the 6 rows of x"),
    ):
        with pytest.raises(ValueError, match=message):
            model(x, batch=torch.tensor(batch), batch_size=batch_size)
    with pytest.raises(ValueError, match=r"x must have shape \[times, 3\], got \[6, 4\]"):
        model(torch.randn(6, 4))
