"""pLSTM (Pöppel et al. 2025) written out on the linear scan: source and mark around states ``k vᵀ`` of each head."""

import pytest
import torch

from graphseq.scan import Grid, Ragged, available_backends, line_graph, linear_scan

INPUTS = ("q", "k", "v", "source", "transition", "mark", "direct")


def on_each_backend(operation):
    """Each test here needs another operation, so each has the backends of its own."""
    return pytest.mark.parametrize("backend", available_backends(operation), indirect=True)


def _inputs(g):
    return {name: g[name].clone().requires_grad_() for name in INPUTS}


def _outer(key, value):
    return key[..., :, None] * value[..., None, :]


def _read(query, state):
    return torch.einsum("...k,...kv->...v", query, state)


def _own(q, k, v, direct):
    return (direct * (q * k).sum(-1))[..., None] * v


def _assert_golden(g, inputs, y):
    torch.testing.assert_close(y, g["y"], rtol=1e-10, atol=1e-10)
    (y * g["cot_y"]).sum().backward()
    for name, value in inputs.items():
        torch.testing.assert_close(value.grad, g[f"grad_{name}"], rtol=1e-10, atol=1e-10)


GRAPHS = ["graph_path", "graph_grid3x4", "graph_tree", "graph_random_1", "graph_random_2_isolated"]
PRUNED = ["ref_graph_grid4x5_multitree", "ref_graph_random12_multitree"]


@on_each_backend("dag_scan")
@pytest.mark.parametrize("name", GRAPHS + PRUNED)
def test_on_graphs_it_is_a_scan_on_the_line_graph(backend, golden, name):
    g = golden(f"plstm/{name}")
    inputs = _inputs(g)
    edges, num_nodes, num_edges = g["edge_index"], int(g["num_nodes"]), g["edge_index"].shape[1]
    lines = line_graph(edges, num_nodes)
    # Their links are the same pairs, in another order.
    numbers = {tuple(pair): link for link, pair in enumerate(g["line_edge_index"].t().tolist())}
    theirs = torch.tensor([numbers.pop(tuple(pair)) for pair in lines.link_index.t().tolist()], dtype=torch.long)
    assert not numbers

    def outputs(q, k, v, source, transition, mark, direct, keep):
        u, w = edges
        decay = (transition * keep[:, None])[theirs]
        states = linear_scan(decay[..., None, None], source[..., None, None] * _outer(k, v)[u], lines)
        read = mark[..., None] * _read(q[w], states)
        return _own(q, k, v, direct).index_add(0, w, read)

    assert lines.num_states == num_edges
    everything = torch.ones(lines.num_links, dtype=torch.float64)
    if name in PRUNED:
        full = outputs(**inputs, keep=everything)
        torch.testing.assert_close(full, g["y_full"], rtol=1e-10, atol=1e-10)
    _assert_golden(g, inputs, outputs(**inputs, keep=g["line_keep"].double() if name in PRUNED else everything))


def _grid(q, k, v, source, transition, mark):
    """What arrives at each cell, read out; axes ``[B, X, Y, …]``."""
    batch, height, width = q.shape[:3]
    # Their state 0 moves along X, down the rows of a grid with X rows: the house's state 1.
    decay, source = transition.flip(0, 1)[..., None, None], source.flip(0)[..., None, None] * _outer(k, v)
    along_y, along_x = linear_scan(decay, source, Grid(height, width, batch))
    from_x = torch.cat([torch.zeros_like(along_x[:, :1]), along_x[:, :-1]], 1)
    from_y = torch.cat([torch.zeros_like(along_y[:, :, :1]), along_y[:, :, :-1]], 2)
    return mark[0][..., None] * _read(q, from_x) + mark[1][..., None] * _read(q, from_y)


@on_each_backend("grid_scan")
@pytest.mark.parametrize("name", ["grid_1", "grid_2"])
def test_on_images_it_is_a_scan_on_the_grid(backend, golden, name):
    g = golden(f"plstm/{name}")
    inputs = _inputs(g)
    q, k, v, source, transition, mark, direct = inputs.values()
    y = _grid(q, k, v, source, transition, mark) + _own(q, k, v, direct)
    _assert_golden(g, inputs, y / q.shape[-1] ** 0.5)


@on_each_backend("grid_scan")
@pytest.mark.parametrize("name", ["ref_grid_4dir", "ref_grid_4dir_dmode"])
def test_four_orientations_are_the_scan_on_flipped_grids(backend, golden, name):
    g = golden(f"plstm/{name}")
    inputs = _inputs(g)
    q, k, v, source, transition, mark, direct = inputs.values()
    if "chirality_L" in g:
        # What moves along X never turns to Y.
        turns = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
        transition = transition * turns[:, :, None, None, None, None]
    y = _own(q, k, v, direct)
    for orientation, axes in enumerate([(), (1,), (2,), (1, 2)]):
        flipped = (x.flip(axes) for x in (q, k, v))
        gates = (x[orientation].flip([axis + x.dim() - 5 for axis in axes]) for x in (source, transition, mark))
        y = y + _grid(*flipped, *gates).flip(axes)
    _assert_golden(g, inputs, y / q.shape[-1] ** 0.5)


@on_each_backend("linear_scan")
def test_on_sequences_it_is_a_scan_on_segments(backend, golden):
    g = golden("plstm/sequence_1")
    inputs = _inputs(g)
    q, k, v, source, transition, mark, direct = inputs.values()
    batch, length = q.shape[:2]
    added = source[..., None, None] * _outer(k, v)
    states = linear_scan(transition.flatten(0, 1)[..., None, None], added.flatten(0, 1), Ragged.equal(batch, length))
    states = states.view_as(added)
    torch.testing.assert_close(states[:, -1], g["final_state"], rtol=1e-10, atol=1e-10)
    arriving = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
    y = mark[..., None] * _read(q, arriving) + _own(q, k, v, direct)
    _assert_golden(g, inputs, y / q.shape[-1] ** 0.5)
