"""Scans on grids with two states a cell."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import Grid, Ragged, available_backends, linear_scan, use_backend

OPERATION = "grid_scan"
FAST = [name for name in available_backends(OPERATION) if name != "reference"]


def _inputs(grid, decay_channels, channels, dtype=torch.float64):
    cells = (grid.batch, grid.height, grid.width)
    decay = (torch.randn(2, 2, *cells, *decay_channels, dtype=dtype) / 2).requires_grad_()
    return decay, torch.randn(2, *cells, *channels, dtype=dtype).requires_grad_()


def _outcome(backend, grid, decay, source):
    with use_backend(backend):
        states = linear_scan(decay, source, grid)
        weight = torch.linspace(-1, 1, states.numel(), dtype=torch.float64).reshape(states.shape)
        value = (states * weight).sum().real + 0 * decay.sum().real
        return [states, *torch.autograd.grad(value, [decay, source])]


@pytest.mark.parametrize("backend", FAST)
@given(
    size=st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 3)),
    channels=st.sampled_from([((3,), (3,)), ((1,), (9,)), ((), ()), ((2,), (2, 3))]),
    dtype=st.sampled_from([torch.float64, torch.complex128]),
    reverse=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_fast_backends_equal_the_reference(backend, size, channels, dtype, reverse):
    grid = Grid(*size, reversed=reverse)
    decay, source = _inputs(grid, *channels, dtype)
    for a, b in zip(_outcome("reference", grid, decay, source), _outcome(backend, grid, decay, source), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["grid_scan_1", "grid_scan_2_heads"])
def test_golden_grid_scan(backend, golden, name):
    g = golden(f"chimera/{name}")
    batch, height, width = g["source"].shape[1:4]
    decay, source = g["decay"].clone().requires_grad_(), g["source"].clone().requires_grad_()
    states = linear_scan(decay, source, Grid(height, width, batch))
    (states * g["weight"]).sum().backward()
    torch.testing.assert_close(states, g["states"], rtol=0, atol=1e-12)
    torch.testing.assert_close(decay.grad, g["grad_decay"], rtol=0, atol=1e-12)
    torch.testing.assert_close(source.grad, g["grad_source"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("key", ["row", "col", "unc", "cell", "rev", "rag0", "rag1"])
def test_golden_special_grids(backend, golden, key):
    g = golden("chimera/grid_special")
    batch, height, width = g[f"{key}_source"].shape[1:4]
    states = linear_scan(g[f"{key}_decay"], g[f"{key}_source"], Grid(height, width, batch), reverse=key == "rev")
    torch.testing.assert_close(states, g[f"{key}_states"], rtol=0, atol=1e-12)


def test_golden_batch_of_unequal_grids_by_padding(backend, golden):
    """A grid padded below with zero source is unchanged above."""
    g = golden("chimera/grid_special")
    tall = torch.zeros_like(g["rag1_source"])
    decay = torch.ones_like(g["rag1_decay"])
    tall[:, :, :3], decay[:, :, :, :3] = g["rag0_source"], g["rag0_decay"]
    states = linear_scan(decay, tall, Grid(5, 4, tall.shape[1]))
    torch.testing.assert_close(states[:, :, :3], g["rag0_states"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_grid_is_the_dag_that_it_says(backend, reverse):
    grid = Grid(3, 4, 2, reversed=reverse)
    decay, source = _inputs(grid, (2,), (2,))
    links = decay.flatten(0, 4)[grid.link_decays]
    states = linear_scan(links, source.reshape(-1, 2), grid.to_dag())
    torch.testing.assert_close(linear_scan(decay, source, grid).reshape(-1, 2), states, rtol=1e-12, atol=1e-12)


def test_a_grid_of_one_row_is_a_sequence(backend):
    grid = Grid(1, 9, 2)
    decay, source = _inputs(grid, (2,), (2,))
    states = linear_scan(decay, source, grid)
    sequence = linear_scan(decay[0, 0, :, 0].flatten(0, 1), source[0, :, 0].flatten(0, 1), Ragged.equal(2, 9))
    torch.testing.assert_close(states[0, :, 0].flatten(0, 1), sequence, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("reverse", [False, True])
def test_decays_at_the_border_are_never_read(backend, bad, reverse):
    grid = Grid(3, 4, reversed=reverse)
    decay, source = _inputs(grid, (2,), (2,))
    clean = linear_scan(decay, source, grid)
    edge = -1 if reverse else 0
    broken = decay.detach().clone()
    broken[0, :, :, :, edge] = bad
    broken[1, :, :, edge] = bad
    broken.requires_grad_()
    states = linear_scan(broken, source, grid)
    torch.testing.assert_close(states, clean)
    states.square().sum().backward()
    assert broken.grad.isfinite().all()
    assert (broken.grad[0, :, :, :, edge] == 0).all()
    assert (broken.grad[1, :, :, edge] == 0).all()


def test_cells_behind_never_change_cells_before(backend):
    grid = Grid(4, 5)
    decay, source = _inputs(grid, (1,), (3,))
    changed = source.detach().clone()
    changed[:, :, 2, 3] += 1
    same = linear_scan(decay, source, grid) == linear_scan(decay, changed, grid)
    expected = torch.ones(4, 5, dtype=torch.bool)
    expected[2:, 3:] = False
    assert torch.equal(same.all(-1).all(0)[0], expected)


@pytest.mark.parametrize("decay_channels", [(2,), (1,)])
def test_derivatives_of_both_orders(backend, decay_channels):
    grid = Grid(2, 3)
    inputs = _inputs(grid, decay_channels, (2,))
    assert torch.autograd.gradcheck(lambda d, s: linear_scan(d, s, grid), inputs)
    assert torch.autograd.gradgradcheck(lambda d, s: linear_scan(d, s, grid), inputs)


def test_reversed_twice_is_the_original():
    grid = Grid(2, 3)
    assert grid.reverse().reverse() is grid


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": torch.ones(2, 1, 3, 2, 1)}, "source must have shape [2, 1, 2, 3] and channels"),
        ({"decay": torch.ones(2, 1, 2, 3, 1)}, "decay must have shape [2, 2, 1, 2, 3] and channels"),
        ({"decay": torch.ones(2, 2, 1, 2, 3, 2)}, "decay must have the channel axes of source [1]"),
        ({"initial": torch.ones(1, 1)}, "initial must be None on a Grid"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    inputs = {"decay": torch.ones(2, 2, 1, 2, 3, 1), "source": torch.ones(2, 1, 2, 3, 1), "topology": Grid(2, 3)}
    with pytest.raises(ValueError) as caught:
        linear_scan(**{**inputs, **change})
    assert words in str(caught.value)


def test_a_negative_size_is_named():
    with pytest.raises(ValueError, match="width must not be negative, got -1"):
        Grid(2, -1)
