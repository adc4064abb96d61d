"""Blocks and whole models."""

import pytest
import torch
from torch_geometric.data import Data

from graphseq.chimera import (
    TPGN,
    TSM2,
    ChimeraBlock,
    ChimeraClassifier,
    ChimeraForecaster,
    ChimeraReconstructor,
    ChimeraTrunk,
    LinearForecaster,
    MovingAverage,
    SeparableGridSSM,
    WindowNorm,
    correlation_order,
    variate_order,
)
from graphseq.chimera.linear import linear_forecast
from graphseq.data.series import Borders, Series, Windows

SIZES = {"channels": 6, "layers": 2, "patch": 4, "state_size": 2}


def _series(rows=200, variates=3):
    time = torch.arange(rows, dtype=torch.float64)[:, None]
    phase = torch.arange(variates, dtype=torch.float64)
    values = torch.sin(time / 5 + phase) + 0.1 * torch.randn(rows, variates, dtype=torch.float64)
    return Series(values, tuple("abc"[:variates]), Borders(120, 160, rows))


def _forecaster(**options):
    return ChimeraForecaster(22, 5, **{**SIZES, **options}).double().eval()


def _perturbed(model):
    """Off the starting point, where the head is zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_training_starts_at_the_linear_forecast():
    windows = Windows(_series(), "train", 22, 5, dtype=torch.float64)
    model = _forecaster()
    model.prepare(windows)
    past = torch.stack([windows[i].past for i in range(4)])
    linear = LinearForecaster(22, 5).fit(windows)
    # The model keeps the solution in its own precision.
    torch.testing.assert_close(model(past), linear(past), rtol=1e-6, atol=1e-6)


def test_with_a_period_the_linear_path_alone_sets_the_level():
    """As a moving average of five rows reads it; an even forecast is corrected by nothing."""
    model, past = _perturbed(_forecaster(period=5)), torch.randn(2, 3, 22, dtype=torch.float64)
    correction = model(past) - linear_forecast(past, None, model.linear)
    whole = model.head(model.trunk(model.norm(past)[0]).flatten(2)) * model.norm(past)[1].deviation
    # Centred on row 2, all five rows.
    torch.testing.assert_close(correction[..., 2], whole[..., 2] - whole.mean(-1), rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.fill_(3.0)
    torch.testing.assert_close(model(past), linear_forecast(past, None, model.linear), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("train_linear", [True, False])
def test_training_moves_the_linear_path_only_on_request(train_linear):
    windows = Windows(_series(), "train", 22, 5)
    model = ChimeraForecaster(22, 5, **SIZES, train_linear=train_linear)
    model.prepare(windows)
    solution = model.linear.clone()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    past, future = (torch.stack([getattr(windows[i], name) for i in range(8)]) for name in ("past", "future"))
    (model(past) - future).square().mean().backward()
    optimizer.step()
    assert torch.equal(model.linear, solution) != train_linear
    again = ChimeraForecaster(22, 5, **SIZES, train_linear=not train_linear)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.eval()(past), model.eval()(past))


@pytest.mark.parametrize("linear", [True, False])
def test_level_and_scale_of_a_window_pass_through(linear):
    model, past = _perturbed(_forecaster(linear=linear)), torch.randn(2, 3, 22, dtype=torch.float64)
    level, scale = torch.randn(2, 3, 1, dtype=torch.float64), 1 + torch.rand(2, 3, 1, dtype=torch.float64)
    # Exact but for the epsilon in the deviation.
    torch.testing.assert_close(model(scale * past + level), scale * model(past) + level, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [22, 24])
def test_batches_do_not_mix_in_evaluation(rows):
    model = _perturbed(ChimeraForecaster(rows, 5, **SIZES).double().eval())
    past = torch.randn(3, 2, rows, dtype=torch.float64)
    for row in range(3):
        torch.testing.assert_close(model(past[row : row + 1])[0], model(past)[row], rtol=1e-12, atol=1e-12)


def test_an_order_of_variates_is_undone_in_the_result():
    past, order = torch.randn(2, 3, 22, dtype=torch.float64), torch.tensor([2, 0, 1])
    plain, ordered = _perturbed(_forecaster()), _forecaster(order=order)
    ordered.load_state_dict({**plain.state_dict(), "trunk.order": order, "trunk.place": order.argsort()})
    torch.testing.assert_close(ordered(past[:, order.argsort()])[:, order], plain(past), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [1e6, 1e300, torch.inf, torch.nan])
def test_values_that_were_not_observed_are_never_read(value):
    observed = torch.rand(2, 3, 22) > 0.3
    # Nothing of one variate, and nothing of a whole patch.
    observed[0, 1], observed[1, :, -8:] = False, False
    past = torch.randn(2, 3, 22, dtype=torch.float64)
    other = torch.where(observed, past, value)
    for model in (
        _perturbed(_forecaster()),
        LinearForecaster(22, 5).fit(Windows(_series(), "train", 22, 5, dtype=torch.float64)),
        _perturbed(ChimeraClassifier(4, **SIZES).double().eval()),
        _perturbed(ChimeraReconstructor(**SIZES).double().eval()),
        WindowNorm(shared=True),
        TPGN(22, 5, 3, period=11).double().eval(),
        TSM2(22, 5, patch=8, stride=4).double().eval(),
    ):

        def outcome(x, model=model):
            leaf = x.clone().requires_grad_()
            out = model(leaf, observed)
            out = out[0] if isinstance(out, tuple) else out
            (of_x,) = torch.autograd.grad(out.square().sum(), leaf)
            return out.detach(), of_x

        (found, of_found), (expected, of_expected) = outcome(other), outcome(past)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(of_found, of_expected, rtol=1e-9, atol=1e-9)
        assert (of_found[~observed] == 0).all()


def test_an_order_of_variates_orders_the_mask_too():
    """Variates of which different parts were observed, in an order and laid out in that order."""
    past, order = torch.randn(2, 3, 24, dtype=torch.float64), torch.tensor([2, 0, 1])
    observed = torch.ones(2, 3, 24, dtype=torch.bool)
    # Whole patches, so that the models of the grid are told.
    observed[:, 0, :16], observed[:, 2, 8:16] = False, False
    plain, ordered = (
        ChimeraTrunk(8, 2, patch=8).double().eval(),
        ChimeraTrunk(8, 2, patch=8, order=order).double().eval(),
    )
    ordered.load_state_dict({**plain.state_dict(), "order": order, "place": order.argsort()})
    found = ordered(past, observed)
    torch.testing.assert_close(found[:, order], plain(past[:, order], observed[:, order]), rtol=1e-12, atol=1e-12)


def test_the_linear_forecast_starts_from_the_last_value_that_was_observed():
    linear = LinearForecaster(4, 2)
    past, observed = torch.tensor([[[1.0, 2.0, 3.0, 0.0]]]), torch.tensor([[[True, True, True, False]]])
    assert linear(past, observed).flatten().tolist() == [3.0, 3.0]
    assert linear(past, torch.zeros_like(observed)).flatten().tolist() == [0.0, 0.0]


def test_all_observed_is_the_same_as_no_mask():
    past = torch.randn(2, 3, 24, dtype=torch.float64)
    model = _perturbed(ChimeraForecaster(24, 5, **SIZES).double().eval())
    seen = torch.ones(2, 3, 24, dtype=torch.bool)
    torch.testing.assert_close(model(past, seen), model(past), rtol=1e-12, atol=1e-12)


def test_a_classifier_that_knows_its_variates_tells_them_apart():
    x = torch.randn(3, 4, 10, dtype=torch.float64)
    apart = x.clone()
    apart[:, :2] = x[:, [1, 0]]
    # Without a scan over variates, only the head can tell which is which.
    for variates, same in ((None, True), (4, False)):
        model = ChimeraClassifier(5, variates, **SIZES, mix=False).double().eval()
        assert bool(torch.allclose(model(apart), model(x), rtol=1e-10)) == same
    with pytest.raises(ValueError, match="x must have 4 variates, got 3"):
        model(x[:, :3])


def test_gradients_reach_every_parameter():
    model = _perturbed(_forecaster().train())
    model(torch.randn(2, 3, 22, dtype=torch.float64)).square().mean().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_a_causal_block_reads_no_later_column():
    x = torch.randn(1, 3, 8, 6, dtype=torch.float64, requires_grad=True)
    for causal in (True, False):
        block = ChimeraBlock(6, state_size=2, average=5, causal=causal, kind=SeparableGridSSM).double()
        (gradient,) = torch.autograd.grad(block(x)[:, :, 3].square().sum(), x)
        assert bool((gradient[:, :, 4:] == 0).all()) == causal


def test_moving_average_is_the_mean_of_a_window_with_ends_repeated():
    x = torch.arange(6.0).view(1, 1, 6, 1)
    assert MovingAverage(3)(x).flatten().tolist() == pytest.approx([1 / 3, 1, 2, 3, 4, 14 / 3])
    assert MovingAverage(3, causal=True)(x).flatten().tolist() == pytest.approx([0, 1 / 3, 1, 2, 3, 4])


def test_a_window_norm_has_mean_zero_and_deviation_one_over_what_was_observed():
    x, observed = torch.randn(2, 3, 50, dtype=torch.float64) * 3 + 7, torch.rand(2, 3, 50) > 0.4
    normal, scale = WindowNorm()(x, observed)
    for values, back, seen in zip(normal.flatten(0, 1), x.flatten(0, 1), observed.flatten(0, 1), strict=True):
        assert float(values[seen].mean()) == pytest.approx(0, abs=1e-12)
        assert float(values[seen].std(correction=0)) == pytest.approx(1, abs=1e-5)
        assert bool((values[~seen] == 0).all())
        assert back is not None
    torch.testing.assert_close((normal * scale.deviation + scale.mean)[observed], x[observed])


def test_spectral_orders_recover_a_path():
    hidden = torch.randperm(9)
    data = Data(edge_index=torch.stack([hidden[:-1], hidden[1:]]), num_nodes=9)
    assert variate_order(data).tolist() in (hidden.tolist(), hidden.flip(0).tolist())
    walk = torch.randn(4000, 9, dtype=torch.float64).cumsum(1)
    found = correlation_order(walk[:, hidden.argsort()])
    assert found.tolist() in (hidden.tolist(), hidden.flip(0).tolist())


def test_components_follow_one_another_and_lone_variates_stay():
    data = Data(edge_index=torch.tensor([[0, 3], [3, 5]]), num_nodes=6)
    order = variate_order(data).tolist()
    assert sorted(order) == list(range(6))
    assert order[1] == 3 and order[3:] == [1, 2, 4]
    assert correlation_order(torch.randn(5, 1).double()).tolist() == [0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChimeraForecaster(0, 5), "lookback must be at least 1, got 0"),
        (lambda: ChimeraForecaster(8, 5, period=0), "period must be at least 1, got 0"),
        (lambda: ChimeraForecaster(8, 5, period=3, linear=False), "period must not be given without a linear path"),
        (lambda: ChimeraForecaster(8, 5, **SIZES)(torch.zeros(1, 2, 9)), "past must have 8 rows, got 9"),
        (lambda: ChimeraForecaster(8, 5, order=torch.tensor([0, 0])), r"order must be a permutation, got \[0, 0\]"),
        (
            lambda: ChimeraForecaster(8, 5, **SIZES, order=torch.tensor([1, 0]))(torch.zeros(1, 3, 8)),
            "x must have 2 variates, as order has, got 3",
        ),
        (lambda: MovingAverage(0), "width must be at least 1, got 0"),
        (
            lambda: variate_order(
                Data(edge_index=torch.tensor([[0], [1]]), edge_weight=torch.tensor([-1.0]), num_nodes=2)
            ),
            "edge_weight must not be negative, got -1.0",
        ),
        (
            lambda: LinearForecaster(3, 4).fit(Windows(_series(), "train", 3, 5)),
            "windows must have lookback 3 and horizon 4, got 3 and 5",
        ),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_not_finite_orders_no_variates():
    values = torch.randn(20, 4, dtype=torch.float64)
    values[7, 2] = torch.nan
    with pytest.raises(ValueError, match="values must be finite, got nan at row 7 of variate 2"):
        correlation_order(values)
    data = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), edge_weight=torch.tensor([1.0, torch.inf]), num_nodes=3)
    with pytest.raises(ValueError, match=r"data\.edge_weight must be finite, got inf at edge 1"):
        variate_order(data)
