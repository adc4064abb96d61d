"""causal_conv: parity of backends, PyTorch's convolution, gradients of both orders, and what it must not leak."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import Ragged, available_backends, causal_conv, use_backend
from tests.scan.native import needs_kernels, threads, with_gradients
from tests.scan.strategies import topologies

OPERATION = "causal_conv"
FAST = [name for name in available_backends() if name not in ("triton", "reference")]


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


@st.composite
def problems(draw, dtype=torch.float64):
    """Channels around the vector widths, kernels shorter and longer than segments, segments longer than a piece."""
    topology, width = draw(topologies()), draw(st.integers(1, 5) | st.just(70))
    channels = draw(st.integers(1, 40) | st.sampled_from([129, 257]))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    x, weight = randn(topology.num_states, channels, dtype=dtype), randn(channels, width, dtype=dtype)
    bias = randn(channels, dtype=dtype) if draw(st.booleans()) else None
    return topology, draw(st.booleans()), [x, weight, bias]


def on(backend, topology, silu, inputs):
    def run(x, weight, bias):
        with use_backend(backend):
            return causal_conv(x, weight, bias, topology, silu=silu)

    return with_gradients(run, *inputs)


@pytest.mark.parametrize("fast", FAST)
@given(case=problems())
@settings(max_examples=40, deadline=None)
def test_double_precision_equals_the_reference(fast, case):
    for expected, found in zip(on("reference", *case), on(fast, *case), strict=True):
        scale = max(1.0, expected.abs().max().item() if expected.numel() else 1.0)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * scale)


@needs_kernels
@given(case=problems(torch.float32))
@settings(max_examples=30, deadline=None)
def test_single_precision_is_within_rounding_of_the_exact_result(case):
    topology, silu, inputs = case
    wide = [None if x is None else x.double() for x in inputs]
    for exact, found in zip(on("torch", topology, silu, wide), on("native", *case), strict=True):
        # Sums of up to 180 terms.
        scale = max(1.0, exact.abs().max().item() if exact.numel() else 1.0)
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=5e-6 * scale)


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_both_orders(backend, silu, reverse):
    topology = Ragged(torch.tensor([0, 2, 2, 7]))
    topology = topology.reverse() if reverse else topology

    def run(x, weight, bias):
        return causal_conv(x, weight, bias, topology, silu=silu)

    inputs = [randn(*shape).requires_grad_() for shape in ((7, 2), (2, 3), (2,))]
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@needs_kernels
def test_thread_count_changes_no_bit():
    topology = Ragged(torch.tensor([0, 3, 3, 1500, 1501, 1533]))
    inputs = [randn(*shape, dtype=torch.float32) for shape in ((1533, 130), (130, 4), (130,))]
    outcomes = []
    for count in (1, 2, 4):
        with threads(count):
            outcomes.append(on("native", topology, True, inputs))
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


@needs_kernels
def test_memory_layout_changes_nothing():
    """As a Mamba layer has it: one half of a projection."""
    topology, x = Ragged(torch.tensor([0, 4, 9])), randn(9, 12)
    weight, bias = randn(6, 4), randn(6)
    for a, b in zip(
        on("native", topology, True, [x[:, 6:], weight.t().contiguous().t(), bias]),
        on("native", topology, True, [x[:, 6:].contiguous(), weight, bias]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_nothing_crosses_a_bound_or_comes_from_the_future(backend):
    topology, x = Ragged(torch.tensor([0, 3, 9])), randn(9, 4)
    weight = randn(4, 3)
    expected = causal_conv(x, weight, None, topology)
    x[:3] = x[6:] = float("nan")
    found = causal_conv(x, weight, None, topology)
    torch.testing.assert_close(found[3:6], expected[3:6], rtol=0, atol=0)
    assert found[6:].isnan().all()


@needs_kernels
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operator_is_registered_correctly(bias, requires_grad):
    topology = Ragged(torch.tensor([0, 3, 3, 80]))
    x, weight, offset = (randn(*shape).requires_grad_(requires_grad) for shape in ((80, 3), (3, 4), (3,)))
    arguments = (x, weight, offset if bias else None, topology.ptr, False, True)
    torch.library.opcheck(torch.ops.graphseq.causal_conv.default, arguments)


def test_half_precision_is_summed_in_float32(backend):
    topology = Ragged.equal(1, 50)
    x, weight = torch.rand(50, 3, dtype=torch.bfloat16), torch.rand(3, 40)
    found = causal_conv(x, weight, None, topology)
    assert found.dtype is torch.bfloat16
    exact = causal_conv(x.double(), weight.double(), None, topology)
    # One rounding to eight bits at the end.
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(4), torch.ones(2, 3), None), r"x must have shape \[T, d\], got \[4\]"),
        ((torch.ones(4, 2), torch.ones(3, 3), None), r"weight must have shape \[d, width\] with d = 2, got \[3, 3\]"),
        ((torch.ones(4, 2), torch.ones(2, 0), None), r"weight must have shape \[d, width\] with d = 2, got \[2, 0\]"),
        ((torch.ones(4, 2), torch.ones(2, 3), torch.ones(3)), r"bias must have shape \[2\], got \[3\]"),
        ((torch.ones(5, 2), torch.ones(2, 3), None), "ptr must end at the number of rows of x"),
    ],
)
def test_wrong_sizes_are_named(arguments, message, unchecked):
    with pytest.raises(ValueError, match=message):
        causal_conv(*arguments, Ragged(torch.tensor([0, 1, 4])))
