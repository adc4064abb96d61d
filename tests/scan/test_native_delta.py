"""delta_scan on the C++ kernels, beyond what every backend is tested for."""

import ctypes

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from graphseq.scan import Ragged, delta_scan, native, use_backend
from graphseq.scan.native import _library
from tests.scan.native import needs_kernels, threads, with_gradients
from tests.scan.strategies import topologies

pytestmark = needs_kernels


def problem(topology, heads, steps, key_size, value_size, gated=True, fed=True, dtype=torch.float64):
    """q, k, v, beta, log_decay, initial."""
    tokens = topology.num_states
    inputs = [
        torch.randn(tokens, heads, key_size, dtype=dtype),
        torch.nn.functional.normalize(torch.randn(tokens, heads, steps, key_size, dtype=dtype), dim=-1),
        torch.randn(tokens, heads, steps, value_size, dtype=dtype),
        2 * torch.rand(tokens, heads, steps, dtype=dtype),
    ]
    gate = -torch.rand(tokens, heads, dtype=dtype) if gated else None
    return [
        *inputs,
        gate,
        torch.randn(topology.num_segments, heads, key_size, value_size, dtype=dtype) if fed else None,
    ]


def on(backend, topology, inputs):
    def run(q, k, v, beta, log_decay, initial):
        with use_backend(backend):
            return delta_scan(q, k, v, beta, log_decay=log_decay, topology=topology, initial=initial, return_last=True)

    return with_gradients(run, *inputs)


@st.composite
def problems(draw, dtype):
    """Columns around the vector and block widths, one step or several, segments of more than one checkpoint."""
    topology = draw(topologies())
    steps, heads, key_size = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 19))
    value_size = draw(st.integers(1, 40) | st.sampled_from([64, 70, 129]))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    sizes = (heads, steps, key_size, value_size)
    return topology, problem(topology, *sizes, draw(st.booleans()), draw(st.booleans()), dtype)


@given(problems(torch.float64))
@settings(max_examples=50, deadline=None)
def test_double_precision_equals_the_reference(case):
    for expected, found in zip(on("reference", *case), on("native", *case), strict=True):
        scale = max(1.0, expected.abs().max().item() if expected.numel() else 1.0)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11 * scale)


@given(problems(torch.float32))
@settings(max_examples=40, deadline=None)
def test_single_precision_is_within_rounding_of_the_exact_result(case):
    topology, inputs = case
    wide = [None if x is None else x.double() for x in inputs]
    for exact, found in zip(on("torch", topology, wide), on("native", *case), strict=True):
        # Steps neither grow nor shrink the state, so that the rounding of up to some 300 of them adds up.
        scale = max(1.0, exact.abs().max().item() if exact.numel() else 1.0)
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("segments", [[0, 3, 3, 100, 101, 133], [0, 300]])
def test_thread_count_changes_no_bit(segments):
    topology = Ragged(torch.tensor(segments))
    inputs = problem(topology, 3, 2, 24, 70, dtype=torch.float32)
    outcomes = []
    for count in (1, 2, 4):
        with threads(count):
            outcomes.append(on("native", topology, inputs))
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("reversed", [False, True])
def test_gate_at_a_start_is_not_read(bad, reversed):
    topology = Ragged(torch.tensor([0, 3, 3, 40]), reversed=reversed)
    q, k, v, beta, gate, _ = problem(topology, 2, 2, 5, 9, fed=False)
    expected = on("native", topology, [q, k, v, beta, gate, None])
    broken = gate.index_fill(0, topology.first, bad)
    found = on("native", topology, [q, k, v, beta, broken, None])
    grad = found[-1]
    assert (grad[topology.first] == 0).all()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reflections_track_parity_exactly(dtype):
    """With beta = 2 and a unit vector as key, a one flips the sign of the state and a zero leaves it, for good."""
    tokens = 20_000
    bits = torch.randint(0, 2, (tokens,))
    k = torch.zeros(tokens, 1, 1, 2, dtype=dtype)
    k[range(tokens), 0, 0, 1 - bits] = 1  # a one reflects the axis that holds the state, a zero the other one
    q = torch.tensor([1.0, 0.0], dtype=dtype).expand(tokens, 1, 2)
    beta, v = torch.full((tokens, 1, 1), 2.0, dtype=dtype), torch.zeros(tokens, 1, 1, 1, dtype=dtype)
    initial = torch.tensor([1.0, 0.0], dtype=dtype).view(1, 1, 2, 1)
    o, last = native.delta_scan(q, k, v, beta, None, Ragged.equal(1, tokens), initial)
    parity = 1 - 2 * (bits.cumsum(0) % 2)
    assert torch.equal(o.flatten(), parity.to(dtype))
    assert last.flatten().tolist() == [parity[-1], 0]


def test_zero_beta_has_a_gradient():
    """The residual is kept, not recovered by a division."""
    topology = Ragged(torch.tensor([0, 20]))
    inputs = problem(topology, 1, 2, 3, 4)
    inputs[3][::2] = 0
    for a, b in zip(on("native", topology, inputs), on("reference", topology, inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_memory_layout_changes_nothing():
    topology = Ragged(torch.tensor([0, 4, 40]))
    q, k, v, beta, gate, initial = problem(topology, 2, 2, 6, 6)
    inputs = [q, k, v, beta, gate, initial]
    expected = on("native", topology, inputs)
    # As a layer has them: parts of one projection; and a transposed copy.
    both = torch.cat([k.flatten(1), v.flatten(1), beta.flatten(1), gate], 1)
    parts = both.split([24, 24, 4, 2], 1)
    keys, values, rates = parts[0].view(40, 2, 2, 6), parts[1].view(40, 2, 2, 6), parts[2].view(40, 2, 2)
    assert not keys.is_contiguous()
    leaves = [q.transpose(0, 2).contiguous().transpose(0, 2), keys, values, rates, parts[3]]
    found = native.delta_scan(*leaves, topology, initial.mT.contiguous().mT)
    for a, b in zip(found, expected[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    strided = [x.detach().requires_grad_() for x in leaves]
    o, last = native.delta_scan(*strided, topology, initial)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in (o, last)]
    grads = torch.autograd.grad((o * weights[0]).sum() + (last * weights[1]).sum(), strided)
    for a, b in zip(grads, expected[2:], strict=False):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("segments", [[0], [0, 0, 0]])
def test_no_token_leaves_the_initial_state(segments):
    topology = Ragged(torch.tensor(segments))
    inputs = problem(topology, 2, 1, 3, 4)
    o, last, *grads = on("native", topology, inputs)
    assert o.shape == (0, 2, 4)
    assert torch.equal(last, inputs[5])
    assert grads[5].shape == inputs[5].shape
    assert (grads[5] != 0).all()


@pytest.mark.parametrize("gated", [False, True])
def test_derivatives_of_both_orders(gated):
    """Longer than a chunk, and through the last states alone as well; second derivatives in a random direction."""
    topology = Ragged(torch.tensor([0, 18, 18, 20]))
    inputs = [None if x is None else x.requires_grad_() for x in problem(topology, 1, 1, 2, 2, gated, gated)]

    def last(*inputs):
        return native.delta_scan(*inputs[:5], topology, inputs[5])[1]

    assert torch.autograd.gradcheck(lambda *x: native.delta_scan(*x[:5], topology, x[5]), inputs)
    assert torch.autograd.gradcheck(last, inputs)
    assert torch.autograd.gradgradcheck(last, inputs, fast_mode=True)


def test_one_tensor_given_twice_gets_both_gradients_twice():
    topology = Ragged(torch.tensor([0, 2, 5]))
    _, k, _, beta, _, _ = problem(topology, 1, 1, 2, 2)
    k.requires_grad_()
    function = lambda k: native.delta_scan(k[:, :, 0], k, k, beta, None, topology, None)[0]  # noqa: E731
    assert torch.autograd.gradcheck(function, k)
    assert torch.autograd.gradgradcheck(function, k)


def test_checkpoints_lie_as_far_apart_as_the_kernels_take_them():
    library = ctypes.CDLL(str(_library.find()))
    assert library.graphseq_delta_checkpoint_tokens() == _library.DELTA_CHECKPOINT_TOKENS


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operator_is_registered_correctly(full, requires_grad):
    topology = Ragged(torch.tensor([0, 3, 3, 40]))
    inputs = [x if x is None else x.requires_grad_(requires_grad) for x in problem(topology, 2, 2, 3, 2, full, full)]
    arguments = (*inputs, topology.ptr, False, requires_grad)
    torch.library.opcheck(torch.ops.graphseq.delta_scan.default, arguments)


def test_fake_tensors_give_shapes_without_touching_memory():
    topology = Ragged(torch.tensor([0, 7, 9]))
    with FakeTensorMode(allow_non_fake_inputs=True):
        inputs = [torch.empty(shape) for shape in ((9, 2, 3), (9, 2, 1, 3), (9, 2, 1, 4), (9, 2, 1))]
        o, last = native.delta_scan(*inputs, None, topology, None)
    assert o.shape == (9, 2, 4)
    assert last.shape == (2, 2, 3, 4)


@pytest.mark.slow
def test_compiles_without_a_graph_break():
    topology = Ragged(torch.tensor([0, 3, 3, 40]))
    inputs = problem(topology, 2, 1, 3, 4, dtype=torch.float32)

    def function(*inputs):
        *others, initial = inputs
        o, last = native.delta_scan(*others, topology, initial)
        return o.sin(), last

    compiled = torch.compile(function, fullgraph=True)
    for a, b in zip(with_gradients(compiled, *inputs), with_gradients(function, *inputs), strict=True):
        torch.testing.assert_close(a, b)
