"""The switching network: its spikes have the rates, and its states the lengths, that it states."""

import pytest
import torch

from graphseq.data import SwitchingNetwork


@pytest.fixture(scope="module")
def network():
    return SwitchingNetwork(num_states=3, num_neurons=6, length=1000, num_graphs=20, seed=4)


def test_states_stay_as_long_as_the_transition_says(network):
    states = torch.stack([data.y for data in network])
    counts = torch.zeros(3, 3).index_put(
        (states[:, :-1].flatten(), states[:, 1:].flatten()), torch.tensor(1.0), accumulate=True
    )
    # Five standard errors of a share of 0.98 from a third of 20 000 steps.
    torch.testing.assert_close((counts / counts.sum(1, True)).diagonal(), torch.full((3,), 0.98), rtol=0, atol=0.01)
    torch.testing.assert_close(network.transition.sum(1), torch.ones(3, dtype=torch.float64))


def test_spikes_have_the_rates_of_the_equation(network):
    """Residuals are uncorrelated with the history through which a neuron is driven, and of mean zero."""
    lags = torch.exp(-torch.arange(1.0, 6.0))
    lags = lags / lags.sum()
    residuals, histories = [], []
    for data in network:
        padded = torch.cat([torch.zeros(5, 6), data.x])
        history = sum(lags[k] * padded[4 - k : 4 - k + 1000] for k in range(5))
        drive = network.bias[data.y].float() + (network.weights[data.y].float() @ history[:, :, None])[:, :, 0]
        rate = drive.sigmoid()
        residuals.append((data.x - rate) / rate.sqrt())
        histories.append(history)
    residual, history = torch.cat(residuals), torch.cat(histories)
    count = len(residual)
    # Poisson residuals over the root of their rate have unit variance.
    assert residual.mean(0).abs().max() < 5 / count**0.5
    torch.testing.assert_close(residual.var(0), torch.ones(6), rtol=0, atol=0.05)
    slope = residual.mT @ (history - history.mean(0)) / count / history.std(0)
    assert slope.abs().max() < 5 / count**0.5


def test_states_share_the_connectome():
    network = SwitchingNetwork(num_states=400, num_neurons=4, length=1, num_graphs=1)
    shares = torch.stack([(network.signs == sign).double().mean(0) for sign in (-1, 0, 1)], -1)
    torch.testing.assert_close(shares, network.connectome, rtol=0, atol=0.12)
    sizes = network.weights.abs()[network.signs != 0]
    assert 0 <= sizes.min() < sizes.max() < torch.log(torch.tensor(4.0))
    assert (network.weights.sign() == network.signs)[network.weights != 0].all()


def test_one_state_is_a_plain_network():
    network = SwitchingNetwork(num_states=1, num_neurons=2, length=10, num_graphs=1)
    assert network[0].y.tolist() == [0] * 10
    assert network.transition.tolist() == [[1.0]]


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="num_states must be at least 1, got 0"):
        SwitchingNetwork(num_states=0)
