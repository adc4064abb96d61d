"""From undirected graphs to directed acyclic ones: each edge from the earlier to the later node of some order."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import degree

from graphseq.data.structure import is_registered
from graphseq.data.validate import edges_of


class NodeOrder(ABC):
    """Ranks the nodes of a graph."""

    @abstractmethod
    def rank(self, data: Data) -> Tensor:
        """A different number for each node, ``[num_nodes]``."""


class GivenOrder(NodeOrder):
    """By a key of the data, or by the numbers of the nodes: what the released code of pLSTM does.

    Nodes that are equal under the key are ranked by their numbers.

    Args:
        key: of ``Data``, one number a node; the node's own number without it.
    """

    def __init__(self, key: str | None = None) -> None:
        self.key = key

    def rank(self, data: Data) -> Tensor:
        if self.key is None:
            return torch.arange(data.num_nodes)
        if self.key not in data:
            raise ValueError(f"data must have the key {self.key!r} to be ordered by, got {data.keys()}")
        key = data[self.key]
        if key.numel() != data.num_nodes:
            raise ValueError(
                f"data must have one number for each of its {data.num_nodes} nodes under {self.key!r}, "
                f"got shape {list(key.shape)}"
            )
        if key.is_floating_point() and bool(key.isnan().any()):
            raise ValueError(f"data must have a number for each node under {self.key!r}, got NaN, which has no order")
        return _ranks(key)


class DegreeOrder(NodeOrder):
    """By degree, ascending; equal ones by their numbers.

    Args:
        descending: the largest first.
    """

    def __init__(self, descending: bool = False) -> None:
        self.descending = descending

    def rank(self, data: Data) -> Tensor:
        count = degree(data.edge_index.flatten(), data.num_nodes)
        return _ranks(-count if self.descending else count)


class BreadthFirstOrder(NodeOrder):
    """As a breadth-first search meets them; among the nodes that one node leads to, by their numbers.

    Args:
        root: where it starts; the node of largest degree, the first of several, if not given. Each component that the
            root is not in is searched from its own node of largest degree.
    """

    def __init__(self, root: int | None = None) -> None:
        self.root = root

    def rank(self, data: Data) -> Tensor:
        num_nodes = int(data.num_nodes or 0)
        if self.root is not None and not 0 <= self.root < num_nodes:
            raise ValueError(f"root must be a node in 0..{num_nodes - 1}, got {self.root}")
        source, target = data.edge_index.numpy()
        adjacency = coo_array((np.ones(source.size), (source, target)), shape=(num_nodes, num_nodes)).tocsr()
        adjacency.sum_duplicates()
        by_degree = np.argsort(-degree(data.edge_index.flatten(), num_nodes).numpy(), kind="stable").tolist()
        rank = np.full(num_nodes, -1)
        met = 0
        for root in [*([] if self.root is None else [self.root]), *by_degree]:
            if rank[root] < 0:
                found = breadth_first_order(adjacency, root, directed=False, return_predecessors=False)
                rank[found] = met + np.arange(found.size)
                met += found.size
        return torch.from_numpy(rank)


class RandomOrder(NodeOrder):
    """Uniformly random. As a ``transform``, which is applied on every access, it gives a new order each epoch.

    Args:
        seed: for the same order on every call, for all graphs of one size; from torch's generator without it.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def rank(self, data: Data) -> Tensor:
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        return torch.randperm(int(data.num_nodes or 0), generator=generator)


@functional_transform("orient_edges")
class OrientEdges(BaseTransform):
    """Point each edge of an undirected graph from the earlier to the later of its nodes, so that there is no cycle.

    Of an edge that is there in both directions one remains, with the ``edge_attr``, ``edge_weight`` and whatever else
    edges have, of the one that points so already; of several edges between two nodes the first. Self-loops are dropped.

    Args:
        order: ranks the nodes; by their numbers if not given. A result that is to be the same however nodes are
            numbered needs an order that is.

    Example:
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> OrientEdges()(path).edge_index
        tensor([[0, 1],
                [1, 2]])
    """

    def __init__(self, order: NodeOrder | None = None) -> None:
        if order is not None and not isinstance(order, NodeOrder):
            raise TypeError(f"order must be a NodeOrder, got {type(order).__name__}")
        self.order = order or GivenOrder()

    def forward(self, data: Data) -> Data:
        """``data`` with other edges, sorted by the ranks of their nodes.

        Raises:
            ValueError: if it has no edges between nodes that are there.
            TypeError: if it is no ``Data``, or its edges are no dense tensor.
        """
        edge_index = edges_of(data)
        rank = self.order.rank(data)
        source, target = rank[edge_index]
        turned = source > target
        low, high = torch.minimum(source, target), torch.maximum(source, target)
        # Edges of one pair together, of them first those that point as they shall.
        place = np.lexsort((turned.numpy(), high.numpy(), low.numpy()))
        pairs = torch.stack([low, high])[:, place]
        new = torch.ones(pairs.shape[1], dtype=torch.bool)
        new[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(0)
        kept = torch.from_numpy(place)[new & (pairs[0] != pairs[1])]
        # What belongs to edges is known by its length, which changes with them.
        for key in filter(_is_of_edges, data.edge_attrs()):
            value = data[key]
            if isinstance(value, Tensor):
                data[key] = value.index_select(data.__cat_dim__(key, value), kept.to(value.device))
            else:
                data[key] = type(value)(value[place] for place in kept.tolist())
        data.edge_index = torch.where(turned[kept], edge_index[:, kept].flip(0), edge_index[:, kept])
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.order).__name__})"


def _is_of_edges(key: str) -> bool:
    """Questions about pairs of nodes may be as many as edges; structure made before stays, so that it is refused."""
    return key != "edge_index" and not key.startswith("edge_label") and not is_registered(key)


def _ranks(key: Tensor) -> Tensor:
    place = key.flatten().argsort(stable=True)
    return torch.empty_like(place).index_copy_(0, place, torch.arange(place.numel()))
