"""Windows of time, and the tensor of pairs, windows and animals."""

import pytest
import torch

from graphseq.connectome import ExponentialWindow, MeanWindow, Minimum, affinity, pair_tensor, pairs
from graphseq.scan import available_backends, use_backend

EXACT = {"rtol": 1e-9, "atol": 1e-11}


def _traces():
    traces = torch.randn(3, 6, 50, dtype=torch.float64).cumsum(-1)
    traces[0, 1] = torch.nan
    return traces


def test_windowed_means_are_the_reference(golden):
    data = golden("connectome/affinity_dev")
    window = MeanWindow(data["window"].item(), data["stride"].item())
    settings = {"sigma": data["sigma"].item(), "dt": data["dt"].item()}
    values, mask, ij = pair_tensor(data["traces"], data["observed"], window=window, **settings)
    torch.testing.assert_close(values, data["pair_tensor"], **EXACT)
    assert (mask[:, None] == data["pair_mask"]).all()
    assert ij.tolist() == [data["pairs_i"].tolist(), data["pairs_j"].tolist()]
    assert window.frames(data["traces"].shape[-1]).tolist() == data["window_starts"].tolist()


@pytest.mark.parametrize("window", [MeanWindow(7, 3), ExponentialWindow(0.8), ExponentialWindow(0.8, 4, True)])
@pytest.mark.parametrize("block", [1, 1000, 1 << 22])
def test_blocks_of_pairs_change_nothing(monkeypatch, window, block):
    """Against the affinity of all pairs at every frame."""
    monkeypatch.setattr(pairs, "BLOCK", block)
    traces = _traces()
    values, mask, ij = pair_tensor(traces, window=window, kind=Minimum())
    whole = affinity(traces, kind=Minimum())[:, ij[0], ij[1]]
    assert (whole.isnan().all(-1).t() == ~mask).all()
    expected = window(whole.nan_to_num(0).permute(2, 1, 0).flatten(1)).unflatten(1, mask.shape).transpose(0, 1)
    torch.testing.assert_close(values, expected, **EXACT)
    assert values.shape[1] == len(window.frames(50))


@pytest.mark.parametrize("name", available_backends("linear_scan"))
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_exponential_average_is_the_weighted_mean(name, symmetric):
    if name == "triton":
        pytest.skip("has no CPU form")
    values = torch.rand(30, 4, dtype=torch.float64)
    t = torch.arange(30.0, dtype=torch.float64)
    lag = t[:, None] - t
    weights = 0.7 ** lag.abs()
    if not symmetric:
        weights = weights.tril()
    expected = weights @ values / weights.sum(1, keepdim=True)
    with use_backend(name):
        got = ExponentialWindow(0.7, stride=3, symmetric=symmetric)(values)
    torch.testing.assert_close(got, expected[::3], **EXACT)


def test_no_decay_keeps_every_frame():
    values = torch.rand(9, 2)
    torch.testing.assert_close(ExponentialWindow(0.0)(values), values)
    torch.testing.assert_close(MeanWindow(1)(values), values)


def test_the_causal_average_knows_no_future():
    values = torch.rand(20, 3)
    later = values.clone()
    later[12:] += 1
    window = ExponentialWindow(0.9)
    assert (window(values)[:12] == window(later)[:12]).all()


def test_one_frame_and_a_pair_never_seen():
    traces = torch.rand(2, 3, 1)
    traces[0, 0] = traces[1, 1] = torch.nan
    values, mask, _ = pair_tensor(traces, window=MeanWindow(1))
    assert values.shape == (3, 1, 2) and (values == 0).all()
    assert mask.tolist() == [[False, False], [False, True], [True, False]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MeanWindow(0), "length must be at least 1, got 0"),
        (lambda: MeanWindow(3, 0), "stride must be at least 1, got 0"),
        (lambda: ExponentialWindow(1.0), r"decay must be in \[0, 1\), got 1.0"),
        (lambda: ExponentialWindow(0.5, 0), "stride must be at least 1, got 0"),
        (
            lambda: pair_tensor(_traces(), window=MeanWindow(51)),
            "length must be at most the number of frames, 50, got 51",
        ),
        (lambda: pair_tensor(_traces()[:, :1], window=MeanWindow(5)), "traces must hold at least 2 neurons, got 1"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
