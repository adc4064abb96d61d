"""Checks of a graph that came from outside."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data


def validate_graph(
    x: Tensor,
    edge_index: Tensor,
    batch: Tensor | None = None,
    edge_attr: Tensor | None = None,
    *,
    finite: bool = True,
) -> None:
    """Check that a graph, or a batch of graphs, is what every model here takes.

    Args:
        x: node features ``[nodes, ...]``.
        edge_index: ``[2, edges]``, integer, each entry a node.
        batch: ``[nodes]``, integer, in ascending order from at least 0: which graph each node belongs to.
        edge_attr: edge features ``[edges, ...]``.
        finite: also read every feature, in search of NaN and infinity.

    Raises:
        ValueError: if one of them is not; the message says which, what was expected and what came.
        TypeError: if one of them is no dense tensor, such as an adjacency matrix in place of ``edge_index``.

    Example:
        >>> validate_graph(torch.ones(3, 1), torch.tensor([[0, 1], [1, 3]]))
        Traceback (most recent call last):
            ...
        ValueError: edge_index must hold nodes in 0..2 (x has 3 rows), got values from 0 to 3

    Cost: one pass over each tensor, and one synchronisation with the device for each check.
    """
    for argument, tensor in (("x", x), ("edge_index", edge_index), ("batch", batch), ("edge_attr", edge_attr)):
        if tensor is not None:
            _check_tensor(argument, tensor, x)
    _check_features("x", x, finite)
    _check_edges(edge_index, x.shape[0])
    if batch is not None:
        _check_batch(batch, x.shape[0])
    if edge_attr is not None:
        _check_features("edge_attr", edge_attr, finite)
        if edge_attr.shape[0] != edge_index.shape[1]:
            raise ValueError(
                f"edge_attr must have one row for each of the {edge_index.shape[1]} edges of edge_index, "
                f"got shape {list(edge_attr.shape)}"
            )


def edges_of(data: Data) -> Tensor:
    """The ``edge_index`` of a graph that came to a transform.

    Raises:
        TypeError: if ``data`` is no ``Data``, or its edges are no dense tensor.
        ValueError: if it has no ``edge_index``, or one that is not ``[2, edges]`` in int64 with each entry a node.
    """
    if not isinstance(data, Data):
        raise TypeError(f"data must be a Data, got {type(data).__name__}")
    if (edge_index := data.edge_index) is None:
        raise ValueError(f"data must have an edge_index, got the keys {data.keys()}")
    _check_dense("edge_index", edge_index)
    _check_edges(edge_index, int(data.num_nodes or 0), "data", "nodes")
    return edge_index


def _check_tensor(argument: str, tensor: Tensor, x: Tensor) -> None:
    _check_dense(argument, tensor)
    if tensor.device != x.device:
        raise ValueError(f"{argument} must be on the device of x ({x.device}), got {tensor.device}")


def _check_dense(argument: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
        got = f"a tensor in the layout {tensor.layout}" if isinstance(tensor, Tensor) else type(tensor).__name__
        hint = ": torch_geometric.utils.to_edge_index makes edges of a matrix" if argument == "edge_index" else ""
        raise TypeError(f"{argument} must be a dense tensor, got {got}{hint}")


def _check_features(argument: str, features: Tensor, read: bool) -> None:
    if features.dim() < 1:
        raise ValueError(f"{argument} must have shape [rows, ...], got a scalar")
    if read and features.is_floating_point() and not bool((finite := torch.isfinite(features)).all()):
        rows = (~finite).reshape(len(features), -1).any(1).nonzero().flatten().tolist()
        raise ValueError(
            f"{argument} must be finite, got NaN or infinity in {len(rows)} rows, the first being {rows[0]}"
        )


def _check_edges(edge_index: Tensor, num_nodes: int, owner: str = "x", of: str = "rows") -> None:
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"edge_index must have shape [2, edges], got {list(edge_index.shape)}")
    if edge_index.dtype != torch.long:
        raise ValueError(f"edge_index must have dtype torch.int64, got {edge_index.dtype}")
    # What a compiler traces has no values to look at.
    if torch.compiler.is_compiling() or edge_index.numel() == 0:
        return
    low, high = int(edge_index.min()), int(edge_index.max())
    if low < 0 or high >= num_nodes:
        raise ValueError(
            f"edge_index must hold nodes in 0..{num_nodes - 1} ({owner} has {num_nodes} {of}), "
            f"got values from {low} to {high}"
        )


def _check_batch(batch: Tensor, num_nodes: int) -> None:
    if list(batch.shape) != [num_nodes]:
        raise ValueError(
            f"batch must have one entry for each of the {num_nodes} rows of x, got shape {list(batch.shape)}"
        )
    if batch.dtype != torch.long:
        raise ValueError(f"batch must have dtype torch.int64, got {batch.dtype}")
    if torch.compiler.is_compiling():
        return
    if num_nodes and int(batch[0]) < 0:
        raise ValueError(f"batch must start at 0 or above, got {int(batch[0])}")
    if bool((falls := batch[1:] < batch[:-1]).any()):
        position = int(falls.nonzero()[0]) + 1
        raise ValueError(
            f"batch must be in ascending order, got {int(batch[position])} after {int(batch[position - 1])} "
            f"at position {position}"
        )
