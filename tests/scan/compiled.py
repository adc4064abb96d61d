"""Compile every public scan and print, as JSON, how far it is from the one that is not compiled: a script."""

import json

import torch
from torch._dynamo.testing import CompileCounterWithBackend

from graphseq.scan import (
    Dag,
    Grid,
    Ragged,
    causal_conv,
    delta_scan,
    gated_scan,
    grid_selective_scan,
    line_graph,
    linear_scan,
    selective_scan,
)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


def operations():
    """Each public scan, as a function of tensors with gradients, on a topology that nothing has scanned before."""
    graph = Dag(torch.tensor([[0, 1, 0, 3], [1, 2, 2, 2]]), 4)
    grid = Grid(3, 4, 2)
    ragged = Ragged(torch.tensor([0, 4, 4, 9]))
    yield "sequence", lambda a, b: linear_scan(a, b, ragged), [randn(9, 3), randn(9, 3)]
    yield "reversed", lambda a, b: linear_scan(a, b, ragged, reverse=True), [randn(9, 1), randn(9, 3)]
    yield "initial", lambda a, b, h: linear_scan(a, b, ragged, initial=h), [randn(9, 3), randn(9, 3), randn(3, 3)]
    yield "graph", lambda a, b: linear_scan(a, b, graph), [randn(4, 1), randn(4, 3)]
    yield "grid", lambda a, b: linear_scan(a, b, grid), [randn(2, 2, 2, 3, 4, 2), randn(2, 2, 3, 4, 2)]
    yield "conv", lambda x, w, b: causal_conv(x, w, b, ragged, silu=True), [randn(9, 4), randn(4, 3), randn(4)]
    inputs = [randn(9, 4), randn(9, 4), randn(4, 2), randn(9, 2), randn(9, 2)]
    yield "selective", lambda *x: selective_scan(*x, topology=ragged, delta_softplus=True), inputs
    steps, projections = randn(2, 2, 3, 4, 2), [randn(2, 2, 3, 4, 3), randn(2, 2, 3, 4, 3)]
    inputs = [randn(2, 3, 4, 2), steps, randn(2, 2, 3), *projections]
    yield "grid, selective", lambda *x: grid_selective_scan(*x, exchange=x[1].sigmoid(), topology=grid), inputs
    inputs = [randn(9, 2, 3), randn(9, 2, 3), randn(9, 2, 4), randn(9, 2)]
    yield "delta", lambda *x: delta_scan(*x, topology=ragged), inputs
    lines = line_graph(torch.tensor([[0, 1, 0, 3, 2], [1, 2, 2, 2, 4]]), 5)
    vectors, gates = [randn(5, 2, 3) for _ in range(3)], [randn(5, 2), randn(lines.num_links, 2), randn(5, 2)]
    yield "gated on a graph", lambda *x: gated_scan(*x, lines), [*vectors, *gates, randn(5, 2)]
    vectors, cells = [randn(2, 3, 4, 2, 3) for _ in range(3)], (2, 3, 4, 2)
    gates = [randn(4, 2, *cells), randn(4, 2, 2, *cells), randn(4, 2, *cells), randn(*cells)]
    yield "gated on a grid", lambda *x: gated_scan(*x, grid), [*vectors, *gates]


def error(scan, inputs):
    """Of the result and all gradients."""

    def loss(*inputs):
        return scan(*(x.tanh() for x in inputs)).sin().sum()

    def outcomes(run):
        out = run(*inputs)
        return [out, *torch.autograd.grad(out, inputs)]

    # Each operation is a function of its own, not one more version of the last.
    torch.compiler.reset()
    # First, so that no schedule is there yet.
    compiled = outcomes(torch.compile(loss, fullgraph=True, backend="aot_eager"))
    return max(float((a - b).detach().abs().max()) for a, b in zip(compiled, outcomes(loss), strict=True))


def compilations():
    """Of one function for batches of other sizes."""
    counter = CompileCounterWithBackend("aot_eager")
    scan = torch.compile(lambda a, b, t: linear_scan(a, b, t).sin(), fullgraph=True, backend=counter)
    for bounds in ([0, 4, 9], [0, 3, 8], [0, 3, 7], [0, 1, 6], [0, 2, 30]):
        topology = Ragged(torch.tensor(bounds))
        decay, source = torch.rand(bounds[-1], 3), torch.randn(bounds[-1], 3)
        torch.testing.assert_close(scan(decay, source, topology), linear_scan(decay, source, topology).sin())
    return counter.frame_count


if __name__ == "__main__":
    torch.manual_seed(0)
    errors = {name: error(scan, inputs) for name, scan, inputs in operations()}
    print(json.dumps({"errors": errors, "compilations of five batches": compilations()}))
