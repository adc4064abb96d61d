"""Axes of size zero: every scan returns what is left, and each input has a gradient."""

import pytest
import torch

from graphseq.scan import Dag, Grid, LogSumExp, Ragged, available_backends, line_graph, use_backend
from tests.scan.operations import GRID, LINES, RAGGED, conv, delta, gated, grid_selective, linear, matrix, selective

NO_TOKENS, NO_SEGMENTS = Ragged(torch.tensor([0, 0, 0])), Ragged(torch.tensor([0]))
NO_LINKS, NO_STATES = Dag(torch.empty(2, 0, dtype=torch.long), 3), Dag(torch.empty(2, 0, dtype=torch.long), 0)
NO_EDGES = line_graph(torch.empty(2, 0, dtype=torch.long), 3)
GRIDS = {"no rows": Grid(0, 3, 2), "no columns": Grid(2, 0, 2), "no grids": Grid(2, 3, 0), "nothing": Grid(0, 0, 0)}

CASES = {
    "conv, no channels": lambda: conv(RAGGED, channels=0),
    "selective, no channels": lambda: selective(RAGGED, channels=0, groups=1),
    "selective, no states": lambda: selective(RAGGED, size=0),
    "selective alone, no channels": lambda: selective(RAGGED, channels=0, groups=1, full=False),
    "selective alone, no states": lambda: selective(RAGGED.reverse(), size=0, full=False),
    "selective on a grid, no channels": lambda: grid_selective(GRID, channels=0, groups=1),
    "selective on a grid, no states": lambda: grid_selective(GRID, size=0),
    "delta, no heads": lambda: delta(RAGGED, heads=0),
    "delta, no keys": lambda: delta(RAGGED, key_size=0),
    "delta, no values": lambda: delta(RAGGED, value_size=0, initial=True),
    "linear on a graph, no links": lambda: linear(NO_LINKS),
    "linear on a graph, no states": lambda: linear(NO_STATES),
    "gated on a graph, no edges": lambda: gated(NO_EDGES),
    "matrix, no rows": lambda: matrix(RAGGED, rows=0),
    "matrix of logarithms, no rows": lambda: matrix(RAGGED, rows=0, semiring=LogSumExp()),
}
for name, topology in {
    "no tokens": NO_TOKENS,
    "no segments": NO_SEGMENTS,
    "none, backwards": NO_TOKENS.reverse(),
}.items():
    CASES |= {
        f"linear, {name}": lambda topology=topology: linear(topology),
        f"linear with initial, {name}": lambda topology=topology: linear(topology, initial=True),
        f"conv, {name}": lambda topology=topology: conv(topology),
        f"selective, {name}": lambda topology=topology: selective(topology),
        f"selective alone, {name}": lambda topology=topology: selective(topology, full=False),
        f"delta, {name}": lambda topology=topology: delta(topology),
        f"delta with initial, {name}": lambda topology=topology: delta(topology, initial=True),
        f"gated, {name}": lambda topology=topology: gated(topology),
        f"matrix, {name}": lambda topology=topology: matrix(topology),
    }
for name, grid in GRIDS.items():
    CASES |= {
        f"linear on a grid, {name}": lambda grid=grid: linear(grid),
        f"selective on a grid, {name}": lambda grid=grid: grid_selective(grid),
        f"selective on a grid without exchange, {name}": lambda grid=grid: grid_selective(grid, exchange=False),
        f"gated on a grid, {name}": lambda grid=grid: gated(grid),
    }
for name, topology in {"segments": RAGGED, "a grid": GRID, "a graph": LINES}.items():
    CASES |= {
        f"linear on {name}, no channels": lambda topology=topology: linear(topology, channels=(0,)),
        f"linear on {name}, no channels of heads": lambda topology=topology: linear(topology, channels=(2, 0)),
        f"gated on {name}, no heads": lambda topology=topology: gated(topology, heads=0),
        f"gated on {name}, no keys": lambda topology=topology: gated(topology, key_size=0),
        f"gated on {name}, no values": lambda topology=topology: gated(topology, value_size=0),
    }


def outcome(backend, operation):
    """The result and the gradient of every input."""
    leaves = [x.clone().requires_grad_() for x in operation.inputs.values()]
    with use_backend(backend):
        out = operation(*leaves)
        assert out.requires_grad, "the result is cut off from its inputs"
        # Every input counts: none may be unused.
        grads = torch.autograd.grad(out.square().sum() + out.sum(), leaves)
    return [out, *grads]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", available_backends())
def test_an_axis_of_size_zero_is_like_any_other(backend, name):
    torch.manual_seed(0)
    operation = CASES[name]()
    try:
        found = outcome(backend, operation)
    except NotImplementedError:
        pytest.skip(f"backend {backend} has no such operation")
    for tensor, grad in zip(operation.inputs.values(), found[1:], strict=True):
        assert grad.shape == tensor.shape
    # The loops that define the scan; sums of a few products.
    for a, b in zip(found, outcome("reference", operation), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
