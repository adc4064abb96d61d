"""grid_selective_scan on the C++ kernels, beyond what every backend is tested for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from graphseq.scan import Grid, native
from tests.scan.native import needs_kernels, threads, with_gradients
from tests.scan.test_grid_selective import outcome, problem

pytestmark = needs_kernels


@st.composite
def problems(draw, dtype):
    """Channels around the vector widths, one state or several, grids of up to three tiles a side."""
    sides = st.integers(1, 10) | st.sampled_from([15, 16, 17, 24])
    grid = Grid(draw(sides), draw(sides), draw(st.integers(1, 2)), reversed=draw(st.booleans()))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = groups * draw(st.integers(1, 20) | st.sampled_from([33, 70]))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    return grid, problem(
        grid, channels, draw(st.integers(1, 5)), groups, draw(st.booleans()), draw(st.booleans()), dtype
    )


@given(problems(torch.float64))
@settings(max_examples=40, deadline=None)
def test_double_precision_equals_the_torch_backend(case):
    for expected, found in zip(outcome("torch", *case), outcome("native", *case), strict=True):
        scale = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * scale)


@given(problems(torch.float32))
@settings(max_examples=30, deadline=None)
def test_single_precision_is_within_rounding_of_the_exact_result(case):
    grid, inputs = case
    wide = [x if x is None else x.to(torch.promote_types(x.dtype, torch.float64)) for x in inputs]
    for exact, found in zip(outcome("torch", grid, wide), outcome("native", *case), strict=True):
        # Sums of up to a few hundred terms; each carries the decay's rounding, 6e-8 times an exponent below 20.
        scale = max(1.0, exact.abs().max().item())
        torch.testing.assert_close(found.to(exact.dtype), exact, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("complex", [False, True])
def test_thread_count_changes_no_bit(batch, complex):
    # One grid: its channels are cut, and what they share is added up afterwards.
    grid = Grid(9, 20, batch)
    inputs = problem(grid, 130, 3, complex=complex, dtype=torch.float32)
    outcomes = []
    for count in (1, 2, 4):
        with threads(count):
            outcomes.append(outcome("native", grid, inputs))
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_complex_decay_is_accurate_at_every_angle(dtype):
    """In the second cell of a row, y is the real part of C e^x: with C = 1 and -i its real and imaginary part."""
    angle = torch.cat([torch.linspace(-50, 50, 1001), torch.tensor([0.0, 1e3, -1e3])]).to(dtype)
    growth = torch.linspace(-30, 5, len(angle), dtype=dtype)
    x = torch.complex(growth, angle)
    grid, channels = Grid(1, 2), len(x)
    u = torch.zeros(1, 1, 2, channels, dtype=dtype)
    u[:, :, 0] = 1
    one, unit = torch.ones(2, 1, 1, 2, channels, dtype=dtype), torch.ones(2, 1, 1, 2, 1, 1, dtype=x.dtype)
    unit[1] = 0
    A = torch.stack([x, x])[..., None]
    parts = [native.grid_selective_scan(u, one, A, unit, C, None, None, grid)[0, 0, 1] for C in (unit, -1j * unit)]
    found, exact = torch.complex(*parts).to(torch.complex128), x.to(torch.complex128).exp()
    # The exponent and the angle are rounded three times each, so the error grows with both.
    tolerance = 4 * torch.finfo(dtype).eps * (2 + growth.abs() + angle.abs()).double()
    assert ((found - exact).abs() <= tolerance * exact.abs()).all()


def in_order(tensor, axes):
    """The same values, with their axes laid out in memory in another order."""
    back = [axes.index(axis) for axis in range(len(axes))]
    return tensor.permute(axes).contiguous().permute(back)


@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize(
    "layout",
    [
        lambda x, cells: in_order(x, [1, 2, 3, 0, 4]) if cells else x,
        lambda x, cells: in_order(x, [4, 3, 0, 1, 2]) if cells else x.mT.contiguous().mT if x.dim() > 1 else x,
        lambda x, cells: torch.cat([x, x], -1)[..., : x.shape[-1]] if x.dim() < 6 else x,
        lambda x, cells: x[:1].expand_as(x) if cells else x,
    ],
    ids=["states inside cells", "channels outside cells", "slices", "expanded"],
)
def test_memory_layout_changes_nothing(layout, reversed):
    grid = Grid(9, 10, 2, reversed=reversed)
    inputs = problem(grid, 5, 3)
    laid = [layout(x, x.dim() == 5) for x in inputs]
    plain = [x.contiguous() for x in laid]
    found, expected = (
        with_gradients_in_place(lambda *x: native.grid_selective_scan(*x, grid), *given) for given in (laid, plain)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def with_gradients_in_place(function, *inputs):
    """As with_gradients, but without a copy, which would not keep the layout."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = function(*leaves)
    return [out.detach(), *torch.autograd.grad(out.sin().sum(), leaves)]


def test_not_a_number_reaches_the_cells_behind_it_only():
    grid = Grid(10, 11)
    u, delta, A, B, C, D, exchange = problem(grid, 20, 2)
    u[0, 7, 8, 3] = torch.nan
    bad = native.grid_selective_scan(u, delta, A, B, C, D, exchange, grid).isnan()
    expected = torch.zeros_like(bad)
    expected[0, 7:, 8:, 3] = True
    assert torch.equal(bad, expected)


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operator_is_registered_correctly(complex, full, requires_grad):
    grid = Grid(9, 10)
    inputs = [x if x is None else x.requires_grad_(requires_grad) for x in problem(grid, 3, 2, 1, complex, full)]
    arguments = (*inputs, False, requires_grad)
    torch.library.opcheck(torch.ops.graphseq.grid_selective_scan.default, arguments)


def test_fake_tensors_give_shapes_without_touching_memory():
    with FakeTensorMode():
        grid = Grid(7, 9, 2)
        inputs = [x if x is None else torch.empty(x.shape) for x in problem(grid, 4, 3, full=False)]
        out = native.grid_selective_scan(*inputs, grid)
    assert out.shape == (2, 7, 9, 4)


def test_what_is_kept_for_backward_is_far_below_the_states():
    grid = Grid(64, 64)
    inputs = problem(grid, 4, 8, full=False, dtype=torch.float32)
    _, upper, left = torch.ops.graphseq.grid_selective_scan(*inputs, False, True)
    states = 2 * 64 * 64 * 4 * 8
    assert upper.numel() + left.numel() <= states / 8


@pytest.mark.slow
def test_compiles_without_a_graph_break():
    grid = Grid(9, 10)
    inputs = problem(grid, 3, 2, dtype=torch.float32)

    def function(*inputs):
        return native.grid_selective_scan(*inputs, grid).sin()

    compiled = torch.compile(function, fullgraph=True)
    for a, b in zip(with_gradients(compiled, *inputs), with_gradients(function, *inputs), strict=True):
        torch.testing.assert_close(a, b)
