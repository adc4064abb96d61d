"""Affinities at every frame: reference numbers, symmetries, and neurons that are not there."""

import numpy as np
import pytest
import torch

from graphseq.connectome import (
    RBF,
    GeometricMean,
    Minimum,
    Opposed,
    Product,
    affinity,
    gaussian_derivative,
    min_max,
    rate_of_change,
)

EXACT = {"rtol": 1e-9, "atol": 1e-11, "equal_nan": True}
KINDS = {"gmean": GeometricMean(), "min": Minimum(), "prod": Product(), "rbf": RBF(0.25)}


def _traces(animals=3, neurons=5, time=40, missing=True):
    traces = torch.randn(animals, neurons, time, dtype=torch.float64).cumsum(-1)
    if missing:
        traces[0, 2] = torch.nan
        traces[1, :2] = torch.nan
    return traces


def test_the_steps_to_the_rate_are_the_reference(golden):
    data = golden("connectome/affinity_dev")
    seen = data["observed"]
    sigma, dt = data["sigma"].item(), data["dt"].item()
    torch.testing.assert_close(min_max(data["traces"])[seen], data["normalised"][seen], **EXACT)
    derivative = gaussian_derivative(data["normalised"], sigma=sigma, dt=dt)
    torch.testing.assert_close(derivative, data["derivative"], **EXACT)
    z = rate_of_change(data["traces"], seen, sigma=sigma, dt=dt)
    torch.testing.assert_close(z[seen], data["scaled"][seen], **EXACT)
    assert z[~seen].isnan().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("told", [True, False])
def test_each_kind_is_the_reference(golden, kind, told):
    data = golden("connectome/affinity_dev")
    got = affinity(
        data["traces"],
        data["observed"] if told else None,
        kind=KINDS[kind],
        sigma=data["sigma"].item(),
        dt=data["dt"].item(),
    )
    torch.testing.assert_close(got, data[f"affinity_{kind}"], **EXACT)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_neuron_and_animal_order_go_through(kind):
    traces = _traces()
    whole = affinity(traces, kind=kind)
    neurons, animals = torch.randperm(5), torch.randperm(3)
    moved = affinity(traces[animals][:, neurons], kind=kind)
    torch.testing.assert_close(moved, whole[animals][:, neurons][:, :, neurons], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_opposite_change_has_no_affinity(kind):
    rising = torch.linspace(0, 1, 30, dtype=torch.float64)
    traces = torch.stack([rising, -rising, 3 * rising + 7])[None]
    values = affinity(traces, kind=kind)[0]
    assert (values[0, 1] == 0).all() and (values[0, 2] > 0.2).all()
    against = affinity(traces, kind=Opposed(kind))[0]
    torch.testing.assert_close(against[0, 1], values[0, 2])
    assert (against[0, 2] == 0).all()


def test_half_the_speed_scores_half_of_the_geometric_mean_and_the_minimum():
    a, b = torch.rand(2, 50, dtype=torch.float64)
    for kind, power in ((GeometricMean(), 1), (Minimum(), 1), (Product(), 2)):
        torch.testing.assert_close(kind(a / 2, b / 2), kind(a, b) / 2**power)


def test_the_gate_silences_what_is_nearly_still():
    a = torch.tensor([0.01, 0.5, 0.01, -0.5])
    b = torch.tensor([0.02, 0.6, 0.9, -0.6])
    assert (RBF(1.0, gate=0.05)(a, b) > 0).tolist() == [False, True, False, True]
    assert (RBF(1.0)(a, b) > 0).all()


@pytest.mark.parametrize("level", [0.0, 0.1, 1e9])
def test_a_constant_trace_has_no_affinity_with_anything(level):
    traces = _traces(missing=False)
    traces[:, 1] = level
    values = affinity(traces)
    assert (values[:, 1] == 0).all()
    assert values.isfinite().all()


def test_a_missing_neuron_is_missing_not_silent():
    traces = _traces()
    values = affinity(traces)
    for animal, neuron in ((0, 2), (1, 0), (1, 1)):
        assert values[animal, neuron].isnan().all() and values[animal, :, neuron].isnan().all()
    observed = ~traces.isnan().any(-1)
    filled = traces.nan_to_num(nan=3.0)
    torch.testing.assert_close(affinity(filled, observed), values, equal_nan=True)


def test_one_frame_and_one_animal():
    assert (affinity(torch.rand(1, 3, 1)) == 0).all()
    traces = _traces(missing=False)
    torch.testing.assert_close(affinity(traces[:1]), affinity(traces)[:1])


def test_float32_stays_float32():
    traces = _traces()
    low = affinity(traces.float())
    assert low.dtype == torch.float32
    np.testing.assert_allclose(low.numpy(), affinity(traces).numpy(), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.0}, "sigma must be positive, got 0.0"),
        ({"dt": -1.0}, "dt must be positive, got -1.0"),
        ({"traces": torch.rand(3, 5)}, r"traces must have shape \[animals, neurons, time\]"),
        ({"traces": torch.rand(3, 0, 5)}, "none of them 0"),
        ({"observed": torch.ones(5, 3, dtype=torch.bool)}, r"observed must be bool of shape \[3, 5\]"),
        ({"observed": torch.ones(3, 5, dtype=torch.bool)}, "got NaN or infinity in neuron 2 of animal 0"),
    ],
)
def test_wrong_input_is_named(unchecked, change, message):
    with pytest.raises(ValueError, match=message):
        affinity(**{"traces": _traces(), **change})


def test_whole_numbers_are_refused(unchecked):
    with pytest.raises(TypeError, match=r"traces must have a floating dtype, got torch\.int64"):
        affinity(torch.ones(1, 2, 3, dtype=torch.int64))


def test_wrong_widths_are_named():
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        RBF(0.0)
    with pytest.raises(ValueError, match="gate must be at least 0, got -1"):
        RBF(gate=-1.0)
