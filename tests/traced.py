"""Export and compile public models and print, as JSON, how far they are on inputs of other sizes: a script."""

import inspect
import json
import logging

import torch
from torch.export import Dim, export
from torch_geometric.data import Data

import graphseq.sequence
from graphseq.data import AddLineGraph
from graphseq.graph_mamba import GraphMamba
from graphseq.plstm import PLSTMGraph, PLSTMImage
from graphseq.sequence import SequenceLayer, SequenceModel

# Layers whose kernels have as many taps as the longest sequence: of any batch, but of the length that was exported.
_OF_ONE_LENGTH = {"DSSExp", "DSSSoftmax", "LSSL", "LongConv", "S4D", "S4PTD"}
# What others are made of, and what holds another layer.
_NOT_BY_THEMSELVES = {"DSS", "FilterLayer", "ImportanceOrder", "MatrixMemory", "SequenceLayer", "StreamingLayer"}
_SIZES = {"GLA": {"heads": 2}, "MLSTM": {"heads": 2}, "Mamba2": {"head_size": 4}}


def layers():
    """Each public sequence layer, with an example and an input of other sizes."""
    for name in graphseq.sequence.__all__:
        kind = getattr(graphseq.sequence, name)
        if name in _NOT_BY_THEMSELVES or not (inspect.isclass(kind) and issubclass(kind, SequenceLayer)):
            continue
        layer = kind(8, **_SIZES.get(name, {}))
        length = Dim.STATIC if name in _OF_ONE_LENGTH else Dim("length", min=129, max=1000)
        other = 200 if name in _OF_ONE_LENGTH else 333
        yield name, layer, (torch.randn(3, 200, 8),), {}, ({0: Dim("batch"), 1: length},), (torch.randn(2, other, 8),)


def graph(nodes, edges, graphs):
    batch = torch.arange(nodes) * graphs // nodes
    return torch.randn(nodes, 3), torch.randint(nodes, (2, edges)), batch


def models():
    """Each model that needs nothing but tensors."""
    sizes = {"x": {0: Dim("nodes")}, "edge_index": {1: Dim("edges")}, "batch": {0: Dim("nodes")}, "batch_size": None}
    for level in ("graph", "node"):
        model = GraphMamba(3, 2, channels=8, layers=1, level=level)
        yield f"GraphMamba, {level}", model, graph(9, 14, 2), {"batch_size": 2}, sizes, graph(20, 31, 2)
    tokens = {0: Dim("batch"), 1: Dim("length")}
    model = SequenceModel(3, 2, channels=8)
    yield "SequenceModel", model, (torch.randn(3, 20, 3),), {}, (tokens,), (torch.randn(5, 31, 3),)
    model = PLSTMImage(1, 3, channels=8, layers=1, heads=2, patch=2, image=8)
    yield "PLSTMImage", model, (torch.randn(3, 1, 8, 8),), {}, ({0: Dim("batch")},), (torch.randn(5, 1, 8, 8),)


def distance(found, expected):
    found, expected = (value[0] if isinstance(value, tuple) else value for value in (found, expected))
    return float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")


def exported():
    """The error of each exported module on sizes that it was not exported with."""
    errors = {}
    for name, model, example, options, sizes, other in [*layers(), *models()]:
        model.eval()
        try:
            with torch.no_grad():
                program = export(model, example, options, dynamic_shapes=sizes)
                errors[name] = distance(program.module()(*other, **options), model(*other, **options))
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {str(error)[:300]}"
    return errors


def compiled():
    """The error of models that are compiled as one graph, with gradients."""
    errors = {}
    for name, model, example, options, _, other in models():
        # The averages of a batch norm move on every call.
        model.eval()
        torch.compiler.reset()
        # Of one model the gradient is traced too, which takes ten times as long.
        backend = "aot_eager" if name == "GraphMamba, graph" else "eager"
        traced = torch.compile(model, fullgraph=True, backend=backend, dynamic=True)
        worst = 0.0
        for inputs in (example, other):
            found, expected = traced(*inputs, **options), model(*inputs, **options)
            parameters = [p for p in model.parameters() if p.requires_grad]
            grads = [torch.autograd.grad(y.sin().sum(), parameters, allow_unused=True) for y in (found, expected)]
            pairs = [(a, b) for a, b in zip(*grads, strict=True) if b is not None]
            worst = max(worst, distance(found, expected), *(distance(a, b) for a, b in pairs))
        errors[name] = worst
    return errors


def refusals():
    """What is said of what cannot be traced."""
    said = {}
    x, edge_index, batch = graph(9, 14, 2)
    model = GraphMamba(3, 2, channels=8, layers=1).eval()
    acyclic = AddLineGraph()(Data(x=torch.randn(4, 3), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]])))
    directed = PLSTMGraph(3, 2, channels=8, layers=1, heads=2)
    lines = {key: acyclic[key] for key in directed.needs if key in acyclic}
    for name, trace in {
        "jit": lambda: torch.jit.trace(model, (x, edge_index, batch)),
        "jit, sequence": lambda: torch.jit.trace(graphseq.sequence.Mamba(8), (torch.randn(2, 5, 8),)),
        "jit, image": lambda: torch.jit.trace(
            PLSTMImage(1, 3, channels=8, layers=1, heads=2, patch=2, image=8), (torch.randn(3, 1, 8, 8),)
        ),
        "export, acyclic graph": lambda: export(directed, (acyclic.x, acyclic.edge_index), lines),
    }.items():
        try:
            trace()
            said[name] = "nothing"
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


if __name__ == "__main__":
    torch.manual_seed(0)
    # What export prints of a failed attempt would drown what is said of it.
    logging.disable(logging.CRITICAL)
    print(json.dumps({"exported": exported(), "compiled": compiled(), "refusals": refusals()}))
