"""selective_scan: golden parity, parity of backends, and what it must not leak."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphseq.scan.torch_backend
from graphseq.scan import Ragged, available_backends, selective_scan, use_backend
from tests.scan.strategies import topologies

FAST = [name for name in available_backends() if name not in ("triton", "reference")]
GOLDEN = ["1_plain", "2_full", "3_constBC", "4_grouped", "5_long"]


def _golden_run(g, leaves):
    """The channel-first arrays of the reference, packed token by token."""
    batch, channels, length = g["u"].shape

    def tokens(tensor):
        return tensor.movedim(-1, 1).flatten(0, 1)

    def projection(tensor):
        # A constant projection belongs to a channel: every channel is a group of its own.
        return tensor.expand(batch * length, -1, -1) if tensor.shape == leaves["A"].shape else tokens(tensor)

    y, last = selective_scan(
        tokens(leaves["u"]),
        tokens(leaves["delta"]),
        leaves["A"],
        projection(leaves["B"]),
        projection(leaves["C"]),
        leaves.get("D"),
        tokens(leaves["z"]) if "z" in leaves else None,
        delta_bias=leaves.get("delta_bias"),
        delta_softplus=bool(g["delta_softplus"]),
        topology=Ragged.equal(batch, length),
        return_last=True,
    )
    return y.view(batch, length, channels).movedim(1, -1), last


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("with_last", [False, True])
def test_golden_selective_scan(backend, golden, name, with_last):
    g = golden(f"mamba/selective_scan_{name}")
    names = [key for key in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias") if key in g]
    leaves = {key: g[key].clone().requires_grad_() for key in names}
    out, last = _golden_run(g, leaves)
    torch.testing.assert_close(out, g["out"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(last, g["last_state"], rtol=1e-10, atol=1e-10)
    value = (out * g["cot_out"]).sum()
    if with_last:
        value = value + (last * g["cot_state"]).sum()
    value.backward()
    for key, leaf in leaves.items():
        expected = g[f"{'gradls' if with_last else 'grad'}_{key}"]
        torch.testing.assert_close(leaf.grad, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("direction", ["fwd", "rev"])
def test_golden_packed_scan(backend, golden, direction):
    g = golden("mamba/packed_scan_dev")
    names = ["u", "delta", "A", "B", "C", "D", "z", "delta_bias"]
    leaves = {key: g[key].clone().requires_grad_() for key in names}
    topology = Ragged(g["ptr"])
    out, last = selective_scan(
        *(leaves[key] for key in ("u", "delta", "A", "B", "C", "D", "z")),
        delta_bias=leaves["delta_bias"],
        delta_softplus=True,
        topology=topology.reverse() if direction == "rev" else topology,
        return_last=True,
    )
    torch.testing.assert_close(out, g[f"{direction}_out"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(last, g[f"{direction}_last_state"], rtol=1e-10, atol=1e-10)
    ((out * g[f"{direction}_cot_out"]).sum() + (last * g[f"{direction}_cot_state"]).sum()).backward()
    for key, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad, g[f"{direction}_grad_{key}"], rtol=1e-10, atol=1e-10)


def _inputs(topology, channels, size, groups, full, dtype=torch.float64):
    tokens = topology.num_states

    def draw(*shape):
        return torch.randn(*shape, dtype=dtype).requires_grad_()

    inputs = {
        "u": draw(tokens, channels),
        "delta": draw(tokens, channels),
        "A": (-torch.rand(channels, size, dtype=dtype) - 0.1).requires_grad_(),
        "B": draw(tokens, groups, size),
        "C": draw(tokens, groups, size),
    }
    if full:
        inputs |= {"D": draw(channels), "z": draw(tokens, channels), "delta_bias": draw(channels)}
        inputs["initial"] = draw(topology.num_segments, channels, size)
    return inputs


def _outcome(backend, topology, inputs):
    with use_backend(backend):
        y, last = selective_scan(**inputs, delta_softplus=True, topology=topology, return_last=True)
        weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
        value = (y * weight).sum() + last.square().sum() + 0 * sum(tensor.sum() for tensor in inputs.values())
        return [y, last, *torch.autograd.grad(value, list(inputs.values()))]


@pytest.mark.parametrize("backend", FAST)
@given(
    topology=topologies(),
    sizes=st.sampled_from([(1, 1, 1), (4, 3, 2), (6, 5, 6), (19, 2, 1)]),
    full=st.booleans(),
    block=st.sampled_from([7, 100, 1 << 20]),
)
@settings(max_examples=40, deadline=None)
def test_fast_backends_equal_the_reference(backend, topology, sizes, full, block):
    inputs = _inputs(topology, *sizes, full)
    whole = graphseq.scan.torch_backend._BLOCK_ELEMENTS
    graphseq.scan.torch_backend._BLOCK_ELEMENTS = block
    try:
        got = _outcome(backend, topology, inputs)
    finally:
        graphseq.scan.torch_backend._BLOCK_ELEMENTS = whole
    for a, b in zip(_outcome("reference", topology, inputs), got, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)


def test_derivatives_of_both_orders(backend):
    topology = Ragged(torch.tensor([0, 2, 2, 5]))
    inputs = _inputs(topology, 2, 2, 1, True)
    names = list(inputs)

    def scan(*values):
        return selective_scan(
            **dict(zip(names, values, strict=True)), delta_softplus=True, topology=topology, return_last=True
        )

    assert torch.autograd.gradcheck(scan, tuple(inputs.values()))
    assert torch.autograd.gradgradcheck(scan, tuple(inputs.values()))


def test_a_step_size_at_a_start_leaks_nothing_into_the_state(backend):
    """At a segment's start exp(delta A) has no state to act on, not even when it overflows."""
    topology = Ragged(torch.tensor([0, 3, 6]))
    inputs = _inputs(topology, 2, 2, 1, False, torch.float32)
    with torch.no_grad():
        inputs["A"].fill_(30.0)
        inputs["delta"].fill_(0.1)
        inputs["delta"][3] = 30.0
    y = selective_scan(**inputs, topology=topology)
    expected = inputs["delta"][3] * inputs["u"][3] * (inputs["B"][3] * inputs["C"][3]).sum()
    assert y.isfinite().all()
    torch.testing.assert_close(y[3], expected)


def test_a_sequence_in_two_halves_chains_through_its_state(backend):
    whole = Ragged.equal(1, 20)
    inputs = _inputs(whole, 4, 3, 2, False)
    y, last = selective_scan(**inputs, topology=whole, return_last=True)

    def part(rows, initial):
        cut = {k: v if k == "A" else v[rows] for k, v in inputs.items()}
        return selective_scan(**cut, topology=Ragged.equal(1, cut["u"].shape[0]), initial=initial, return_last=True)

    first, state = part(slice(0, 13), None)
    second, state = part(slice(13, 20), state)
    torch.testing.assert_close(torch.cat([first, second]), y, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-12)


def test_the_backward_pass_keeps_no_state_of_every_token():
    """What autograd saves is counted: far less than one [T, d, n] array."""
    topology = Ragged.equal(1, 5000)
    inputs = _inputs(topology, 32, 16, 1, False, torch.float32)
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with use_backend("torch"), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        selective_scan(**inputs, topology=topology)
    assert 0 < sum(kept.values()) < 5000 * 32 * 16 * 4 / 4


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"A": torch.ones(3, 2)}, ValueError, "A must have shape [d, n] with d = 4, got [3, 2]"),
        ({"B": torch.ones(5, 3)}, ValueError, "B must have shape [T, n] or [T, groups, n] with n = 2"),
        ({"B": torch.ones(5, 3, 2)}, ValueError, "groups a divisor of d = 4, got [5, 3, 2]"),
        ({"C": torch.ones(5, 2, 2)}, ValueError, "C must have the shape of B [5, 1, 2], got [5, 2, 2]"),
        ({"delta": torch.ones(5, 3)}, ValueError, "delta must have shape [5, 4], got [5, 3]"),
        ({"u": torch.ones(6, 4)}, ValueError, "ptr must end at the number of rows of u: ptr ends at 5"),
        ({"D": torch.ones(3)}, ValueError, "D must have shape [4], got [3]"),
        ({"z": torch.ones(5, 4).double()}, TypeError, "z must have the dtype of u (torch.float32), got torch.float64"),
        ({"initial": torch.ones(1, 4, 2)}, ValueError, "initial must have shape [2, 4, 2], got [1, 4, 2]"),
    ],
)
def test_wrong_arguments_are_named(change, error, words, unchecked):
    sizes = {"u": (5, 4), "delta": (5, 4), "A": (4, 2), "B": (5, 2), "C": (5, 2)}
    inputs = {name: torch.ones(size) for name, size in sizes.items()}
    with pytest.raises(error) as caught:
        selective_scan(**{**inputs, **change}, topology=Ragged(torch.tensor([0, 2, 5])))
    assert words in str(caught.value)
