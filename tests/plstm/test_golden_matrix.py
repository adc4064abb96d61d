"""Matrix-valued transitions, the released code's option for state tracking: J states on each edge, a scan on a graph.

The scan of pLSTM has one state an edge, as in all experiments of the paper (J = 1). With J of them the recurrence is
still one over the links of a directed acyclic graph, so the linear scan of the backend runs it.
"""

import pytest
import torch

from graphseq.scan import Dag, available_backends, linear_scan

INPUTS = ("q", "k", "v", "source", "transition", "mark", "direct")
on_each_backend = pytest.mark.parametrize("backend", available_backends("dag_scan"), indirect=True)


def _states(transition, emitted, arrives):
    """States ``[edges, H, K, V, J]`` with transitions ``[links, H, J, J]`` (new, old) along ``arrives [2, links]``."""
    edges, heads, keys, values, size = emitted.shape
    new, old = (x.flatten() for x in torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
    sender, receiver = arrives[0][:, None] * size + old, arrives[1][:, None] * size + new
    graph = Dag(torch.stack([sender.flatten(), receiver.flatten()]), edges * size)
    decay = transition[..., new, old].movedim(1, 2).reshape(-1, heads, 1)
    source = emitted.movedim(-1, 1).reshape(edges * size, heads, keys * values)
    return linear_scan(decay, source, graph).view(edges, size, heads, keys, values).movedim(1, -1)


def _emitted(source, k, v):
    return torch.einsum("...jpr,...kp,...vr->...kvj", source, k, v)


def _read(mark, q, states):
    return torch.einsum("...kq,...oqj,...kvj->...vo", q, mark, states)


def _own(q, k, v, direct):
    return torch.einsum("...kq,...oqpr,...kp,...vr->...vo", q, direct, k, v)


def _assert_golden(g, inputs, y):
    y = y / g["q"].shape[-2] ** 0.5
    # Rounding of sums over at most a few hundred paths.
    torch.testing.assert_close(y, g["y"], rtol=1e-10, atol=1e-10)
    (y * g["cot_y"]).sum().backward()
    for name, value in inputs.items():
        torch.testing.assert_close(value.grad, g[f"grad_{name}"], rtol=1e-10, atol=1e-10)


@on_each_backend
def test_sequences(backend, golden):
    g = golden("plstm/ref_sequence_matrix")
    inputs = {name: g[name].clone().requires_grad_() for name in INPUTS}
    q, k, v, source, transition, mark, direct = inputs.values()
    batch, length = q.shape[:2]
    later = torch.arange(batch * length).view(batch, length)[:, 1:].flatten()
    emitted = _emitted(source, k, v).flatten(0, 1)
    states = _states(transition.flatten(0, 1)[later], emitted, torch.stack([later - 1, later]))
    states = states.unflatten(0, (batch, length))
    arriving = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
    _assert_golden(g, inputs, _read(mark, q, arriving) + _own(q, k, v, direct))


@on_each_backend
def test_grids(backend, golden):
    g = golden("plstm/ref_grid_matrix")
    inputs = {name: g[name].clone().requires_grad_() for name in INPUTS}
    q, k, v, source, transition, mark, direct = inputs.values()
    cells = q.shape[:3]
    number = torch.arange(q.shape[:3].numel()).view(cells)
    arrives, gates = [], []
    for a in (0, 1):
        # State a moves along axis 1 + a.
        before, at = number.narrow(1 + a, 0, cells[1 + a] - 1), number.narrow(1 + a, 1, cells[1 + a] - 1)
        for b in (0, 1):
            arrives.append(torch.stack([a * number.numel() + before.flatten(), b * number.numel() + at.flatten()]))
            gates.append(transition[a, b].flatten(0, 2)[at.flatten()])
    emitted = torch.stack([_emitted(source[b], k, v) for b in (0, 1)]).flatten(0, 3)
    states = _states(torch.cat(gates), emitted, torch.cat(arrives, 1)).unflatten(0, (2, *cells))
    y = _own(q, k, v, direct)
    for a in (0, 1):
        kept = states[a].narrow(1 + a, 0, cells[1 + a] - 1)
        first = torch.zeros_like(states[a].narrow(1 + a, 0, 1))
        y = y + _read(mark[a], q, torch.cat([first, kept], 1 + a))
    _assert_golden(g, inputs, y)
