"""Linear attention against reference numbers, and against the recurrence written out."""

import pytest
import torch

from graphseq.scan import Ragged
from graphseq.sequence import GLA, MLSTM, linear_attention


@pytest.mark.parametrize("name", ["ssd_1", "ssd_2_init_state"])
def test_golden_state_space_duality(backend, golden, name):
    """Mamba-2's recurrence is linear attention with one decay a head."""
    g = golden(f"mamba/{name}")
    leaves = {key: g[key].clone().requires_grad_() for key in ("X", "A", "B", "C", "initial_states") if key in g}
    batch, length = g["X"].shape[:2]
    initial = leaves["initial_states"].squeeze(1).transpose(-1, -2) if "initial_states" in leaves else None
    y, last = linear_attention(
        leaves["C"].flatten(0, 1),
        leaves["B"].flatten(0, 1),
        leaves["X"].flatten(0, 1),
        leaves["A"].flatten(0, 1),
        Ragged.equal(batch, length),
        initial,
    )
    torch.testing.assert_close(y.view(g["Y"].shape), g["Y"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(last.transpose(-1, -2), g["final_state"], rtol=1e-10, atol=1e-10)
    loss = (y.view(g["Y"].shape) * g["cot_Y"]).sum() + (last.transpose(-1, -2) * g["cot_state"]).sum()
    loss.backward()
    for key, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad, g[f"grad_{key}"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_linear_attention_is_its_recurrence(by_channel, reverse):
    lengths = [70, 0, 1, 33]
    topology = Ragged(torch.tensor([0, *lengths]).cumsum(0))
    q, k = torch.randn(2, sum(lengths), 2, 3, dtype=torch.float64)
    v = torch.randn(sum(lengths), 2, 4, dtype=torch.float64)
    # Gates up to e^-40 a token: factored exponents would overflow.
    g = -40 * torch.rand(sum(lengths), 2, 3, dtype=torch.float64) ** 4
    g = g if by_channel else g[..., 0]
    initial = torch.randn(4, 2, 3, 4, dtype=torch.float64)
    outputs, lasts = torch.zeros_like(v), []
    for segment, (a, b) in enumerate(zip(topology.bounds, topology.bounds[1:], strict=False)):
        S = initial[segment]
        for t in reversed(range(a, b)) if reverse else range(a, b):
            decay = g[t].exp()
            S = (decay[..., None] if by_channel else decay[:, None, None]) * S + k[t][..., None] * v[t][:, None]
            outputs[t] = torch.einsum("hk,hkv->hv", q[t], S)
        lasts.append(S)
    got, last = linear_attention(q, k, v, g, topology.reverse() if reverse else topology, initial)
    torch.testing.assert_close(got, outputs, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(last, torch.stack(lasts), rtol=1e-11, atol=1e-11)


def _remembered(layer, x):
    """What the memory of a layer gives, and its queries, keys and values, for one sequence."""
    seen = {}
    original = layer.remember

    def watch(x, q, k, v, topology, memory):
        seen["qkv"] = (q, k[:, :, 0], v[:, :, 0])
        seen["o"] = original(x, q, k, v, topology, memory)[0]
        return seen["o"], None

    layer.remember = watch
    layer(x, Ragged.equal(1, x.shape[0]))
    return seen["o"], *seen["qkv"]


def test_gla_is_its_equation():
    layer, x = GLA(8, heads=2).double(), torch.randn(40, 8, dtype=torch.float64)
    o, q, k, v = _remembered(layer, x)
    first, second = layer.decay_proj
    decay = torch.sigmoid(x @ first.weight.t() @ second.weight.t() + second.bias).pow(1 / 16).view(40, 2, 4)
    S = torch.zeros(2, 4, 4, dtype=torch.float64)
    for t in range(40):
        S = decay[t][..., None] * S + k[t][..., None] * v[t][:, None]
        torch.testing.assert_close(o[t], torch.einsum("hk,hkv->hv", q[t], S) / 2, rtol=1e-11, atol=1e-11)


def test_mlstm_is_its_equation_without_a_stabiliser():
    layer, x = MLSTM(8, heads=2).double(), torch.randn(90, 8, dtype=torch.float64)
    torch.nn.init.normal_(layer.input_gate.weight)
    torch.nn.init.normal_(layer.forget_gate.weight)
    o, q, k, v = _remembered(layer, x)
    f = torch.sigmoid(x @ layer.forget_gate.weight.t() + layer.forget_gate.bias)
    i = torch.exp(x @ layer.input_gate.weight.t() + layer.input_gate.bias)
    S, n = torch.zeros(2, 4, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64)
    for t in range(90):
        key = k[t] / 2
        S = f[t][:, None, None] * S + i[t][:, None, None] * key[..., None] * v[t][:, None]
        n = f[t][:, None] * n + i[t][:, None] * key
        read = torch.einsum("hk,hkv->hv", q[t], S) / (n * q[t]).sum(-1).abs().clamp(min=1)[:, None]
        torch.testing.assert_close(o[t], read, rtol=1e-10, atol=1e-10)


def test_mlstm_survives_input_gates_that_would_overflow():
    layer, x = MLSTM(8, heads=2), torch.randn(1, 90, 8)
    with torch.no_grad():
        layer.input_gate.weight.mul_(1000)
    y = layer(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mlstm_reads_zero_where_a_query_meets_nothing(dtype):
    """After an input gate of e^1000 the lower bound of its normaliser, 1 over that, is no number any more."""
    layer = MLSTM(8, heads=2).to(dtype)
    with torch.no_grad():
        layer.input_gate.weight.zero_()
        layer.input_gate.bias.fill_(1000.0)
    x = torch.zeros(1, 5, 8, dtype=dtype, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


def test_wrong_gates_are_named(unchecked):
    one = torch.ones(3, 1, 2)
    with pytest.raises(ValueError, match="log_decay must have shape"):
        linear_attention(one, one, one, torch.ones(3, 2), Ragged.equal(1, 3))
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        GLA(8, temperature=0)
