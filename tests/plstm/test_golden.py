"""Outputs and gradients of the released functions, on sequences, grids, their four directions and graphs."""

import pytest
import torch

from graphseq.plstm import plstm_scan, plstm_scan_four_ways
from graphseq.scan import Grid, Ragged, available_backends, line_graph

INPUTS = ("q", "k", "v", "source", "transition", "mark", "direct")
GRAPHS = ["graph_path", "graph_grid3x4", "graph_tree", "graph_random_1", "graph_random_2_isolated"]
PRUNED = ["ref_graph_grid4x5_multitree", "ref_graph_random12_multitree"]
both_forms = pytest.mark.parametrize("form", ["recurrent", "attention"])


def on_each_backend(operation):
    """Each test here needs another operation, so each has the backends of its own."""
    return pytest.mark.parametrize("backend", available_backends(operation), indirect=True)


def _inputs(g):
    return {name: g[name].clone().requires_grad_() for name in INPUTS}


def _assert_golden(g, inputs, y, skip=()):
    # Rounding of sums over at most a few hundred paths.
    torch.testing.assert_close(y, g["y"], rtol=1e-10, atol=1e-10)
    (y * g["cot_y"]).sum().backward()
    for name, value in inputs.items():
        if name not in skip:
            torch.testing.assert_close(value.grad, g[f"grad_{name}"], rtol=1e-10, atol=1e-10)


@on_each_backend("dag_scan")
@both_forms
@pytest.mark.parametrize("name", GRAPHS + PRUNED)
def test_graphs(backend, golden, name, form):
    g = golden(f"plstm/{name}")
    inputs = _inputs(g)
    lines = line_graph(g["edge_index"], int(g["num_nodes"]))
    numbers = {tuple(pair): link for link, pair in enumerate(g["line_edge_index"].t().tolist())}
    theirs = torch.tensor([numbers[tuple(pair)] for pair in lines.link_index.t().tolist()], dtype=torch.long)
    kept = g["line_keep"].double() if name in PRUNED else torch.ones(lines.num_links, dtype=torch.float64)
    gates = {**inputs, "transition": (inputs["transition"] * kept[:, None])[theirs]}
    _assert_golden(g, inputs, plstm_scan(*gates.values(), lines, form=form))


def _house(gates):
    """Their state 0 moves along X, down the rows of a grid with X rows: the house's state 1."""
    axis = gates["mark"].dim() - 5
    return {
        **gates,
        "source": gates["source"].flip(axis),
        "mark": gates["mark"].flip(axis),
        "transition": gates["transition"].flip(axis, axis + 1),
    }


def _scaled(q):
    return q / q.shape[-1] ** 0.5


@on_each_backend("grid_scan")
@both_forms
@pytest.mark.parametrize("name", ["grid_1", "grid_2"])
def test_grids(backend, golden, name, form):
    g = golden(f"plstm/{name}")
    inputs = _inputs(g)
    batch, height, width = g["q"].shape[:3]
    gates = _house({**inputs, "q": _scaled(inputs["q"])})
    _assert_golden(g, inputs, plstm_scan(*gates.values(), Grid(height, width, batch), form=form))


@on_each_backend("grid_scan")
@both_forms
@pytest.mark.parametrize("name", ["ref_grid_4dir", "ref_grid_4dir_dmode"])
def test_four_directions(backend, golden, name, form):
    g = golden(f"plstm/{name}")
    inputs = _inputs(g)
    batch, height, width = g["q"].shape[:3]
    gates = {**inputs, "q": _scaled(inputs["q"])}
    if "chirality_L" in g:
        # What moves along X never turns to Y.
        turns = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
        gates["transition"] = gates["transition"] * turns[:, :, None, None, None, None]
    _assert_golden(g, inputs, plstm_scan_four_ways(*_house(gates).values(), Grid(height, width, batch), form=form))


@on_each_backend("linear_scan")
@both_forms
def test_sequences(backend, golden, form):
    g = golden("plstm/sequence_1")
    inputs = _inputs(g)
    batch, length = g["q"].shape[:2]
    packed = {name: value.flatten(0, 1) for name, value in {**inputs, "q": _scaled(inputs["q"])}.items()}
    y = plstm_scan(*packed.values(), Ragged.equal(batch, length), form=form)
    _assert_golden(g, inputs, y.unflatten(0, (batch, length)))
