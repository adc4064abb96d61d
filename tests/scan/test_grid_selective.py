"""grid_selective_scan: its definition, parity of backends, and what it must not leak."""

import pytest
import torch

from graphseq.scan import (
    Grid,
    Ragged,
    available_backends,
    grid_selective_scan,
    linear_scan,
    selective_scan,
    use_backend,
)
from tests.scan.native import with_gradients

OPERATION = "grid_selective_scan"
FAST = [name for name in available_backends(OPERATION) if name != "reference"]


def problem(grid, channels, size, groups=1, complex=False, full=True, dtype=torch.float64):
    """u, delta, A, B, C, D, exchange; steps and exchange are positive."""
    cells, wide = (grid.batch, grid.height, grid.width), dtype.to_complex() if complex else dtype
    A = -torch.rand(2, channels, size, dtype=dtype) - 0.1
    optional = [torch.randn(channels, dtype=dtype), torch.rand(2, *cells, channels, dtype=dtype)]
    return [
        torch.randn(*cells, channels, dtype=dtype),
        torch.rand(2, *cells, channels, dtype=dtype),
        torch.complex(A, 3 * torch.randn_like(A)) if complex else A,
        torch.randn(2, *cells, groups, size, dtype=wide),
        torch.randn(2, *cells, groups, size, dtype=wide),
        *(optional if full else [None, None]),
    ]


def scan(grid, u, delta, A, B, C, D, exchange):
    return grid_selective_scan(u, delta, A, B, C, D, exchange=exchange, topology=grid)


def outcome(backend, grid, inputs):
    with use_backend(backend):
        return with_gradients(lambda *inputs: scan(grid, *inputs), *inputs)


def written_out(grid, u, delta, A, B, C, D, exchange):
    """The same on linear_scan, with its links spelled out."""
    e0, e1 = torch.exp(delta[..., None] * A[:, None, None, None])
    x0, x1 = exchange[..., None]
    links = torch.stack([torch.stack([e0 * (1 - x0), e1 * x1]), torch.stack([e0 * x0, e1 * (1 - x1)])])
    per_channel = u.shape[-1] // B.shape[-2]
    source = (delta * u)[..., None] * B.repeat_interleave(per_channel, -2)
    states = linear_scan(links, source.to(links.dtype), grid)
    y = (states * C.repeat_interleave(per_channel, -2)).sum((0, -1))
    return (y.real if y.is_complex() else y) + D * u


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("reversed", [False, True])
def test_it_is_the_grid_scan_read_out(backend, complex, reversed):
    grid = Grid(3, 4, 2, reversed=reversed)
    inputs = problem(grid, 4, 3, 2, complex)
    expected = with_gradients(lambda *inputs: written_out(grid, *inputs), *inputs)
    found = with_gradients(lambda *inputs: scan(grid, *inputs), *inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 9, 2), (9, 1, 2), (3, 4, 2), (8, 8, 1), (9, 17, 1), (17, 9, 1)])
@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_fast_backends_equal_the_reference(backend, size, complex, full):
    grid = Grid(*size, reversed=full)
    inputs = problem(grid, 6, 3, 2, complex, full)
    for expected, found in zip(outcome("reference", grid, inputs), outcome(backend, grid, inputs), strict=True):
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * scale)


def test_without_exchange_rows_and_columns_are_sequences(backend):
    grid = Grid(3, 5, 2)
    u, delta, A, B, C, D, _ = problem(grid, 4, 3)
    found = scan(grid, u, delta, A, B, C, D, None)
    along = [x.flatten(0, 2) for x in (u, delta[0], B[0], C[0])]
    down = [x.transpose(1, 2).flatten(0, 2) for x in (u, delta[1], B[1], C[1])]
    rows = selective_scan(along[0], along[1], A[0], along[2], along[3], D, topology=Ragged.equal(6, 5))
    columns = selective_scan(down[0], down[1], A[1], down[2], down[3], topology=Ragged.equal(10, 3))
    expected = rows.view(u.shape) + columns.view(2, 5, 3, 4).transpose(1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("complex", [False, True])
def test_derivatives_of_both_orders(backend, complex):
    grid = Grid(2, 3, reversed=complex)
    inputs = [x.requires_grad_() for x in problem(grid, 2, 2, 1, complex)]

    def function(*inputs):
        return scan(grid, *inputs)

    # Along random directions: all second derivatives one by one would take half a minute.
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("reversed", [False, True])
def test_decays_of_the_first_cell_reach_nothing(backend, bad, reversed):
    """Nothing arrives there, so its exchange is not read, nor is a decay that overflows."""
    grid = Grid(2, 3, reversed=reversed)
    u, delta, A, B, C, D, exchange = problem(grid, 3, 2)
    first = (slice(None), 0, -1, -1) if reversed else (slice(None), 0, 0, 0)
    # With u = 0 the step feeds nothing in, so that a large one tells about the decay alone.
    u[first[1:]] = 0
    delta[first] = 1.0
    clean = with_gradients(lambda *inputs: scan(grid, *inputs), u, delta, -A, B, C, D, exchange)
    delta[first], exchange[first] = 1e6, bad
    found = with_gradients(lambda *inputs: scan(grid, *inputs), u, delta, -A, B, C, D, exchange)
    grad_delta, others = found[2], [*found[:1], *found[2:]]
    assert torch.isfinite(grad_delta).all()
    for a, b in zip(others, [*clean[:1], *clean[2:]], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_nothing_to_scan_gives_nothing(backend, size):
    grid = Grid(*size)
    found = with_gradients(lambda *inputs: scan(grid, *inputs), *problem(grid, 2, 2))
    assert found[0].shape == (size[2], size[0], size[1], 2)
    assert all(not grad.any() for grad in found[1:])


@pytest.mark.parametrize("states", [0, 2])
@pytest.mark.parametrize("channels", [0, 3])
def test_without_states_the_skip_is_left(backend, states, channels):
    grid = Grid(2, 3)
    inputs = problem(grid, channels, states)
    found = with_gradients(lambda *inputs: scan(grid, *inputs), *inputs)
    if not states:
        torch.testing.assert_close(found[0], inputs[5] * inputs[0])
    assert [grad.shape for grad in found[1:]] == [x.shape for x in inputs]


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_a_single_precision_state(backend, half):
    grid = Grid(3, 4)
    inputs = [x.to(half) for x in problem(grid, 3, 2, dtype=torch.float32)]
    found = scan(grid, *inputs)
    assert found.dtype == half
    torch.testing.assert_close(found, scan(grid, *(x.float() for x in inputs)).to(half), rtol=0, atol=0)


def test_real_projections_serve_complex_rates():
    grid = Grid(2, 3)
    u, delta, A, B, C, D, exchange = problem(grid, 3, 2, complex=True)
    B = B.real.clone().requires_grad_()
    found = scan(grid, u, delta, A, B, C, D, exchange)
    torch.testing.assert_close(found, scan(grid, u, delta, A, torch.complex(B, 0 * B), C, D, exchange))
    (grad,) = torch.autograd.grad(found.sum(), B)
    assert grad.dtype == torch.float64


GRID = Grid(2, 3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"topology": Ragged(torch.tensor([0, 6]))}, TypeError, "topology must be a Grid, got Ragged"),
        ({"u": torch.zeros(6, 3)}, ValueError, r"u must have shape \[batch, height, width, d\], got \[6, 3\]"),
        ({"u": torch.zeros(1, 3, 2, 3)}, ValueError, r"u must have shape \[1, 2, 3, 3\], got \[1, 3, 2, 3\]"),
        ({"delta": torch.zeros(1, 2, 3, 3)}, ValueError, r"delta must have shape \[2, 1, 2, 3, 3\]"),
        ({"exchange": torch.zeros(2, 1, 2, 3, 1)}, ValueError, r"exchange must have shape \[2, 1, 2, 3, 3\]"),
        ({"A": torch.zeros(3, 2)}, ValueError, r"A must have shape \[2, d, n\] with d = 3, got \[3, 2\]"),
        ({"D": torch.zeros(2)}, ValueError, r"D must have shape \[3\], got \[2\]"),
        ({"B": torch.zeros(2, 1, 2, 3, 2, 2)}, ValueError, "groups a divisor of d = 3, got"),
        ({"B": torch.zeros(1, 2, 3, 2)}, ValueError, r"B must have shape \[2, 1, 2, 3\] and"),
        ({"C": torch.zeros(2, 1, 2, 3, 3, 2)}, ValueError, r"C must have the shape of B \[2, 1, 2, 3, 1, 2\]"),
        ({"u": torch.zeros(1, 2, 3, 3, dtype=torch.cfloat)}, TypeError, "u must have a floating dtype"),
        ({"delta": torch.zeros(2, 1, 2, 3, 3).double()}, TypeError, "delta must have the dtype of u"),
        ({"A": torch.zeros(2, 3, 2).cdouble()}, TypeError, "B must have the dtype of A"),
        ({"B": torch.zeros(2, 1, 2, 3, 2).cfloat()}, TypeError, "B must have the dtype of A"),
    ],
)
def test_wrong_input_is_named(unchecked, change, error, message):
    u, delta, A, B, C, D, exchange = problem(GRID, 3, 2, dtype=torch.float32)
    given = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "exchange": exchange, "topology": GRID}
    with pytest.raises(error, match=message):
        grid_selective_scan(**(given | change))
