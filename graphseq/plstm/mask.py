"""The gates along all paths from node to node as a dense mask, one column for each node of a graph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from graphseq.scan import Grid, LineGraph, Ragged, gated_scan


class Columns:
    """How the nodes of each graph are numbered as columns of its mask.

    Attributes:
        graphs: number of graphs.
        size: nodes of the largest one.
    """

    graphs: int
    size: int

    def one_hot(self, like: Tensor) -> Tensor:
        """One at the column of each node, ``[*nodes, 1, size]``."""
        raise NotImplementedError

    def dense(self, x: Tensor) -> Tensor:
        """From ``[*nodes, heads, width]`` to ``[graphs, heads, size, width]``."""
        raise NotImplementedError

    def packed(self, x: Tensor) -> Tensor:
        """The other way."""
        raise NotImplementedError


class GridColumns(Columns):
    """The cells of a grid, row by row."""

    def __init__(self, batch: int, height: int, width: int) -> None:
        self.graphs, self.size = batch, height * width
        self._cells = (height, width)

    def one_hot(self, like: Tensor) -> Tensor:
        eye = torch.eye(self.size, dtype=like.dtype, device=like.device)
        return eye.view(1, *self._cells, 1, self.size).expand(self.graphs, -1, -1, -1, -1)

    def dense(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2).transpose(1, 2)

    def packed(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).unflatten(1, self._cells)


class PackedColumns(Columns):
    """The nodes of graphs that lie one after another."""

    def __init__(self, segments: Ragged) -> None:
        self._segments = segments
        self.graphs, self.size = segments.num_segments, segments.longest

    def one_hot(self, like: Tensor) -> Tensor:
        column = self._place - self._segments.segment * self.size
        return torch.eye(self.size, dtype=like.dtype, device=like.device)[column][:, None]

    def dense(self, x: Tensor) -> Tensor:
        rows = x.new_zeros(self.graphs * self.size, *x.shape[1:]).index_copy(0, self._place, x)
        return rows.unflatten(0, (self.graphs, self.size)).transpose(1, 2)

    def packed(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(0, 1)[self._place]

    @property
    def _place(self) -> Tensor:
        starts = self._segments.ptr[:-1][self._segments.segment]
        row = torch.arange(self._segments.num_states, device=starts.device)
        return self._segments.segment * self.size + row - starts


def reach(columns: Tensor, heads: int, gates: Mapping[str, Tensor], topology: Ragged | Grid | LineGraph) -> Tensor:
    """How much of each node arrives at each other, ``[*nodes, heads, size]``: the scan of nodes that are told apart."""
    one_hot = columns.expand(*columns.shape[:-2], heads, columns.shape[-1])
    one = one_hot.new_ones(()).expand(*one_hot.shape[:-1], 1)
    return gated_scan(one, one, one_hot, **gates, topology=topology)


def attend(columns: Columns, mask: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with a mask ``[*nodes, heads, size]`` in place of the softmax."""
    scores = columns.dense(query) @ columns.dense(key).transpose(-1, -2)
    return columns.packed((columns.dense(mask) * scores) @ columns.dense(value))


def is_cheaper(columns: Columns, num_nodes: int, state: int, *, ways: int = 1, written: bool = False) -> bool:
    """Whether masks, padding included, take less time than states of this many numbers, forward and backward.

    Measured on a CPU: to make, read and pack a mask takes as long as one state of a thousand numbers and twenty more
    for each column, in all ``ways`` together; states that are written take far longer than those that kernels keep.
    """
    entries = columns.graphs * columns.size**2
    if written:
        return 4 * entries <= 3 * num_nodes * state
    return 1000 * num_nodes + 20 * entries <= ways * num_nodes * state
