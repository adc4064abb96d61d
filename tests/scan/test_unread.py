"""What nothing reads may hold anything: it changes no result and no gradient, on any backend."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import Grid, Ragged, available_backends, gated_scan, selective_scan, use_backend
from tests.scan.operations import OPERATIONS, conv, delta, gated, grid_selective, linear, matrix, selective

BACKENDS = available_backends()
# Triton's interpreter takes a thousand times as long as a kernel.
FAST = [name for name in BACKENDS if name != "triton"]
anything = st.sampled_from([torch.nan, torch.inf, -torch.inf, 1e38, -1e300])

MAKERS = {
    "linear": linear,
    "linear with initial": lambda topology: linear(topology, initial=True),
    "delta": delta,
    "delta, one step": lambda topology: delta(topology, steps=1),
    "gated": gated,
    "matrix": matrix,
}
GRID_MAKERS = {"linear": linear, "selective": grid_selective, "gated": gated}


@st.composite
def segments(draw):
    lengths = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5) | st.just([40, 0, 1]))
    topology = Ragged(torch.tensor([0, *lengths]).cumsum(0))
    return topology.reverse() if draw(st.booleans()) else topology


@st.composite
def grids(draw):
    height, width, batch = (draw(st.integers(1, 4)) for _ in range(3))
    return Grid(height, width, min(batch, 2), reversed=draw(st.booleans()))


def outcome(backend, operation, tensors):
    """The result and the gradients, each fixed by the same weights."""
    leaves = [x.clone().requires_grad_() for x in tensors]
    with use_backend(backend):
        out = operation(*leaves)
    weight = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    return [out.detach(), *torch.autograd.grad(out, leaves, weight, materialize_grads=True)]


def available(backend, name):
    """The backend, or the one that takes its place for an operation that it lacks."""
    return "torch" if name == "matrix" and backend == "native" else backend


def assert_unread(backend, operation, value):
    tensors = operation.inputs
    clean = [x.masked_fill(operation.unread.get(name, torch.tensor(False)), 0) for name, x in tensors.items()]
    spoilt = [x.masked_fill(operation.unread.get(name, torch.tensor(False)), value) for name, x in tensors.items()]
    expected, found = outcome(backend, operation, clean), outcome(backend, operation, spoilt)
    for a, b in zip(found, expected, strict=True):
        assert b.isfinite().all()
        # To the bit: nothing is read.
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=15, deadline=None)
@given(topology=segments(), value=anything, seed=st.integers(0, 99))
def test_no_scan_over_segments_reads_where_no_state_arrives(backend, name, topology, value, seed):
    torch.manual_seed(seed)
    assert_unread(available(backend, name), MAKERS[name](topology), value)


@pytest.mark.parametrize("name", GRID_MAKERS)
@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=15, deadline=None)
@given(grid=grids(), value=anything, seed=st.integers(0, 99))
def test_no_scan_on_a_grid_reads_beyond_its_border(backend, name, grid, value, seed):
    torch.manual_seed(seed)
    assert_unread(backend, GRID_MAKERS[name](grid), value)


@pytest.mark.skipif("triton" not in BACKENDS, reason="Triton is not here, or there is a GPU and no interpreter")
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e38])
def test_triton_reads_nothing_else(value):
    assert_unread("triton", linear(Ragged(torch.tensor([0, 3, 3, 40]))), value)


@pytest.mark.parametrize("name", ["linear", "conv", "selective", "delta", "gated", "matrix"])
@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nothing_crosses_from_one_segment_to_the_next(backend, name, reversed, value):
    """All that belongs to the middle one of three segments is spoilt: the others keep their results and gradients."""
    topology = Ragged(torch.tensor([0, 4, 7, 12]))
    topology = topology.reverse() if reversed else topology
    operation = {"conv": conv, "selective": selective, "linear": linear, **MAKERS}[name](topology)
    if name == "selective":
        # Last states come behind the output, one row a segment.
        operation.run = lambda topology=topology, **given: selective_scan(
            **given, delta_softplus=True, topology=topology
        )
    if name == "delta":
        whole = operation.run
        operation.run = lambda **given: whole(**given)[: 12 * 2 * 2].view(12, 2, 2)
    middle = {12: slice(4, 7), 3: slice(1, 2)}
    spoilt = [x.clone() for x in operation.inputs.values()]
    for x in spoilt:
        if len(x) in middle:
            x[middle[len(x)]] = value
    kept = torch.tensor([True] * 4 + [False] * 3 + [True] * 5)

    def outcome_of_others(tensors):
        leaves = [x.clone().requires_grad_() for x in tensors]
        with use_backend(available(backend, name)):
            out = operation(*leaves)[kept]
        weight = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
        grads = torch.autograd.grad(out, leaves, weight, materialize_grads=True)
        rows = [g[kept] if len(g) == 12 else g[[0, 2]] for g in grads if len(g) in middle]
        return [out.detach(), *rows]

    for a, b in zip(outcome_of_others(spoilt), outcome_of_others(operation.inputs.values()), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize("ptr", [[0, 4], [0, 1, 4], [0, 1, 2, 3, 4], [0, 2, 2, 4]])
def test_the_decay_at_a_start_may_overflow(backend, reversed, ptr):
    """Its exponential is infinite, and only the loops that define the scan have no need to guard it."""
    topology = Ragged(torch.tensor(ptr))
    topology = topology.reverse() if reversed else topology
    delta = torch.full((4, 1), 0.1).index_fill(0, topology.first, 1000.0)
    inputs = {
        "u": torch.ones(4, 1),
        "delta": delta,
        "A": torch.ones(1, 1),
        "B": torch.ones(4, 1),
        "C": torch.ones(4, 1),
    }

    def outcome_on(backend):
        leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
        with use_backend(backend):
            y = selective_scan(**leaves, topology=topology)
        return [y.detach(), *torch.autograd.grad(y.sum(), list(leaves.values()), materialize_grads=True)]

    for a, b in zip(outcome_on(backend), outcome_on("reference"), strict=True):
        assert b.isfinite().all()
        torch.testing.assert_close(a, b)


# Triton's interpreter computes with NumPy, which warns of lanes that are selected away.
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_no_token_after_the_first_reads_no_state_matrix(backend, value):
    """Segments of one token have no decay at all."""
    A = torch.full((2, 2), value, requires_grad=True)
    u, delta = torch.randn(3, 2), torch.rand(3, 2, requires_grad=True)
    with use_backend(backend):
        y = selective_scan(u, delta, A, torch.ones(3, 2), torch.ones(3, 2), topology=Ragged(torch.tensor([0, 1, 2, 3])))
    of_A, of_delta = torch.autograd.grad(y.sum(), [A, delta], materialize_grads=True)
    assert y.isfinite().all()
    assert of_delta.isfinite().all()
    assert torch.equal(of_A, torch.zeros(2, 2))


@pytest.mark.parametrize("backend", [name for name in FAST if name in available_backends("grid_selective_scan")])
@pytest.mark.parametrize("exchange", [False, True])
@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 4)])
def test_decays_at_the_border_of_a_grid_may_overflow(backend, exchange, reversed, shape):
    """Without exchange those of the first column, for the state along the row, and of the first row for the other."""
    grid = Grid(*shape, reversed=reversed)
    operation = grid_selective(grid, exchange=exchange)
    unread = grid.unread_decays(exchange).expand(operation.inputs["delta"].shape)
    # Finite exponents in the reference, infinite ones where no state is met.
    operation.inputs["delta"] = operation.inputs["delta"].masked_fill(unread, -1e4)
    tensors = list(operation.inputs.values())
    for a, b in zip(outcome(backend, operation, tensors), outcome("reference", operation, tensors), strict=True):
        assert b.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", FAST)
def test_a_gate_that_forgets_everything_is_finite(backend):
    """exp(-inf) is zero: the state starts anew."""
    operation = delta(Ragged(torch.tensor([0, 5, 9])), initial=True)
    operation.inputs["log_decay"][[2, 6, 7]] = -torch.inf
    tensors = list(operation.inputs.values())
    for a, b in zip(outcome(backend, operation, tensors), outcome("reference", operation, tensors), strict=True):
        assert b.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_grid_that_no_state_enters_reads_itself_only():
    grid = Grid(1, 1)
    operation = gated(grid)
    spoilt = {
        **operation.inputs,
        **{name: torch.full_like(operation.inputs[name], torch.nan) for name in operation.unread},
    }
    found = gated_scan(**spoilt, topology=grid)
    own = (operation.inputs["query"] * operation.inputs["key"]).sum(-1) * operation.inputs["direct"]
    torch.testing.assert_close(found, own[..., None] * operation.inputs["value"], rtol=1e-12, atol=1e-12)


def test_every_scan_of_the_catalogue_takes_part():
    """Masks name inputs that are there, in their shape."""
    for make in OPERATIONS.values():
        operation = make()
        for name, mask in operation.unread.items():
            assert mask.shape == operation.inputs[name].shape
