"""Transforms that give each node its importance, the key by which Graph Mamba sorts nodes."""

from __future__ import annotations

import abc

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import degree, to_networkx


class OrderKey(BaseTransform, abc.ABC):
    """Store a key of importance as ``data.order_key``, ``[num_nodes]``, float64.

    Keys are rounded to ten digits, so that nodes which are equal by symmetry are equal in the computer too, however
    the nodes are numbered. A key of your own needs no class: store it under that name.
    """

    def forward(self, data: Data) -> Data:
        key = self.key(data)
        data.order_key = torch.tensor([float(f"{value:.10g}") for value in key.tolist()], dtype=torch.float64)
        return data

    @abc.abstractmethod
    def key(self, data: Data) -> Tensor:
        """The key of each node."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@functional_transform("graphseq_degree_key")
class DegreeKey(OrderKey):
    """Number of edges that leave the node; what Graph Mamba uses where no key is stored."""

    def key(self, data: Data) -> Tensor:
        return degree(data.edge_index[0], data.num_nodes, dtype=torch.float64)


@functional_transform("graphseq_pagerank_key")
class PageRankKey(OrderKey):
    """PageRank (Brin & Page 1998), by networkx.

    Args:
        damping: probability of following an edge.
    """

    def __init__(self, damping: float = 0.85) -> None:
        self.damping = damping

    def key(self, data: Data) -> Tensor:
        ranks = nx.pagerank(to_networkx(data), alpha=self.damping, tol=1e-12, max_iter=1000)
        return torch.tensor([ranks[node] for node in range(data.num_nodes)], dtype=torch.float64)


@functional_transform("graphseq_core_number_key")
class CoreNumberKey(OrderKey):
    """Core number: the largest k whose k-core holds the node (Seidman 1983), by networkx."""

    def key(self, data: Data) -> Tensor:
        graph = to_networkx(data, to_undirected=True, remove_self_loops=True)
        cores = nx.core_number(graph)
        return torch.tensor([cores[node] for node in range(data.num_nodes)], dtype=torch.float64)


@functional_transform("graphseq_eigenvector_key")
class EigenvectorKey(OrderKey):
    """Eigenvector centrality (Bonacich 1972) inside each connected component, by networkx.

    The centralities of a component have unit norm; a lone node has 1.
    """

    def key(self, data: Data) -> Tensor:
        graph = to_networkx(data, to_undirected=True, remove_self_loops=True)
        key = np.ones(data.num_nodes)
        for component in nx.connected_components(graph):
            if len(component) > 2:
                for node, value in nx.eigenvector_centrality_numpy(graph.subgraph(component)).items():
                    key[node] = value
            elif len(component) == 2:
                key[list(component)] = 0.5**0.5
        return torch.from_numpy(key)
