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

from graphseq.data.laplacian import lowest_eigenpairs


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


@functional_transform("graphseq_fiedler_key")
class FiedlerKey(OrderKey):
    r"""Place along the graph: the entry of the Fiedler vector, the second eigenvector of the Laplacian (Fiedler 1973).

    Of all vectors :math:`f` of unit norm and zero mean it has the least :math:`\sum_{(u, v)} (f_u - f_v)^2`, so that
    nodes near in the graph are near in the order; on a path it is the order of the path. Graph Mamba's authors do not
    try it; what is important then is no longer last.

    The sign is the one that makes :math:`\sum_v f_v^3` positive, which does not depend on how nodes are numbered. Where
    that sum is zero (a graph that is its own mirror image) or the second eigenvalue is a repeated one, the order is one
    of several equally good ones. Components follow one another from the smallest to the largest, those of one size by
    their second eigenvalue.

    Cost: see :class:`~graphseq.data.AddLaplacianPE`.
    """

    def key(self, data: Data) -> Tensor:
        graph = to_networkx(data, to_undirected=True, remove_self_loops=True)
        parts = [_along(graph.subgraph(part)) for part in nx.connected_components(graph)]
        parts.sort(key=lambda part: part[0])
        key = torch.zeros(data.num_nodes, dtype=torch.float64)
        for place, (_, nodes, along) in enumerate(parts):
            # Entries of a unit vector lie within [-1, 1], so that components three apart do not mix.
            key[nodes] = 3 * place + along.round(decimals=10)
        return key


def _along(part: nx.Graph) -> tuple[tuple[int, float], list[int], Tensor]:
    """What a component is sorted by, its nodes, and their entries of the Fiedler vector."""
    nodes = sorted(part)
    if len(nodes) == 1:
        return (1, 0.0), nodes, torch.zeros(1, dtype=torch.float64)
    place = {node: row for row, node in enumerate(nodes)}
    edges = torch.tensor([(place[u], place[v]) for u, v in part.edges]).t()
    values, vectors = lowest_eigenpairs(edges, len(nodes), 2)
    fiedler = vectors[:, 1]
    return (len(nodes), float(f"{values[1]:.10g}")), nodes, fiedler * (1 if fiedler.pow(3).sum() >= 0 else -1)
