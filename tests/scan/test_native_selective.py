"""selective_scan on the C++ kernels, beyond what every backend is tested for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from graphseq.scan import Ragged, native, selective_scan, use_backend
from tests.scan.native import needs_kernels, threads, with_gradients
from tests.scan.strategies import topologies

pytestmark = needs_kernels


def problem(topology, channels, size, groups=1, full=True, dtype=torch.float64):
    """u, delta, A, B, C, D, z, delta_bias, initial."""

    def randn(*shape):
        return torch.randn(*shape, dtype=dtype)

    tokens, segments = topology.num_states, topology.num_segments
    optional = [randn(channels), randn(tokens, channels), randn(channels), randn(segments, channels, size)]
    return [
        randn(tokens, channels),
        randn(tokens, channels) if full else 0.5 * randn(tokens, channels).abs(),
        -randn(channels, size).abs(),
        randn(tokens, groups, size),
        randn(tokens, groups, size),
        *(optional if full else [None] * 4),
    ]


def on(backend, topology, inputs, full=True):
    def run(u, delta, A, B, C, D, z, delta_bias, initial):
        options = {"delta_bias": delta_bias, "delta_softplus": full, "initial": initial}
        with use_backend(backend):
            return selective_scan(u, delta, A, B, C, D, z, **options, topology=topology, return_last=True)

    return with_gradients(run, *inputs)


@st.composite
def problems(draw, dtype):
    """Channels around the vector widths, one state or several, segments of more than one checkpoint."""
    topology, full = draw(topologies()), draw(st.booleans())
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = groups * draw(st.integers(1, 40) | st.sampled_from([70, 129]))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    inputs = problem(topology, channels, draw(st.integers(1, 5)), groups, full, dtype)
    return topology, inputs, full


@given(problems(torch.float64))
@settings(max_examples=80, deadline=None)
def test_double_precision_equals_the_reference(case):
    for expected, found in zip(on("reference", *case), on("native", *case), strict=True):
        scale = max(1.0, expected.abs().max().item() if expected.numel() else 1.0)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11 * scale)


@given(problems(torch.float32))
@settings(max_examples=60, deadline=None)
def test_single_precision_is_within_rounding_of_the_exact_result(case):
    topology, inputs, full = case
    wide = [None if x is None else x.double() for x in inputs]
    for exact, found in zip(on("reference", topology, wide, full), on("native", *case), strict=True):
        # Sums of up to a few hundred terms; each carries the decay's rounding, 6e-8 times an exponent below some 20.
        scale = max(1.0, exact.abs().max().item() if exact.numel() else 1.0)
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5 * scale)


def test_thread_count_changes_no_bit():
    # One segment dominates, so that its channels are cut as well.
    topology = Ragged(torch.tensor([0, 3, 3, 500, 501, 533]))
    inputs = problem(topology, 130, 6, dtype=torch.float32)
    outcomes = []
    for count in (1, 2, 4):
        with threads(count):
            outcomes.append(on("native", topology, inputs))
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decay_is_accurate_over_the_whole_range(dtype):
    """Two steps from state 1: the first output is e^x itself, also where it underflows, overflows or is undefined."""
    largest = 87.0 if dtype == torch.float32 else 708.0
    x = torch.cat([torch.linspace(-largest, largest, 999), torch.tensor([0.0, -2000.0, 2000.0, -torch.inf, torch.nan])])
    x = x.to(dtype)
    one, zero = torch.ones(1, len(x), dtype=dtype), torch.zeros(1, len(x), dtype=dtype)
    unit = torch.ones(1, 1, 1, dtype=dtype)
    _, last = native.selective_scan(
        zero, one, x[:, None], unit, unit, None, None, None, False, Ragged(torch.tensor([0, 1])), one[..., None]
    )
    # The exponent is rounded twice, so the error grows with it; a unit in the last place each.
    eps = torch.finfo(dtype).eps
    tolerance = (2 * eps * (2 + x.abs().clamp(max=largest))).double()
    exact, found = x.double().exp(), last.flatten().double()
    finite = exact.isfinite() & (x.abs() <= largest)
    assert ((found - exact).abs() <= tolerance * exact)[finite].all()
    assert found[-5:-1].tolist() == [1.0, 0.0, torch.inf, 0.0]
    assert found[-1].isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softplus_and_its_derivative_keep_their_digits(dtype):
    """Far below zero softplus is e^x: small, but to full relative precision."""
    delta = torch.cat([torch.linspace(-60, 30, 999), torch.tensor([0.0, 20.0, torch.nan])]).to(dtype)[None]
    one, unit = torch.ones_like(delta), torch.ones(1, 1, 1, dtype=dtype)
    A = torch.zeros(delta.shape[1], 1, dtype=dtype)

    def step_size(delta):
        # u = B = C = 1 and no state before: the output is the step size.
        return native.selective_scan(
            one, delta, A, unit, unit, None, None, None, True, Ragged(torch.tensor([0, 1])), None
        )[0]

    delta.requires_grad_()
    found = step_size(delta)
    (slope,) = torch.autograd.grad(found.sum(), delta)
    wide = delta.detach().double().requires_grad_()
    exact = torch.nn.functional.softplus(wide)
    (exact_slope,) = torch.autograd.grad(exact.sum(), wide)
    # e^x from an exponent of up to 60, rounded twice.
    rtol = 150 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), exact, rtol=rtol, atol=0, equal_nan=True)
    torch.testing.assert_close(slope.double(), exact_slope, rtol=rtol, atol=0, equal_nan=True)


def test_memory_layout_changes_nothing():
    topology = Ragged(torch.tensor([0, 4, 9]))
    u, delta, A, B, C, D, z, bias, initial = problem(topology, 6, 4)
    expected = native.selective_scan(u, delta, A, B, C, D, z, bias, True, topology, initial)
    # As a Mamba layer has them: halves of one projection, and a transposed A.
    both, BC = torch.cat([u, z], 1), torch.cat([B, C], 2)
    found = native.selective_scan(
        both[:, :6], delta.T.contiguous().T, A.T.contiguous().T, BC[..., :4], BC[..., 4:], D, both[:, 6:], bias, True,
        topology, initial.transpose(1, 2).contiguous().transpose(1, 2),
    )  # fmt: skip
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_one_tensor_given_twice_gets_both_gradients_twice():
    """The second derivative recomputes; views keep the roles of an input apart."""
    topology = Ragged(torch.tensor([0, 2, 5]))
    u, delta, A, B, C, D, _, _, _ = problem(topology, 2, 2)

    def function(u):
        return native.selective_scan(u, delta, A, B, C, D, u, None, True, topology, None)[0]

    u.requires_grad_()
    assert torch.autograd.gradgradcheck(function, u)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operator_is_registered_correctly(full, requires_grad):
    topology = Ragged(torch.tensor([0, 3, 3, 40]))
    inputs = [x if x is None else x.requires_grad_(requires_grad) for x in problem(topology, 3, 2, full=full)]
    arguments = (*inputs, topology.ptr, False, full, requires_grad)
    torch.library.opcheck(torch.ops.graphseq.selective_scan.default, arguments)


def test_fake_tensors_give_shapes_without_touching_memory():
    topology = Ragged(torch.tensor([0, 7, 9]))
    with FakeTensorMode(allow_non_fake_inputs=True):
        inputs = [torch.empty(shape) for shape in ((9, 4), (9, 4), (4, 3), (9, 1, 3), (9, 1, 3))]
        out, last = native.selective_scan(*inputs, None, None, None, False, topology, None)
    assert out.shape == (9, 4)
    assert last.shape == (2, 4, 3)


@pytest.mark.slow
def test_compiles_without_a_graph_break():
    topology = Ragged(torch.tensor([0, 3, 3, 40]))
    inputs = problem(topology, 3, 2, dtype=torch.float32)

    def function(*inputs):
        *others, initial = inputs
        out, last = native.selective_scan(*others, True, topology, initial)
        return out.sin(), last

    compiled = torch.compile(function, fullgraph=True)
    for a, b in zip(with_gradients(compiled, *inputs), with_gradients(function, *inputs), strict=True):
        torch.testing.assert_close(a, b)
