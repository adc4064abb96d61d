"""delta_scan: golden parity, parity of backends, and states that can be tracked exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import Ragged, available_backends, delta_scan, use_backend
from tests.scan.strategies import topologies

OPERATION = "delta_scan"
FAST = [name for name in available_backends(OPERATION) if name != "reference"]


@pytest.mark.parametrize("name", ["delta_rule_1", "gated_delta_rule_1", "deltaproduct_nh2", "deltaproduct_nh3_gated"])
def test_golden_delta_rule(backend, golden, name):
    g = golden(f"sequence/{name}")
    leaves = {key: g[key].clone().requires_grad_() for key in ("q", "k", "v", "beta", "g", "S0") if key in g}
    batch, heads, length = g["beta"].shape[:3]
    flat = {key: leaf.transpose(1, 2).flatten(0, 1) for key, leaf in leaves.items() if key != "S0"}
    o, last = delta_scan(
        flat["q"],
        flat["k"],
        flat["v"],
        flat["beta"],
        log_decay=flat.get("g"),
        topology=Ragged.equal(batch, length),
        initial=leaves["S0"],
        return_last=True,
    )
    o = o.view(batch, length, heads, -1).transpose(1, 2)
    torch.testing.assert_close(o, g["o"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(last, g["S_last"], rtol=1e-10, atol=1e-10)
    ((o * g["cot_o"]).sum() + (last * g["cot_S"]).sum()).backward()
    for key, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad, g[f"grad_{key}"], rtol=1e-10, atol=1e-10)


def _inputs(topology, heads, steps, key_size, value_size, full):
    tokens = topology.num_states

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64)

    inputs = {
        "q": draw(tokens, heads, key_size),
        "k": torch.nn.functional.normalize(draw(tokens, heads, steps, key_size), dim=-1),
        "v": draw(tokens, heads, steps, value_size),
        "beta": 2 * torch.rand(tokens, heads, steps, dtype=torch.float64),
    }
    if full:
        inputs["log_decay"] = -torch.rand(tokens, heads, dtype=torch.float64)
        inputs["initial"] = draw(topology.num_segments, heads, key_size, value_size)
    return {key: tensor.requires_grad_() for key, tensor in inputs.items()}


def _outcome(backend, topology, inputs):
    with use_backend(backend):
        o, last = delta_scan(**inputs, topology=topology, return_last=True)
        weight = torch.linspace(-1, 1, o.numel(), dtype=o.dtype).reshape(o.shape)
        value = (o * weight).sum() + last.square().sum() + 0 * sum(tensor.sum() for tensor in inputs.values())
        return [o, last, *torch.autograd.grad(value, list(inputs.values()))]


@pytest.mark.parametrize("backend", FAST)
@given(
    topology=topologies(),
    sizes=st.sampled_from([(1, 1, 1, 1), (2, 1, 4, 3), (1, 2, 3, 5), (2, 3, 5, 17), (1, 40, 2, 2)]),
    full=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_fast_backends_equal_the_reference(backend, topology, sizes, full):
    inputs = _inputs(topology, *sizes, full)
    expected = _outcome("reference", topology, inputs)
    for a, b in zip(expected, _outcome(backend, topology, inputs), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-9)


def test_a_strong_gate_overflows_nowhere(backend):
    """The exponents of pairs that do not meet are large and positive: they must not be taken."""
    topology = Ragged.equal(1, 40)
    inputs = _inputs(topology, 1, 1, 3, 3, True)
    inputs["log_decay"] = torch.full((40, 1), -60.0, dtype=torch.float64).requires_grad_()
    outcome = _outcome(backend, topology, inputs)
    for a, b in zip(_outcome("reference", topology, inputs), outcome, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gate_at_a_start_is_never_read(backend, bad):
    topology = Ragged(torch.tensor([0, 3, 40]))
    inputs = _inputs(topology, 1, 1, 2, 2, False)
    gate = torch.full((40, 1), -0.1, dtype=torch.float64)
    clean = delta_scan(**inputs, log_decay=gate, topology=topology)
    broken = gate.index_fill(0, torch.tensor([0, 3]), bad).requires_grad_()
    o = delta_scan(**inputs, log_decay=broken, topology=topology)
    torch.testing.assert_close(o, clean)
    o.square().sum().backward()
    assert broken.grad.isfinite().all()
    assert (broken.grad[[0, 3]] == 0).all()


def test_one_step_may_go_without_its_axis(backend):
    topology = Ragged.equal(1, 6)
    inputs = _inputs(topology, 2, 1, 3, 4, False)
    squeezed = {key: tensor if key == "q" else tensor.squeeze(2) for key, tensor in inputs.items()}
    torch.testing.assert_close(delta_scan(**squeezed, topology=topology), delta_scan(**inputs, topology=topology))


def test_two_reflections_count_modulo_three(backend):
    """With beta = 2 a step is a reflection; two of them turn by 120 degrees, exactly and for good."""
    tokens = 3000
    angle = torch.tensor(torch.pi / 3, dtype=torch.float64)
    mirrors = torch.stack([torch.tensor([1.0, 0.0]).double(), torch.stack([angle.cos(), angle.sin()])])
    turns = torch.randint(0, 3, (tokens,))
    # No turn: the same mirror twice. One turn: one mirror then the other. Two turns: in the other order.
    keys = torch.stack([mirrors[[0, 0]], mirrors[[0, 1]], mirrors[[1, 0]]])[turns][:, None]
    o = delta_scan(
        torch.tensor([1.0, 0.0]).double().expand(tokens, 1, 2),
        keys,
        torch.zeros(tokens, 1, 2, 1, dtype=torch.float64),
        torch.full((tokens, 1, 2), 2.0, dtype=torch.float64),
        topology=Ragged.equal(1, tokens),
        initial=torch.tensor([[[[1.0], [0.0]]]]).double(),
    )
    expected = (turns.double().cumsum(0) * 2 * torch.pi / 3).cos()
    torch.testing.assert_close(o[:, 0, 0], expected, rtol=0, atol=1e-9)


def test_derivatives_of_both_orders(backend):
    """The second ones in a random direction: all of them take a minute."""
    topology = Ragged(torch.tensor([0, 2, 2, 5]))
    inputs = _inputs(topology, 1, 2, 2, 2, True)
    names = list(inputs)

    def scan(*values):
        return delta_scan(**dict(zip(names, values, strict=True)), topology=topology, return_last=True)

    assert torch.autograd.gradcheck(scan, tuple(inputs.values()))
    assert torch.autograd.gradgradcheck(scan, tuple(inputs.values()), fast_mode=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": torch.ones(3, 1, 1, 5)}, "k must have shape [3, 1, 1, 2], got [3, 1, 1, 5]"),
        ({"beta": torch.ones(3, 1, 2)}, "beta must have shape [3, 1, 1], got [3, 1, 2]"),
        ({"v": torch.ones(3, 2, 1, 4)}, "v must have the axes [3, 1, 1] of k, then dv, got [3, 2, 1, 4]"),
        ({"log_decay": torch.ones(3, 2)}, "log_decay must have shape [3, 1], got [3, 2]"),
        ({"initial": torch.ones(2, 1, 2, 4)}, "initial must have shape [1, 1, 2, 4], got [2, 1, 2, 4]"),
        ({"q": torch.ones(4, 1, 2)}, "ptr must end at the number of rows of q: ptr ends at 3"),
    ],
)
def test_wrong_arguments_are_named(change, words, unchecked):
    sizes = {"q": (3, 1, 2), "k": (3, 1, 1, 2), "v": (3, 1, 1, 4), "beta": (3, 1, 1)}
    inputs = {name: torch.ones(size) for name, size in sizes.items()}
    with pytest.raises(ValueError) as caught:
        delta_scan(**{**inputs, **change}, topology=Ragged.equal(1, 3))
    assert words in str(caught.value)
