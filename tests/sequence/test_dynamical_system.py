"""Layers as linear systems: the recurrence gives what the layer gives."""

import math

import pytest
import torch

from graphseq.sequence import (
    GLA,
    LRU,
    MLSTM,
    Attention,
    DeltaNet,
    DeltaProduct,
    DivergentMamba,
    GatedDeltaNet,
    Mamba,
    Mamba2,
    SignedMamba,
    plot_eigenvalues,
    to_dsf,
)


def _strong_mlstm():
    """One whose normaliser passes the 1 below which it is not divided by, and whose norm does not cancel it."""
    layer = MLSTM(8, heads=2, norm_eps=1.0)
    torch.nn.init.constant_(layer.input_gate.bias, 3.0)
    return layer


EXACT = {
    "gla": lambda: GLA(8, heads=2),
    "mlstm": _strong_mlstm,
    "mamba": lambda: Mamba(8, state_size=3),
    "signed mamba": lambda: SignedMamba(8, state_size=3),
    "divergent mamba": lambda: DivergentMamba(8, state_size=3),
    "mamba2": lambda: Mamba2(8, head_size=4, state_size=3, groups=2),
    "delta net": lambda: DeltaNet(8, heads=2, beta_max=2.0),
    "gated delta net": lambda: GatedDeltaNet(8, heads=2, beta_max=2.0),
    "delta product": lambda: DeltaProduct(8, heads=2, steps=3, beta_max=2.0, gated=True, output_gate=False),
}


def _made(layer):
    """Away from an initialisation that hides terms which start at zero or one."""
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer.requires_grad_(False)


@pytest.mark.parametrize("name", EXACT)
def test_the_plain_recurrence_reproduces_the_layer(name):
    """With dense matrices, one token after another; a sequence longer than the short convolution."""
    layer, x = _made(EXACT[name]()), torch.randn(9, 8, dtype=torch.float64)
    system = to_dsf(layer, x)
    transition, write, read, skip = system.matrices()
    u = system.inputs.flatten(1)
    h, outputs = torch.zeros(transition.shape[1], dtype=torch.float64), []
    for t in range(9):
        h = transition[t] @ h + write[t] @ u[t]
        outputs.append(read[t] @ h + skip[t] @ u[t])
    expected = layer(x[None])[0]
    torch.testing.assert_close(torch.stack(outputs), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(system.outputs(), expected, rtol=1e-10, atol=1e-10)


def test_the_series_of_attention_converges_as_fast_as_that_of_the_exponential():
    """Each weight is off by no more than the remainder, s^(p+1) / (p+1)! e^s for scores up to s."""
    layer, x = _made(Attention(8, heads=2)), torch.randn(7, 8, dtype=torch.float64)
    q, k, v = layer.heads_of(x, torch.arange(7))
    scores = torch.einsum("thd,shd->hts", q, k) / 2
    largest, values = scores.abs().max().item(), v.abs().max().item()
    smallest = scores.exp().mul(torch.ones(7, 7).tril()).sum(-1).min().item()
    errors = {}
    for order in (2, 4, 8, 12):
        system = to_dsf(layer, x, order=order)
        assert system.write.shape[2] == math.comb(4 + order, order)
        system = system._replace(mix=torch.eye(8, dtype=torch.float64).view(8, 2, 4).expand(7, -1, -1, -1))
        weights = scores.masked_fill(torch.ones(7, 7).triu(1) == 1, -torch.inf).softmax(-1)
        exact = torch.einsum("hts,shd->thd", weights, v).flatten(1)
        errors[order] = (system.outputs() - exact).abs().max().item()
        remainder = largest ** (order + 1) / math.factorial(order + 1) * math.exp(largest)
        # Of seven weights and of their sum, by which they are divided.
        assert errors[order] < 4 * 7 * values * remainder / smallest
    assert errors[12] < 1e-3 * errors[4] < 1e-3 * errors[2]


def test_attention_reproduces_its_layer():
    layer, x = _made(Attention(8, heads=2)), 0.5 * torch.randn(7, 8, dtype=torch.float64)
    torch.testing.assert_close(to_dsf(layer, x, order=14).outputs(), layer(x[None])[0], rtol=1e-8, atol=1e-8)


def test_eigenvalues_lie_where_the_layers_allow_them():
    x = 3 * torch.randn(200, 8)
    inside = {name: to_dsf(EXACT[name](), x).eigenvalues() for name in ("mamba", "gla", "mlstm")}
    for values in inside.values():
        assert not values.is_complex()
        assert values.min() >= 0
        assert values.max() <= 1
    assert to_dsf(DeltaNet(8, heads=2), x).eigenvalues().real.min() > -1e-5
    signed = to_dsf(DeltaNet(8, heads=2, beta_max=2.0), x).eigenvalues()
    assert -1 - 1e-5 <= signed.real.min() < -0.1
    assert signed.imag.abs().max() < 1e-5
    rotating = to_dsf(DeltaProduct(8, heads=2, steps=2, beta_max=2.0), x).eigenvalues()
    assert rotating.abs().max() <= 1 + 1e-5
    assert rotating.imag.abs().max() > 0.3


def test_all_eigenvalues_are_drawn():
    system = to_dsf(DeltaProduct(8, heads=2, beta_max=2.0), torch.randn(5, 8))
    drawn = torch.as_tensor(plot_eigenvalues(system).axes[0].collections[0].get_offsets().data)
    values = system.eigenvalues().detach().flatten()
    torch.testing.assert_close(drawn, torch.stack([values.real, values.imag], 1).double())


def test_a_layer_without_such_a_form_is_named():
    with pytest.raises(TypeError, match=r"layer must be attention, or .* got LRU"):
        to_dsf(LRU(8), torch.randn(5, 8))
