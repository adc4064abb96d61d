"""grid_scan on the C++ kernels, beyond what every backend is tested for."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from graphseq.scan import Grid, linear_scan, native, use_backend
from tests.scan.native import needs_kernels, threads, with_gradients

pytestmark = needs_kernels


def on(backend, grid, *inputs):
    def run(decay, source):
        with use_backend(backend):
            return linear_scan(decay, source, grid)

    return with_gradients(run, *inputs)


def problem(grid, decay_channels, channels, dtype=torch.float64):
    cells = (grid.batch, grid.height, grid.width)
    return 0.4 * torch.randn(2, 2, *cells, *decay_channels, dtype=dtype), torch.randn(2, *cells, *channels, dtype=dtype)


@pytest.mark.parametrize("channels", [1, 7, 64, 70, 131])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_every_block_width_equals_the_reference(channels, shared, reversed, dtype):
    grid = Grid(3, 4, 2, reversed=reversed)
    inputs = problem(grid, (1 if shared else channels,), (channels,), dtype)
    reference, found = (on(backend, grid, *inputs) for backend in ("reference", "native"))
    for a, b in zip(reference, found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("decay_channels", [(3, 1), (1, 1), (1, 5), (3, 5)])
@pytest.mark.parametrize("size", [(9, 2, 1), (1, 1, 3), (1, 6, 2), (6, 1, 2), (8, 7, 3)])
def test_every_sharing_and_shape_equals_the_torch_backend(decay_channels, size):
    grid = Grid(*size)
    inputs = problem(grid, decay_channels, (3, 5))
    for a, b in zip(on("torch", grid, *inputs), on("native", grid, *inputs), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_single_precision_is_within_rounding_of_the_exact_result(dtype):
    grid = Grid(8, 9)
    decay, source = problem(grid, (5,), (5,), dtype)
    wide = [x.to(torch.promote_types(dtype, torch.float64)) for x in (decay, source)]
    for exact, b in zip(on("reference", grid, *wide), on("native", grid, decay, source), strict=True):
        # Some hundred products and sums of numbers up to the result's scale, each rounded to 6e-8 of it.
        torch.testing.assert_close(b.to(exact.dtype), exact, rtol=0, atol=1e-5 * max(1.0, exact.abs().max().item()))


@pytest.mark.parametrize("size", [(0, 3, 2), (3, 0, 2), (3, 2, 0)])
@pytest.mark.parametrize("channels", [3, 0])
def test_nothing_to_scan_gives_nothing(size, channels):
    grid = Grid(*size)
    states, grad_decay, grad_source = on("native", grid, *problem(grid, (1,), (channels,)))
    assert states.numel() == grad_decay.numel() == grad_source.numel() == 0


def test_without_channels_shared_decays_have_no_gradient():
    grid = Grid(3, 2)
    states, grad_decay, _ = on("native", grid, *problem(grid, (1,), (0,)))
    assert states.shape == (2, 1, 3, 2, 0)
    assert torch.equal(grad_decay, torch.zeros(2, 2, 1, 3, 2, 1, dtype=torch.float64))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("reversed", [False, True])
def test_the_border_reaches_no_derivative_of_either_order(bad, shared, reversed):
    grid = Grid(3, 4, 2, reversed=reversed)
    decay, source = problem(grid, (1 if shared else 20,), (20,))
    edge = -1 if reversed else 0
    border = torch.zeros_like(decay, dtype=torch.bool)
    border[0, :, :, :, edge] = border[1, :, :, edge] = True

    def derivatives(decay):
        leaves = decay.clone().requires_grad_(), source.clone().requires_grad_()
        states = native.grid_scan(*leaves, grid)
        first = torch.autograd.grad(states.square().sum(), leaves, retain_graph=True)
        again = torch.autograd.grad(states.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in again), leaves)
        return [states, *first, *again, *second]

    clean, found = derivatives(decay), derivatives(decay.masked_fill(border, bad))
    for a, b in zip(clean, found, strict=True):
        assert torch.equal(a, b)
    for of_decay in (found[1], found[3], found[5]):
        assert (of_decay[border] == 0).all()


def test_not_a_number_reaches_the_cells_behind_it_only():
    grid = Grid(3, 4)
    decay, source = problem(grid, (20,), (20,))
    source[1, 0, 1, 2, 7] = torch.nan
    bad = native.grid_scan(decay, source, grid).isnan()
    # State 1 goes down from its cell, and from there on both ways.
    expected = torch.zeros_like(bad)
    expected[1, 0, 1, 2, 7] = True
    expected[:, 0, 2, 2:, 7] = True
    expected[1, 0, 2, 3, 7] = True
    assert torch.equal(bad, expected)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("batch", [1, 5])
def test_thread_count_changes_no_bit(shared, batch):
    grid = Grid(12, 11, batch)
    inputs = problem(grid, (1 if shared else 150,), (150,), torch.float32)
    outcomes = []
    for count in (1, 2, 4):
        with threads(count):
            outcomes.append(on("native", grid, *inputs))
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


def in_order(tensor, axes):
    """The same values, with their axes laid out in memory in another order."""
    back = [axes.index(axis) for axis in range(len(axes))]
    return tensor.permute(axes).contiguous().permute(back)


def padded(tensor):
    return torch.cat([tensor, tensor], 4)[:, :, :, :, : tensor.shape[4]] if tensor.shape[4] > 1 else tensor


@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize(
    "layout",
    [
        lambda decay, source: (in_order(decay, [2, 3, 4, 0, 1, 5]), in_order(source, [1, 2, 3, 0, 4])),
        lambda decay, source: (in_order(decay, [1, 0, 4, 3, 5, 2]), in_order(source, [4, 3, 2, 1, 0])),
        lambda decay, source: (padded(decay), padded(source)),
        lambda decay, source: (decay[:, :, :1].expand_as(decay), source[:, :, :1].expand_as(source)),
    ],
    ids=["states inside cells", "channels outside cells", "slices", "expanded"],
)
def test_memory_layout_changes_nothing(layout, reversed):
    grid = Grid(3, 4, 2, reversed=reversed)
    decay, source = layout(*problem(grid, (6,), (6,)))

    def outcome(decay, source, weight):
        decay, source = decay.detach().requires_grad_(), source.detach().requires_grad_()
        states = native.grid_scan(decay, source, grid)
        return [states, *torch.autograd.grad(states, [decay, source], weight)]

    _, weight = layout(decay, torch.randn(source.shape, dtype=source.dtype))
    expected = outcome(*(x.clone(memory_format=torch.contiguous_format) for x in (decay, source, weight)))
    for a, b in zip(expected, outcome(decay, source, weight), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize("decay_channels", [3, 1])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operators_are_registered_correctly(reversed, decay_channels, requires_grad):
    decay, source = problem(Grid(2, 3, 2), (decay_channels,), (3,), torch.complex128)
    if requires_grad:
        inputs = decay.requires_grad_(), source.requires_grad_(), reversed
        torch.library.opcheck(torch.ops.graphseq.grid_scan.default, inputs)
    else:
        torch.library.opcheck(torch.ops.graphseq.grid_scan.default, (decay, source, reversed))
        inputs = source, decay, source, reversed
        torch.library.opcheck(torch.ops.graphseq.grid_scan_backward.default, inputs)


@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize("decay_channels", [2, 1])
@pytest.mark.parametrize("size", [(2, 3, 1), (3, 1, 2), (1, 1, 1)])
def test_both_directions_have_derivatives_of_both_orders(reversed, decay_channels, size):
    inputs = [x.requires_grad_() for x in problem(Grid(*size), (decay_channels,), (2,), torch.complex128)]

    def scan(decay, source):
        return torch.ops.graphseq.grid_scan(decay, source, reversed)

    assert torch.autograd.gradcheck(scan, inputs)
    assert torch.autograd.gradgradcheck(scan, inputs)


def test_fake_tensors_give_shapes_without_touching_memory():
    with FakeTensorMode():
        states = native.grid_scan(torch.empty(2, 2, 1, 2, 3, 1, 1), torch.empty(2, 1, 2, 3, 4, 5), Grid(2, 3))
    assert states.shape == (2, 1, 2, 3, 4, 5)
