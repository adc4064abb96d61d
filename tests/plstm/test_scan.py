"""The scan on one topology against the same scan on another, and its two forms against one another."""

from itertools import pairwise

import networkx as nx
import pytest
import torch

from graphseq.plstm import plstm_scan, plstm_scan_four_ways
from graphseq.plstm.mask import GridColumns, PackedColumns, is_cheaper
from graphseq.scan import Dag, Grid, Ragged, line_graph
from tests.plstm.gates import random_dag, random_inputs, random_lines

TOPOLOGIES = {
    "sequences": Ragged(torch.tensor([0, 4, 4, 5, 12])),
    "sequences, backwards": Ragged(torch.tensor([0, 4, 4, 5, 12]), reversed=True),
    "grids": Grid(3, 5, 2),
    "grids, backwards": Grid(3, 5, 2, reversed=True),
    "graph": random_lines(),
    "graph, backwards": random_lines().reverse(),
    "graph without edges": line_graph(torch.empty(2, 0, dtype=torch.long), 3),
    "no sequence": Ragged(torch.tensor([0])),
    "no cell": Grid(0, 3),
    "no node": line_graph(torch.empty(2, 0, dtype=torch.long), 0),
}


def _close(actual, expected):
    # Sums of some hundred products, in another order.
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def _gradients(inputs, run):
    leaves = {name: value.detach().clone().requires_grad_() for name, value in inputs.items()}
    y = run(**leaves)
    generator = torch.Generator().manual_seed(1)
    loss = (y * torch.randn(y.shape, dtype=y.dtype, generator=generator)).sum()
    return [y, *torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_both_forms_give_the_same_numbers_and_gradients(backend, name):
    topology = TOPOLOGIES[name]
    inputs = random_inputs(topology)
    recurrent, attention = (
        _gradients(inputs, lambda form=form, **given: plstm_scan(**given, topology=topology, form=form))
        for form in ("recurrent", "attention")
    )
    for one, other in zip(recurrent, attention, strict=True):
        _close(one, other)


@pytest.mark.parametrize("height", [1, 4])
def test_both_forms_agree_in_four_directions(backend, height):
    topology = Grid(height, 3, 2)
    inputs = random_inputs(topology)
    for name in ("source", "transition", "mark"):
        inputs[name] = torch.stack([inputs[name], 2 * inputs[name], inputs[name].flip(-1), 1 - inputs[name]])
    recurrent, attention = (
        _gradients(inputs, lambda form=form, **given: plstm_scan_four_ways(**given, topology=topology, form=form))
        for form in ("recurrent", "attention")
    )
    for one, other in zip(recurrent, attention, strict=True):
        _close(one, other)


def test_the_direction_from_the_last_cell_is_the_reversed_grid():
    topology = Grid(3, 4, 2)
    inputs = random_inputs(topology)
    expected = plstm_scan(**inputs, topology=topology.reverse())
    for name in ("source", "transition", "mark"):
        zero = torch.zeros_like(inputs[name])
        inputs[name] = torch.stack([zero, zero, zero, inputs[name]])
    _close(plstm_scan_four_ways(**inputs, topology=topology), expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_sequence_is_a_grid_of_one_row_and_a_path(backend, reverse):
    length = 7
    sequence = Ragged(torch.tensor([0, length]))
    inputs = random_inputs(sequence)
    grid = {name: value.view(1, 1, *value.shape) for name, value in inputs.items()}
    # Only what moves along the row meets another cell; what the other edges carry nobody reads.
    for name in ("source", "mark"):
        grid[name] = torch.stack([grid[name], torch.full_like(grid[name], 3.0)])
    other = torch.full_like(grid["transition"], 5.0)
    grid["transition"] = torch.stack([torch.stack([grid["transition"], other]), torch.stack([other, other])])

    path = line_graph(torch.stack([torch.arange(length - 1), torch.arange(1, length)]), length)
    enters, leaves = (slice(0, -1), slice(1, None)) if reverse else (slice(1, None), slice(0, -1))
    graph = {**inputs, "mark": inputs["mark"][enters], "source": inputs["source"][leaves]}
    graph["transition"] = inputs["transition"][1:-1]

    def run(given, topology):
        return plstm_scan(**given, topology=topology.reverse() if reverse else topology)

    expected = run(inputs, sequence)
    _close(run(grid, Grid(1, length)).view_as(expected), expected)
    _close(run(graph, path), expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_grid_is_the_graph_of_its_cells(backend, reverse):
    height, width = 4, 5
    topology = Grid(height, width, reversed=reverse)
    inputs = random_inputs(topology)
    edges, gates = _cells_as_graph(inputs, height, width, reverse)
    nodes = {name: inputs[name].flatten(0, 2) for name in ("query", "key", "value", "direct")}
    y = plstm_scan(**nodes, **gates, topology=line_graph(edges, height * width))
    _close(y.view_as(inputs["value"]), plstm_scan(**inputs, topology=topology))


def _cells_as_graph(inputs, height, width, reverse):
    """Edges with their gates, one by one: state 0 moves along the row."""
    step = -1 if reverse else 1
    edges, carried = [], []
    for cell in range(height * width):
        h, w = divmod(cell, width)
        for state, (to_h, to_w) in enumerate([(h, w + step), (h + step, w)]):
            if 0 <= to_h < height and 0 <= to_w < width:
                edges.append((cell, to_h * width + to_w))
                carried.append((state, h, w, to_h, to_w))
    edge_index = torch.tensor(edges).t()
    source = torch.stack([inputs["source"][s, 0, h, w] for s, h, w, _, _ in carried])
    mark = torch.stack([inputs["mark"][s, 0, h, w] for s, _, _, h, w in carried])
    transition = torch.stack(
        [
            inputs["transition"][carried[p][0], carried[e][0], 0, carried[e][1], carried[e][2]]
            for p, e in line_graph(edge_index, height * width).link_index.t().tolist()
        ]
    )
    return edge_index, {"source": source, "mark": mark, "transition": transition}


def test_a_graph_reads_every_path_between_two_nodes(backend):
    lines = random_lines()
    edges = [tuple(pair) for pair in lines.node_edge_index.t().tolist()]
    inputs = random_inputs(lines)
    link = {tuple(pair): number for number, pair in enumerate(lines.link_index.t().tolist())}
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(range(lines.num_nodes))
    y = inputs["direct"][..., None] * (inputs["query"] * inputs["key"]).sum(-1, keepdim=True) * inputs["value"]
    for m in graph:
        for n in graph:
            for nodes in nx.all_simple_paths(graph, m, n) if m != n else []:
                path = [edges.index(pair) for pair in pairwise(nodes)]
                gate = inputs["source"][path[0]] * inputs["mark"][path[-1]]
                for pair in pairwise(path):
                    gate = gate * inputs["transition"][link[pair]]
                score = (inputs["query"][n] * inputs["key"][m]).sum(-1)
                y[n] += (gate * score)[:, None] * inputs["value"][m]
    _close(plstm_scan(**inputs, topology=lines), y)


def test_renumbering_nodes_and_edges_renumbers_the_result(backend):
    edge_index, num_nodes = random_dag(9, 20), 9
    lines = line_graph(edge_index, num_nodes)
    inputs = random_inputs(lines)
    nodes, edges = torch.randperm(num_nodes), torch.randperm(lines.num_states)
    moved = line_graph(nodes[edge_index][:, edges], num_nodes)
    other = {name: value[nodes.argsort()] for name, value in inputs.items()}
    other |= {name: inputs[name][edges] for name in ("source", "mark")}
    number = {tuple(pair): link for link, pair in enumerate(lines.link_index.t().tolist())}
    other["transition"] = inputs["transition"][
        torch.tensor([number[tuple(pair)] for pair in edges[moved.link_index].t().tolist()])
    ]
    _close(plstm_scan(**other, topology=moved)[nodes], plstm_scan(**inputs, topology=lines))


@pytest.mark.parametrize("form", ["recurrent", "attention", None])
def test_batching_changes_nothing(backend, form):
    sizes = [9, 1, 4, 0, 12]
    parts = [random_lines(size, 2 * size, size) if size > 1 else _no_edges(size) for size in sizes]
    inputs = [random_inputs(part, seed=number) for number, part in enumerate(parts)]
    bounds = torch.tensor([0, *sizes]).cumsum(0)
    edges = torch.cat([part.node_edge_index + start for part, start in zip(parts, bounds, strict=False)], 1)
    together = line_graph(edges, sum(sizes))
    joined = {name: torch.cat([given[name] for given in inputs]) for name in inputs[0]}
    y = plstm_scan(**joined, topology=together, graphs=Ragged(bounds), form=form)
    alone = [plstm_scan(**given, topology=part) for given, part in zip(inputs, parts, strict=True)]
    _close(y, torch.cat(alone))


def _no_edges(num_nodes):
    return line_graph(torch.empty(2, 0, dtype=torch.long), num_nodes)


def test_the_cheaper_form_is_taken():
    molecules, patches = PackedColumns(Ragged.equal(64, 25)), GridColumns(8, 8, 8)
    assert is_cheaper(molecules, 64 * 25, state=16 * 16, written=True)
    assert not is_cheaper(molecules, 64 * 25, state=16 * 16)
    assert is_cheaper(molecules, 64 * 25, state=48 * 48)
    assert is_cheaper(patches, 8 * 64, state=32 * 32, ways=4)
    assert not is_cheaper(patches, 8 * 64, state=32 * 32)
    assert not is_cheaper(GridColumns(1, 64, 64), 4096, state=16 * 16, ways=4)
    # One long graph makes all others pad.
    uneven = PackedColumns(Ragged(torch.tensor([0, 200, *range(201, 301)])))
    assert not is_cheaper(uneven, 300, state=16 * 16, written=True)
    assert not is_cheaper(uneven, 300, state=48 * 48)


def test_gradients_of_gradients(backend):
    if backend == "reference":
        pytest.skip("autograd of a loop")
    lines = random_lines(4, 6)
    leaves = [value.requires_grad_() for value in random_inputs(lines, 1, 2, 1).values()]
    for form in ("recurrent", "attention"):
        assert torch.autograd.gradgradcheck(lambda *given, form=form: plstm_scan(*given, lines, form=form), leaves)


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("query", (8, 2, 3), r"query must have shape \[num_nodes, heads, dk\] with \[9\] in front, got \[8, 2, 3\]"),
        ("key", (9, 2, 4), r"key must have the shape of query \[9, 2, 3\], got \[9, 2, 4\]"),
        ("value", (9, 3, 4), r"value must have shape \[9, 2\] and dv, got \[9, 3, 4\]"),
        ("source", (3, 2), r"source must have shape \[\d+, 2\] \(num_edges, heads\), got \[3, 2\]"),
        ("transition", (3, 2), r"transition must have shape \[\d+, 2\] \(num_links, heads\), got \[3, 2\]"),
        ("mark", (3, 2), r"mark must have shape"),
        ("direct", (9,), r"direct must have shape \[9, 2\] \(num_nodes, heads\), got \[9\]"),
    ],
)
def test_wrong_sizes_are_named(unchecked, name, shape, says):
    lines = random_lines()
    inputs = {**random_inputs(lines), name: torch.zeros(shape, dtype=torch.float64)}
    with pytest.raises(ValueError, match=says):
        plstm_scan(**inputs, topology=lines)


def test_wrong_topologies_and_forms_are_named(unchecked):
    lines = random_lines()
    inputs = random_inputs(lines)
    with pytest.raises(TypeError, match=r"topology must be a Ragged, a Grid or the line graph .* got a Dag"):
        plstm_scan(**inputs, topology=Dag(torch.tensor([[0], [1]]), 2))
    with pytest.raises(ValueError, match="form must be 'recurrent', 'attention' or None, got 'dense'"):
        plstm_scan(**inputs, topology=lines, form="dense")
    with pytest.raises(ValueError, match=r"graphs must end at the number of nodes \(9\), got 4"):
        plstm_scan(**inputs, topology=lines, graphs=Ragged.equal(2, 2))
    with pytest.raises(ValueError, match=r"edge_index must be acyclic, got the cycle .*→"):
        line_graph(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
