"""The gated scan on the C++ kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from graphseq.scan import torch_backend
from graphseq.scan.crossings import Crossings
from graphseq.scan.edges import LineGraph
from graphseq.scan.grid import Grid
from graphseq.scan.native import _library
from graphseq.scan.native._library import dense, like, strided
from graphseq.scan.native._operator import Operator, Pass, or_empty

_VECTORS, _GATES = ("query", "key", "value"), ("source", "transition", "mark", "direct")
_NAMES = (*_VECTORS, *_GATES)
_TENSORS = ", ".join(f"Tensor {name}" for name in _NAMES)
_CROSSINGS = ", ".join(f"Tensor {name}" for name in Crossings._fields)


# Seven tensors and a topology, or what stands for it: told apart by their places only.
_on_any_grid: Any = torch_backend.gated_grid_scan
_on_any_dag: Any = torch_backend.gated_dag_scan


def gated_grid_scan(*inputs: Any) -> Tensor:
    """See :func:`graphseq.scan.gated_scan`."""
    *tensors, topology = inputs
    if tensors[0].is_complex():
        return _on_any_grid(*tensors, topology)
    return _grid_scan(*tensors, topology.reversed)


def gated_dag_scan(*inputs: Any) -> Tensor:
    """See :func:`graphseq.scan.gated_scan`."""
    *tensors, topology = inputs
    if tensors[0].is_complex():
        return _on_any_dag(*tensors, topology)
    return _dag_scan(*tensors, *topology.crossings, topology.reversed)


def _fields(tensors: tuple[Tensor, ...]) -> tuple[dict[str, Any], list[Tensor]]:
    """Addresses, strides and sizes of the inputs, and the tensors that must live as long as they are used."""
    fields: dict[str, Any] = {}
    alive = []
    for name, tensor in zip(_NAMES, tensors, strict=True):
        # Vectors have contiguous elements, gates lie anywhere.
        axes = tensor.dim() - (name in _VECTORS)
        tensor, strides = strided(tensor, axes)
        fields[name], fields[f"{name}_strides"] = tensor.data_ptr(), strides
        alive.append(tensor)
    query, _, value = tensors[:3]
    heads, key_size = query.shape[-2:]
    dtype = _library.DTYPES[query.dtype]
    return {**fields, "heads": heads, "key_size": key_size, "value_size": value.shape[-1], "dtype": dtype}, alive


def _on_grid(tensors: tuple[Tensor, ...], reversed: bool) -> tuple[dict[str, Any], list[Tensor]]:
    fields, alive = _fields(tensors)
    batch, rows, columns = tensors[0].shape[:3]
    cells = _library.GridCells(
        batch=batch, rows=rows, columns=columns, reversed=reversed, threads=torch.get_num_threads()
    )
    return {**fields, "ways": tensors[3].shape[0], "cells": cells}, alive


def _on_dag(tensors: tuple[Tensor, ...], crossings: Crossings, reversed: bool) -> tuple[dict[str, Any], list[Tensor]]:
    fields, alive = _fields(tensors)
    nodes = _library.DagNodes(
        **{name: tensor.data_ptr() for name, tensor in crossings._asdict().items()},
        nodes=crossings.node.shape[0],
        edges=crossings.out_edge.shape[0],
        links=crossings.link.shape[0],
        parts=crossings.part.shape[0] - 1,
        reversed=reversed,
    )
    return {**fields, "nodes": nodes, "threads": torch.get_num_threads()}, [*alive, *crossings]


def _read(tensors: Sequence[Any]) -> Tensor:
    value = tensors[2]
    return value.new_empty(value.shape)


def _grid_forward(*inputs: Any) -> Tensor:
    *tensors, reversed = inputs
    return _forward(_library.GatedGridScan, *_on_grid(tuple(tensors), reversed), _read(inputs))


def _dag_forward(*inputs: Any) -> Tensor:
    tensors, crossings, reversed = inputs[:7], Crossings(*inputs[7:-1]), inputs[-1]
    return _forward(_library.GatedDagScan, *_on_dag(tensors, crossings, reversed), _read(inputs))


def _forward(scan: Any, fields: dict[str, Any], _alive: list[Tensor], read: Tensor) -> Tensor:
    if not fields["key_size"]:
        # Nothing is stored under a key without entries.
        return read.zero_()
    if read.numel():
        _library.call(scan(**fields, read=read.data_ptr()))
    return read


def _grid_backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    tensors, reversed = inputs[:7], inputs[7]
    on_grid = _on_grid(tensors, reversed)
    return _backward(_library.GatedGridScanBackward, *on_grid, grad, _grads(grad, *inputs))


def _dag_backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    tensors, crossings, reversed = inputs[:7], Crossings(*inputs[7:-2]), inputs[-2]
    on_dag = _on_dag(tensors, crossings, reversed)
    return _backward(_library.GatedDagScanBackward, *on_dag, grad, _grads(grad, *inputs))


def _backward(
    scan: Any, fields: dict[str, Any], _alive: list[Tensor], grad: Tensor, grads: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    if not grad.numel() or not fields["key_size"]:
        return tuple(tensor.zero_() for tensor in grads)
    grad = dense(grad)
    into = {f"grad_{name}": tensor.data_ptr() or None for name, tensor in zip(_NAMES, grads, strict=True)}
    _library.call(scan(**fields, grad_read=grad.data_ptr(), **into))
    return grads


def _grads(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    """Of all inputs; those of the vectors are empty unless asked for."""
    tensors, vectors = inputs[:7], inputs[-1]
    return tuple(
        like(tensor) if vectors or name in _GATES else grad.new_empty(0)
        for name, tensor in zip(_NAMES, tensors, strict=True)
    )


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.reversed = inputs
    ctx.save_for_backward(*tensors)


def _gradient(ctx: Any, backward: Callable, grad: Tensor) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors
    vectors = any(ctx.needs_input_grad[:3])
    grads = backward(grad, *tensors, ctx.reversed, vectors)
    others = (None,) * (len(tensors) - 6)
    return (*(grads[:3] if vectors else (None,) * 3), *grads[3:], *others)


def _grid_in_pytorch(*inputs: Any) -> Tensor:
    *tensors, reversed = inputs
    return _on_any_grid(*tensors, _grid(tensors[0], reversed))


def _grid(query: Tensor, reversed: bool) -> Grid:
    batch, height, width = query.shape[:3]
    return Grid(height, width, batch, device=query.device, reversed=reversed)


# Graphs that were scanned without kernels, by a tensor that each has of its own: to order them takes a search.
_graphs = WeakTensorKeyDictionary()


def _lines(crossings: Crossings, reversed: bool) -> LineGraph:
    graph = _graphs.get(crossings.node)
    if graph is None:
        _graphs[crossings.node] = graph = LineGraph(*crossings.edges(), link_index=crossings.links())
    return graph.reverse() if reversed else graph


def _dag_in_pytorch(*inputs: Any) -> Tensor:
    return _on_any_dag(*inputs[:7], _lines(Crossings(*inputs[7:-1]), inputs[-1]))


def _differentiable_backward(grad: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    tensors, structure, vectors = inputs[:7], inputs[7:-1], inputs[-1]
    run = _dag_in_pytorch if len(structure) > 1 else _grid_in_pytorch
    grads = torch_backend.gated_scan_gradient(lambda *given: run(*given, *structure), grad, tensors)
    return or_empty(grad, grads if vectors else [None] * 3 + grads[3:])


def _operator(name: str, structure: str, forward: Callable, backward: Callable, anywhere: Callable) -> Operator:
    inputs = f"{_TENSORS}, {structure}bool reversed"
    return Operator(
        name,
        Pass(f"({inputs}) -> Tensor", kernel=forward, anywhere=anywhere, shapes=lambda *given: _read(given)),
        # The gradients of all seven, those of query, key and value empty unless asked for.
        Pass(
            f"(Tensor grad, {inputs}, bool vectors) -> ({', '.join(['Tensor'] * 7)})",
            kernel=backward,
            anywhere=_differentiable_backward,
            shapes=_grads,
        ),
        save=_save,
        gradient=_gradient,
        differentiable=_differentiable_backward,
    )


_grid_scan = _operator("gated_grid_scan", "", _grid_forward, _grid_backward, _grid_in_pytorch)
_dag_scan = _operator("gated_dag_scan", f"{_CROSSINGS}, ", _dag_forward, _dag_backward, _dag_in_pytorch)
