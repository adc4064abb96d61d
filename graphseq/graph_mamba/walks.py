"""Simple random walks, many at a time."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor
from torch_geometric.utils import degree, index_sort


def random_walks(
    edge_index: Int[Tensor, "2 edges"],
    start: Int[Tensor, " walks"],
    length: int,
    num_nodes: int,
    *,
    generator: torch.Generator,
) -> Int[Tensor, "walks visits"]:
    r"""Walks that take each edge out of the present node with the same probability.

    .. math::
        P(w_{i+1} = v \mid w_i = u) = \frac{|\{u \to v\}|}{\deg^+(u)}

    A walk may turn back. It stays where no edge leaves: on isolated nodes and at dead ends of directed graphs.

    Args:
        edge_index: edges, from source to target, in any order. Parallel edges count each.
        start: first node of each walk.
        length: number of steps.
        num_nodes: number of nodes.
        generator: the source of chance. Walks do not depend on the number of threads.

    Returns:
        The ``length + 1`` nodes that each walk visits, its start first.

    Raises:
        ValueError: if ``length`` is negative, or an edge or a start is not one of the nodes.

    Example:
        >>> cycle = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> random_walks(cycle, torch.tensor([0, 2]), 3, 3, generator=torch.Generator())
        tensor([[0, 1, 2, 0],
                [2, 0, 1, 2]])

    Cost: one sort of the edges, then two random reads a step.
    """
    if length < 0:
        raise ValueError(f"length must be at least 0, got {length}")
    check_nodes("edge_index", edge_index, num_nodes)
    check_nodes("start", start, num_nodes)
    source, order = index_sort(edge_index[0], num_nodes, stable=True)
    # The last entry is never walked along: it lets a node without edges, whose row starts at the end, read something.
    target = torch.cat([edge_index[1][order], edge_index.new_zeros(1)])
    count = degree(source, num_nodes, dtype=torch.int64)
    first = count.cumsum(0) - count
    visits = [start]
    for _ in range(length):
        here = visits[-1]
        # Single precision could not reach every edge of a hub.
        chance = torch.rand(here.shape, dtype=torch.float64, device=here.device, generator=generator)
        choices = count[here]
        step = (chance * choices).long()
        visits.append(torch.where(choices > 0, target[first[here] + step], here))
    return torch.stack(visits, dim=1)


def check_nodes(argument: str, nodes: Tensor, num_nodes: int) -> None:
    """Raise a ``ValueError`` unless every entry is a node."""
    if nodes.numel() and not 0 <= int(nodes.min()) <= int(nodes.max()) < num_nodes:
        raise ValueError(
            f"{argument} must hold nodes in 0..{num_nodes - 1}, got values from {int(nodes.min())} to "
            f"{int(nodes.max())}"
        )
