"""linear_scan on the C++ kernels, beyond what every backend is tested for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from graphseq.scan import Ragged, linear_scan, native, use_backend
from tests.scan.native import needs_kernels, threads, with_gradients
from tests.scan.strategies import topologies

pytestmark = needs_kernels


def on(backend, topology, *inputs):
    def run(decay, source, initial):
        with use_backend(backend):
            return linear_scan(decay, source, topology, initial=initial)

    return with_gradients(run, *inputs)


@st.composite
def problems(draw, dtypes):
    """Channels around every block width of the kernels, decays shared along the last axes or along others."""
    topology, dtype = draw(topologies()), draw(st.sampled_from(dtypes))
    count = draw(st.integers(1, 70) | st.sampled_from([128, 130, 200]))
    heads = draw(st.sampled_from([h for h in (1, 2, 3, 5) if count % h == 0]))
    channels = (heads, count // heads)
    own = draw(st.sampled_from([channels, (heads, 1), (heads,), (1, 1), (1, count // heads)]))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    decay, source = (torch.randn(topology.num_states, *shape, dtype=dtype) for shape in (own, channels))
    initial = torch.randn(topology.num_segments, *channels, dtype=dtype) if draw(st.booleans()) else None
    return topology, 0.5 * decay, source, initial


@given(problems([torch.float64, torch.complex128]))
@settings(max_examples=120, deadline=None)
def test_double_precision_equals_the_reference(problem):
    for expected, found in zip(on("reference", *problem), on("native", *problem), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@given(problems([torch.float32, torch.complex64]))
@settings(max_examples=60, deadline=None)
def test_single_precision_is_within_rounding_of_the_exact_result(problem):
    topology, *inputs = problem
    wide = [None if x is None else x.to(torch.promote_types(x.dtype, torch.float64)) for x in inputs]
    for exact, found in zip(on("reference", topology, *wide), on("native", *problem), strict=True):
        # Some 200 products and sums of numbers up to the result's scale, each rounded to 6e-8 of it.
        scale = max(1.0, exact.abs().max().item() if exact.numel() else 1.0)
        torch.testing.assert_close(found.to(exact.dtype), exact, rtol=0, atol=2e-5 * scale)


def views(tensor):
    """The same numbers in other memory layouts."""
    yield tensor
    yield torch.cat([tensor, tensor], -1)[..., : tensor.shape[-1]]
    yield tensor.movedim(0, -1).contiguous().movedim(-1, 0)
    yield tensor.conj().resolve_conj().conj()
    yield torch.stack([tensor, tensor])[1:].squeeze(0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_memory_layout_changes_nothing(dtype):
    topology = Ragged(torch.tensor([0, 4, 9]))
    inputs = [torch.randn(9, 3, 5, dtype=dtype), torch.randn(9, 3, 5, dtype=dtype), torch.randn(2, 3, 5, dtype=dtype)]
    expected = native.linear_scan(inputs[0], inputs[1], topology, inputs[2])
    for index, tensor in enumerate(inputs):
        for view in views(tensor):
            decay, source, initial = [*inputs[:index], view, *inputs[index + 1 :]]
            torch.testing.assert_close(native.linear_scan(decay, source, topology, initial), expected, rtol=0, atol=0)


def test_a_decay_repeated_in_time_needs_no_copy():
    topology = Ragged(torch.tensor([0, 6]))
    row, source = torch.rand(1, 4), torch.randn(6, 4)
    expected = native.linear_scan(row.repeat(6, 1), source, topology, None)
    torch.testing.assert_close(native.linear_scan(row.expand(6, 4), source, topology, None), expected, rtol=0, atol=0)


@pytest.mark.parametrize("bounds", [[0, 3, 3, 200, 201, 333], [0, 333]])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_thread_count_changes_no_bit(bounds, shared, dtype):
    topology = Ragged(torch.tensor(bounds))
    source, initial = torch.randn(333, 90, dtype=dtype), torch.randn(len(bounds) - 1, 90, dtype=dtype)
    decay = torch.randn(333, 1 if shared else 90, dtype=dtype)
    outcomes = []
    for count in (1, 2, 4):
        with threads(count):
            outcomes.append(on("native", topology, 0.3 * decay, source, initial))
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


def test_not_a_number_spreads_to_later_states_of_its_segment_only():
    topology = Ragged(torch.tensor([0, 5, 9]))
    decay, source = torch.full((9, 20), 0.5), torch.ones(9, 20)
    source[2, 7] = torch.nan
    bad = native.linear_scan(decay, source, topology, None).isnan().nonzero().tolist()
    assert bad == [[2, 7], [3, 7], [4, 7]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("decay_channels", [3, 1])
@pytest.mark.parametrize("with_initial", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operators_are_registered_correctly(dtype, decay_channels, with_initial, requires_grad):
    def randn(*shape):
        return torch.randn(*shape, dtype=dtype, requires_grad=requires_grad)

    ptr = torch.tensor([0, 3, 3, 7])
    decay, source, initial = randn(7, decay_channels), randn(7, 3), randn(3, 3) if with_initial else None
    torch.library.opcheck(torch.ops.graphseq.linear_scan.default, (decay, source, initial, ptr, True))
    if not requires_grad:
        inputs = (source, decay, source, initial, ptr, False)
        torch.library.opcheck(torch.ops.graphseq.linear_scan_backward.default, inputs)


def test_operator_has_the_derivatives_of_the_direct_call():
    """What compiled code and other dispatch modes run."""
    ptr = torch.tensor([0, 3, 7])
    inputs = [torch.randn(7, 1), torch.randn(7, 4), torch.randn(2, 4)]
    by_operator = with_gradients(lambda a, b, i: torch.ops.graphseq.linear_scan(a, b, i, ptr, False), *inputs)
    directly = with_gradients(lambda a, b, i: native.linear_scan(a, b, Ragged(ptr), i), *inputs)
    for a, b in zip(by_operator, directly, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_fake_tensors_give_shapes_without_touching_memory():
    topology = Ragged(torch.tensor([0, 7]))
    with FakeTensorMode(allow_non_fake_inputs=True):
        states = native.linear_scan(torch.empty(7, 1), torch.empty(7, 3, 5), topology, None)
    assert states.shape == (7, 3, 5)


@pytest.mark.slow
def test_compiles_without_a_graph_break():
    topology = Ragged(torch.tensor([0, 3, 3, 7]))
    inputs = [torch.randn(7, 3), torch.randn(7, 3), torch.randn(3, 3)]

    def function(decay, source, initial):
        return native.linear_scan(decay.sigmoid(), source, topology, initial).sin()

    compiled = torch.compile(function, fullgraph=True)
    for a, b in zip(with_gradients(compiled, *inputs), with_gradients(function, *inputs), strict=True):
        torch.testing.assert_close(a, b)
