"""The part of a line graph in which one path at most joins two edges, which D-mode needs."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from graphseq.data import AddLineGraph, DagData
from graphseq.scan import LineGraph


def multitree_links(lines: LineGraph) -> Bool[Tensor, " links"]:
    """Which links to keep, so that one path at most joins any two edges.

    Edges are visited in topological order, and a link into an edge is dropped where it comes from an edge with an
    ancestor that reaches the edge already. Which links these are depends on the order of the edges.

    Args:
        lines: the line graph. The links that are kept serve both directions.

    Example:
        >>> diamond = line_graph(torch.tensor([[0, 1, 1, 2, 3, 4], [1, 2, 3, 4, 4, 5]]), 6)
        >>> multitree_links(diamond)
        tensor([ True,  True,  True,  True,  True, False])

    Cost: of each link, one pass over a set of bits for all edges.
    """
    entering: list[list[tuple[int, int]]] = [[] for _ in range(lines.num_states)]
    for link, (earlier, later) in enumerate(lines.link_index.t().tolist()):
        entering[later].append((link, earlier))
    keep = torch.zeros(lines.num_links, dtype=torch.bool)
    # Bit i of an entry: edge i reaches this edge, or is it.
    reached_from = [0] * lines.num_states
    for edge in lines.level.argsort(stable=True).tolist():
        found = 1 << edge
        for link, earlier in entering[edge]:
            if not found & reached_from[earlier]:
                found |= reached_from[earlier]
                keep[link] = True
        reached_from[edge] = found
    return keep.to(lines.device)


@functional_transform("add_multitree")
class AddMultitree(BaseTransform):
    """Make the line graph of a directed acyclic graph, and of it the multitree: ``line_graph_…`` and ``multitree``.

    Raises:
        TypeError: if the graph is another kind of data than ``Data``.
        ValueError: if it has no ``edge_index``, or a cycle.

    Example:
        >>> data = AddMultitree()(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3))
        >>> data.multitree
        tensor([True])
    """

    def forward(self, data: Data) -> DagData:
        """``data`` with these keys."""
        found = data if "line_graph_state" in data else AddLineGraph()(data)
        found.multitree = multitree_links(found.line_graph())
        return found
