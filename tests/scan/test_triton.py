"""The Triton kernels: parity with the reference, on a GPU or, at small sizes, in Triton's interpreter on the CPU."""

import pytest
import torch

from graphseq.scan import Ragged, _dispatch, linear_scan, selective_scan, triton, use_backend
from tests.scan.native import with_gradients

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

if not triton.AVAILABLE:
    pytest.skip("Triton is not installed", allow_module_level=True)
if not triton.accepts(torch.empty(1, device=DEVICE)):
    pytest.skip("no GPU, and TRITON_INTERPRET=1 was not set", allow_module_level=True)

# Empty segments at both ends and inside, of one state, of one tile exactly, of more than two tiles.
TILE = 4
RAGGED = [0, 0, 1, 1, 5, 8, 18, 18]
TOPOLOGIES = pytest.mark.parametrize(
    "topology",
    [
        Ragged(torch.tensor(RAGGED, device=DEVICE)),
        Ragged(torch.tensor(RAGGED, device=DEVICE), reversed=True),
        Ragged(torch.tensor([0, 0], device=DEVICE)),
        Ragged(torch.tensor([0], device=DEVICE)),
    ],
    ids=["ragged", "reversed", "no states", "no segments"],
)


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    """The interpreter takes time for each element of a tile."""
    for module in ("_linear", "_selective"):
        monkeypatch.setattr(f"graphseq.scan.triton.{module}._STEPS", TILE)


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, device=DEVICE)


def linear_on(backend, topology, *inputs):
    def run(decay, source, initial):
        with use_backend(backend):
            return linear_scan(decay, source, topology, initial=initial)

    return with_gradients(run, *inputs)


def selective_on(backend, topology, inputs, softplus=True):
    def run(u, delta, A, B, C, D, z, delta_bias, initial):
        options = {"delta_bias": delta_bias, "delta_softplus": softplus, "initial": initial}
        with use_backend(backend):
            return selective_scan(u, delta, A, B, C, D, z, **options, topology=topology, return_last=True)

    return with_gradients(run, *inputs)


def selective_problem(topology, channels, size, groups=1, full=True, dtype=torch.float64):
    tokens = topology.num_states
    optional = [(channels,), (tokens, channels), (channels,), (topology.num_segments, channels, size)]
    return [
        randn(tokens, channels, dtype=dtype),
        randn(tokens, channels, dtype=dtype) if full else 0.5 * randn(tokens, channels, dtype=dtype).abs(),
        -randn(channels, size, dtype=dtype).abs(),
        randn(tokens, groups, size, dtype=dtype),
        randn(tokens, groups, size, dtype=dtype),
        *(randn(*shape, dtype=dtype) if full else None for shape in optional),
    ]


def assert_equal(found, expected, rtol=1e-10, atol=1e-10):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


@TOPOLOGIES
@pytest.mark.parametrize("with_initial", [False, True])
@pytest.mark.parametrize(
    ("own", "channels"),
    [((3,), (3,)), ((1,), (3,)), ((), ()), ((3, 1), (3, 2)), ((1, 2), (3, 2)), ((3, 1, 2), (3, 2, 2))],
    ids=str,
)
def test_linear_scan_equals_the_reference(topology, with_initial, own, channels):
    decay, source = 0.7 * randn(topology.num_states, *own), randn(topology.num_states, *channels)
    initial = randn(topology.num_segments, *channels) if with_initial else None
    problem = (topology, decay, source, initial)
    assert_equal(linear_on("triton", *problem), linear_on("reference", *problem))


@TOPOLOGIES
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("channels", "size", "groups"), [(3, 4, 1), (6, 3, 2), (1, 1, 1)])
def test_selective_scan_equals_the_reference(topology, full, channels, size, groups):
    inputs = selective_problem(topology, channels, size, groups, full)
    assert_equal(selective_on("triton", topology, inputs, full), selective_on("reference", topology, inputs, full))


def test_more_channels_than_a_block_has():
    topology = Ragged(torch.tensor([0, 2, 5], device=DEVICE))
    problem = (topology, randn(5, 70), randn(5, 70), randn(2, 70))
    assert_equal(linear_on("triton", *problem), linear_on("reference", *problem))
    # Blocks of 4 channels, which 7 channels of a group do not fill.
    inputs = selective_problem(topology, 14, 100, groups=2)
    assert_equal(selective_on("triton", topology, inputs), selective_on("reference", topology, inputs))


def test_more_segments_than_programs_of_backward(monkeypatch):
    monkeypatch.setattr("graphseq.scan.triton._selective._MOST_PROGRAMS", 2)
    topology = Ragged(torch.tensor([0, 3, 4, 4, 7, 9], device=DEVICE))
    inputs = selective_problem(topology, 3, 2)
    assert_equal(selective_on("triton", topology, inputs), selective_on("reference", topology, inputs))


def test_single_precision_is_within_rounding_of_the_exact_result():
    topology = Ragged(torch.tensor(RAGGED, device=DEVICE))
    linear = [0.5 * randn(18, 3), randn(18, 3), randn(7, 3)]
    selective = selective_problem(topology, 3, 4)
    found = linear_on("triton", topology, *(x.float() for x in linear))
    found += selective_on("triton", topology, [x.float() for x in selective])
    exact = linear_on("reference", topology, *linear) + selective_on("reference", topology, selective)
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == torch.float32
        # Sums of some tens of terms of the result's scale, each rounded to 6e-8 of it.
        torch.testing.assert_close(a.double(), b, rtol=0, atol=2e-5 * max(1.0, b.abs().max().item()))


@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_decay_at_a_start_is_not_read(reversed, value):
    topology = Ragged(torch.tensor(RAGGED, device=DEVICE), reversed=reversed)
    decay, source = randn(18, 3), randn(18, 3)
    expected = linear_on("triton", topology, decay.index_fill(0, topology.first, 0.0), source, None)
    found = linear_on("triton", topology, decay.index_fill(0, topology.first, value), source, None)
    assert_equal(found, expected, rtol=0, atol=0)


# NumPy's, with which the interpreter computes.
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_overflowing_decay_at_a_start_is_not_read():
    topology = Ragged(torch.tensor([0, 1, 5], device=DEVICE))
    u, delta, A, B, C, *_ = selective_problem(topology, 2, 3, full=False)
    A = A.index_fill(0, torch.tensor([1], device=DEVICE), 1.0)
    # e^1000 at the starts; nothing is written there, so every result is finite.
    delta, u = delta.index_fill(0, topology.first, 1000.0), u.index_fill(0, topology.first, 0.0)
    inputs = [u, delta, A, B, C, None, None, None, None]
    found = selective_on("triton", topology, inputs, softplus=False)
    assert all(tensor.isfinite().all() for tensor in found)
    assert_equal(found, selective_on("reference", topology, inputs, softplus=False))


def test_not_a_number_spreads_to_later_states_of_its_segment_only():
    topology = Ragged(torch.tensor([0, 5, 12], device=DEVICE))
    decay, source = randn(12, 3), randn(12, 3)
    source[2, 1] = torch.nan
    with use_backend("triton"):
        bad = linear_scan(decay, source, topology).isnan().nonzero().tolist()
    assert bad == [[2, 1], [3, 1], [4, 1]]


def test_softplus_and_its_derivative_keep_their_digits():
    """Far below zero softplus is e^x: small, but to full relative precision."""
    delta = torch.tensor([[-60.0, -40.0, -5.0, 0.0, 3.0, 20.0, 30.0]], dtype=torch.float64, device=DEVICE)
    one, unit = torch.ones_like(delta), torch.ones(1, 1, 1, dtype=torch.float64, device=DEVICE)
    topology = Ragged(torch.tensor([0, 1], device=DEVICE))
    # u = B = C = 1 and no state before: the output is the step size.
    A = torch.zeros(7, 1, dtype=torch.float64, device=DEVICE)
    leaf = delta.clone().requires_grad_()
    found = triton.selective_scan(one, leaf, A, unit, unit, None, None, None, True, topology, None)[0]
    (slope,) = torch.autograd.grad(found.sum(), leaf)
    torch.testing.assert_close(found.detach(), torch.nn.functional.softplus(delta), rtol=1e-13, atol=0)
    expected = torch.where(delta > 20, 1, delta.sigmoid())
    torch.testing.assert_close(slope, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize(("reversed", "with_initial"), [(False, False), (True, False), (True, True)])
def test_derivatives_of_linear_scan(reversed, with_initial):
    topology = Ragged(torch.tensor([0, 2, 2, 3], device=DEVICE), reversed=reversed)
    inputs = [randn(3, 1), randn(3, 2)] + ([randn(3, 2)] if with_initial else [])
    inputs = [x.requires_grad_() for x in inputs]

    def function(decay, source, initial=None):
        return triton.linear_scan(decay, source, topology, initial)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_derivatives_of_selective_scan():
    topology = Ragged(torch.tensor([0, 2, 2, 3], device=DEVICE))
    inputs = [x.requires_grad_() for x in selective_problem(topology, 2, 2)]

    def function(*inputs):
        return triton.selective_scan(*inputs[:8], True, topology, inputs[8])

    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("which", ["out", "last"])
def test_a_loss_of_one_output_alone(which):
    topology = Ragged(torch.tensor([0, 2, 2, 5], device=DEVICE))
    leaves = [x.requires_grad_() for x in selective_problem(topology, 2, 2)[:5]]

    def gradients(backend):
        with use_backend(backend):
            out, last = selective_scan(*leaves, topology=topology, return_last=True)
        loss = {"out": out, "last": last}[which].sin().sum()
        return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)

    assert_equal(gradients("triton"), gradients("reference"))


def test_memory_layout_changes_nothing():
    topology = Ragged(torch.tensor([0, 4, 9], device=DEVICE))
    decay, source, initial = randn(9, 3, 5), randn(9, 3, 5), randn(2, 3, 5)
    expected = triton.linear_scan(decay, source, topology, initial)

    def turned(tensor):
        return tensor.movedim(0, -1).contiguous().movedim(-1, 0)

    found = triton.linear_scan(turned(decay), turned(source), topology, turned(initial))
    assert_equal([found], [expected], rtol=0, atol=0)
    u, delta, A, B, C, D, z, bias, initial = selective_problem(topology, 6, 4)
    expected = triton.selective_scan(u, delta, A, B, C, D, z, bias, True, topology, initial)
    # As a Mamba layer has them: halves of one projection, and a transposed A.
    both, BC = torch.cat([u, z], 1), torch.cat([B, C], 2)
    found = triton.selective_scan(
        both[:, :6], delta.T.contiguous().T, A.T.contiguous().T, BC[..., :4], BC[..., 4:], D, both[:, 6:], bias, True,
        topology, turned(initial),
    )  # fmt: skip
    assert_equal(found, expected, rtol=0, atol=0)


def test_interpreter_is_never_chosen_unasked(monkeypatch):
    monkeypatch.setattr(_dispatch.native, "AVAILABLE", False)
    monkeypatch.setattr(_dispatch, "_tell_once", lambda: None)
    for name in ("linear_scan", "selective_scan"):
        assert _dispatch.operation(name, torch.empty(1)) is getattr(_dispatch.torch_backend, name)


def test_transforms_and_complex_numbers_are_left_to_other_backends():
    assert not triton.accepts(torch.empty(1, dtype=torch.complex64, device=DEVICE))
    answers = []
    torch.func.vmap(lambda x: answers.append(triton.accepts(x)) or x)(randn(2))
    assert answers == [False]
