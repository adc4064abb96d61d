"""The gated scan: every backend against the loops that define it, and the kernels beyond that."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from graphseq.scan import Grid, Ragged, gated_scan, line_graph, native, use_backend
from graphseq.scan.crossings import Crossings
from tests.plstm.gates import random_dag, random_inputs, random_lines
from tests.scan.native import needs_kernels, threads, with_gradients

# A node with four edges on each side, one with three and one, an edge twice, and a node alone.
_STAR = torch.tensor([[0, 1, 2, 3, 4, 4, 4, 4, 6, 7, 5, 0], [4, 4, 4, 4, 5, 6, 7, 8, 8, 8, 9, 4]])
TOPOLOGIES = {
    "grid": Grid(4, 5, 2),
    "grid, backwards": Grid(3, 2, 1, reversed=True),
    "one cell": Grid(1, 1, 2),
    "graph": random_lines(12, 40),
    "graph, backwards": random_lines(12, 40).reverse(),
    "star": line_graph(_STAR, 11),
    "star, backwards": line_graph(_STAR, 11).reverse(),
    "segments": Ragged(torch.tensor([0, 3, 3, 7])),
}


def in_four_ways(inputs):
    """Other gates in each direction."""
    several = {name: inputs[name] for name in ("source", "transition", "mark")}
    return {**inputs, **{name: torch.stack([x, 2 * x, x.flip(-1), 1 - x]) for name, x in several.items()}}


def on(backend, topology, inputs):
    with use_backend(backend):
        return with_gradients(lambda *given: gated_scan(*given, topology), *inputs.values())


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        # Sums of some hundred products of numbers near 1.
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize(("dk", "dv"), [(1, 9), (17, 4)])
def test_every_backend_equals_the_loops(backend, name, dk, dv):
    inputs = random_inputs(TOPOLOGIES[name], heads=2, dk=dk, dv=dv)
    assert_same(on(backend, TOPOLOGIES[name], inputs), on("reference", TOPOLOGIES[name], inputs))


@pytest.mark.parametrize("reversed", [False, True])
def test_every_backend_equals_the_loops_in_four_directions(backend, reversed):
    grid = Grid(3, 4, 2, reversed=reversed)
    inputs = in_four_ways(random_inputs(grid))
    assert_same(on(backend, grid, inputs), on("reference", grid, inputs))


@needs_kernels
def test_large_grids_are_repeated_a_few_rows_at_a_time():
    # Both states of eleven rows take a mebibyte.
    grid = Grid(26, 6)
    inputs = in_four_ways(random_inputs(grid, heads=1, dk=32, dv=32))
    inputs["key"] = inputs["key"] / 8
    assert_same(on("native", grid, inputs), on("torch", grid, inputs))


@needs_kernels
@pytest.mark.parametrize("name", ["grid", "star", "graph, backwards"])
def test_single_precision_is_within_rounding_of_the_exact_result(name):
    inputs = random_inputs(TOPOLOGIES[name])
    single = {key: value.float() for key, value in inputs.items()}
    for exact, b in zip(on("native", TOPOLOGIES[name], inputs), on("native", TOPOLOGIES[name], single), strict=True):
        # Some hundred products and sums of numbers up to the result's scale, each rounded to 6e-8 of it.
        torch.testing.assert_close(b.double(), exact, rtol=0, atol=1e-5 * max(1.0, exact.abs().max().item()))


@needs_kernels
@pytest.mark.parametrize("topology", [Grid(9, 8, 3), line_graph(random_dag(300, 400), 300)])
def test_thread_count_changes_no_bit(topology):
    inputs = {name: x.float() for name, x in random_inputs(topology, heads=3, dk=16, dv=16).items()}
    outcomes = []
    for count in (1, 2, 4):
        with threads(count):
            outcomes.append(on("native", topology, inputs))
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


@needs_kernels
@pytest.mark.parametrize("name", ["grid", "grid, backwards", "star"])
def test_memory_layout_changes_nothing(name):
    topology = TOPOLOGIES[name]
    inputs = random_inputs(topology)
    plain = {key: value.clone(memory_format=torch.contiguous_format) for key, value in inputs.items()}
    for gate in ("source", "transition"):
        inputs[gate] = torch.stack([inputs[gate], inputs[gate]], -1)[..., 0]
    for a, b in zip(on("native", topology, plain), on("native", topology, inputs), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("reversed", [False, True])
def test_gates_of_edges_that_come_from_or_lead_nowhere_are_not_read(backend, bad, reversed):
    if backend == "torch":
        pytest.skip("it applies marks to zeros")
    grid = Grid(3, 4, 2, reversed=reversed)
    inputs = random_inputs(grid)
    first, last = (-1, 0) if reversed else (0, -1)
    spoilt = {name: x.clone() for name, x in inputs.items()}
    for state, axis in ((0, 2), (1, 1)):
        spoilt["mark"][state].select(axis, first).fill_(bad)
        spoilt["source"][state].select(axis, last).fill_(bad)
    clean, found = on(backend, grid, inputs), on(backend, grid, spoilt)
    for a, b in zip(clean, found, strict=True):
        assert torch.equal(a, b)


@needs_kernels
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operators_are_registered_correctly(requires_grad):
    grid, lines = Grid(2, 3, 2), TOPOLOGIES["star"]
    on_grid = list(random_inputs(grid, 1, 2, 2).values())
    on_grid[3:6] = [gate[None] for gate in on_grid[3:6]]
    on_graph = list(random_inputs(lines, 1, 2, 2).values())
    for name, given, rest in (
        ("gated_grid_scan", on_grid, (True,)),
        ("gated_dag_scan", on_graph, (*lines.crossings, False)),
    ):
        operator, backward = (getattr(torch.ops.graphseq, end).default for end in (name, f"{name}_backward"))
        if requires_grad:
            torch.library.opcheck(operator, (*(x.requires_grad_() for x in given), *rest))
        else:
            torch.library.opcheck(operator, (*given, *rest))
            torch.library.opcheck(backward, (torch.randn_like(given[2]), *given, *rest, False))


@needs_kernels
@pytest.mark.parametrize("topology", [Grid(2, 2), line_graph(_STAR[:, :6], 7)])
def test_derivatives_of_both_orders(topology):
    inputs = [x.requires_grad_() for x in random_inputs(topology, 1, 1, 2).values()]

    def scan(*given):
        return gated_scan(*given, topology)

    assert torch.autograd.gradcheck(scan, inputs)
    assert torch.autograd.gradgradcheck(scan, inputs)


@needs_kernels
def test_without_the_kernels_the_operators_are_the_same():
    # On other devices, and in the gradient of a gradient, the graph is put together again from its crossings.
    lines = random_lines(12, 40).reverse()
    inputs = list(random_inputs(lines).values())
    anywhere = native._gated._dag_in_pytorch(*inputs, *lines.crossings, True)
    torch.testing.assert_close(anywhere, gated_scan(*inputs, lines), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("edges", [_STAR, random_dag(12, 40), torch.empty(2, 0, dtype=torch.long)])
def test_crossings_hold_the_graph_that_they_were_made_of(edges):
    lines = line_graph(edges, 12)
    crossings = Crossings.of(edges, 12, lines.schedule)
    found, num_nodes = crossings.edges()
    assert num_nodes == 12
    assert torch.equal(found, edges)
    assert torch.equal(crossings.links(), lines.link_index)
    place = crossings.node.argsort()
    assert (place[edges[0]] < place[edges[1]]).all()
    # No edge leads from one part to another.
    part = torch.bucketize(place, crossings.part, right=True)
    assert (part[edges[0]] == part[edges[1]]).all()


def test_half_precision_keeps_a_wider_state(backend):
    grid = Grid(3, 4)
    half = {name: x.bfloat16() for name, x in random_inputs(grid).items()}
    with use_backend(backend):
        read = gated_scan(*half.values(), grid)
        wide = gated_scan(*(x.float() for x in half.values()), grid)
    assert read.dtype == torch.bfloat16
    assert torch.equal(read, wide.bfloat16())


def test_fake_tensors_give_shapes_without_touching_memory():
    grid = Grid(2, 3)
    inputs = {name: x.shape for name, x in random_inputs(grid).items()}
    with FakeTensorMode():
        read = gated_scan(*(torch.empty(shape) for shape in inputs.values()), grid)
    assert read.shape == inputs["value"]


def test_what_does_not_fit_is_named():
    grid = Grid(2, 3)
    inputs = random_inputs(grid)
    narrow = {**inputs, "transition": inputs["transition"][:, :, :, :, :2]}
    with pytest.raises(
        ValueError, match=r"transition must have shape \[2, 2, 1, 2, 3, 2\].*, got \[2, 2, 1, 2, 2, 2\]"
    ):
        gated_scan(**narrow, topology=grid)
    one_way = {**inputs, "transition": in_four_ways(inputs)["transition"]}
    with pytest.raises(ValueError, match=r"source must have shape \[4, 2, 1, 2, 3, 2\] \(4, 2, batch, height, width,"):
        gated_scan(**one_way, topology=grid)
    with pytest.raises(TypeError, match="key must have the dtype of query"):
        gated_scan(**{**inputs, "key": inputs["key"].float()}, topology=grid)
