"""Transforms that give each node its importance, the key by which Graph Mamba sorts nodes."""

from __future__ import annotations

import abc
import random
from collections.abc import Iterable

import networkx as nx
import numpy as np
import torch
from scipy.sparse.csgraph import shortest_path
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import degree, to_networkx

from graphseq.data.laplacian import lowest_eigenpairs
from graphseq.data.validate import edges_of
from graphseq.graph_mamba.ordering import canonical_colour


class OrderKey(BaseTransform, abc.ABC):
    """Store a key of importance as ``data.order_key``, ``[num_nodes]``, float64.

    Keys are rounded to ten digits, so that nodes which are equal by symmetry are equal in the computer too, however
    the nodes are numbered. A key of your own needs no class: store it under that name.
    """

    def forward(self, data: Data) -> Data:
        """``data`` with the key.

        Raises:
            ValueError: if it has no edges between nodes that are there.
            TypeError: if it is no ``Data``, or its edges are no dense tensor.
        """
        edges_of(data)
        key = self.key(data)
        rounded = torch.tensor([float(f"{value:.10g}") for value in key.flatten().tolist()], dtype=torch.float64)
        data.order_key = rounded.view(key.shape)
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

    Raises:
        ValueError: if ``damping`` is not in [0, 1].
    """

    def __init__(self, damping: float = 0.85) -> None:
        if not 0 <= damping <= 1:
            raise ValueError(f"damping must be in [0, 1], got {damping}")
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


@functional_transform("graphseq_depth_first_key")
class DepthFirstKey(OrderKey):
    """Place in a depth-first walk that enters small branches first, as a SMILES string writes a molecule.

    Atoms of a side chain then stand together, and the side chains of a polymer follow one another along it. The walk
    starts at a node of greatest eccentricity. Of several, and of several branches of one size, it takes the first by
    colour (see :func:`canonical_colour`), at the start the one that two steps around the node give, so that a group of
    atoms at the ends of many molecules starts them all. The size of a branch is what hangs below it in the tree of
    shortest paths from the start. Components follow one another from the smallest to the largest. Graph Mamba's authors
    do not try it; what is important then is no longer last.

    ``samples`` adds walks that start anywhere and enter branches at random, as randomised SMILES strings do
    (Bjerrum 2017), so that a scan cannot learn graphs by heart. ``data.order_key`` then is
    ``[num_nodes, 1 + samples]``: training takes a column at random in each step, evaluation the first.

    Args:
        samples: number of further walks.
        seed: of those.

    Raises:
        ValueError: if ``samples`` is negative.

    Cost: a component of n nodes takes O(n^2) memory, for the distances between all of them.
    """

    def __init__(self, samples: int = 0, seed: int = 0) -> None:
        if samples < 0:
            raise ValueError(f"samples must be at least 0, got {samples}")
        self.samples, self.seed = samples, seed

    def key(self, data: Data) -> Tensor:
        graph = to_networkx(data, to_undirected=True, remove_self_loops=True)
        generator = random.Random(self.seed)
        orders = [_small_first_order(graph, data), *(_random_order(graph, generator) for _ in range(self.samples))]
        keys = torch.empty(data.num_nodes, len(orders), dtype=torch.float64)
        for column, order in enumerate(orders):
            keys[order, column] = torch.arange(data.num_nodes, dtype=torch.float64)
        return keys if self.samples else keys[:, 0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(samples={self.samples}, seed={self.seed})"


def _small_first_order(graph: nx.Graph, data: Data) -> list[int]:
    """All nodes, component by component."""
    x = torch.zeros(data.num_nodes, 1) if data.x is None else data.x
    near, far = (canonical_colour(x, data.edge_index, rounds=rounds).tolist() for rounds in (2, 16))
    colours = list(zip(near, far, strict=True))
    walks = [_small_first_walk(graph.subgraph(part), colours) for part in nx.connected_components(graph)]
    walks.sort(key=lambda walk: (len(walk), [colours[node] for node in walk]))
    return [node for walk in walks for node in walk]


def _small_first_walk(part: nx.Graph, colours: list[tuple[int, int]]) -> list[int]:
    """The nodes of a component, depth first."""
    nodes = list(part)
    distances = shortest_path(nx.to_scipy_sparse_array(part, nodes), unweighted=True)
    start = min(range(len(nodes)), key=lambda row: (-distances[row].max(), colours[nodes[row]], distances[row].sum()))
    depth = dict(zip(nodes, distances[start].tolist(), strict=True))
    below = dict.fromkeys(nodes, 1)
    for node in sorted(nodes, key=depth.__getitem__, reverse=True):
        nearer = [other for other in part[node] if depth[other] < depth[node]]
        if nearer:
            below[min(nearer, key=colours.__getitem__)] += below[node]

    def small_first(branches: Iterable[int]) -> list[int]:
        return sorted(branches, key=lambda node: (below[node], colours[node]))

    return list(nx.dfs_preorder_nodes(part, nodes[start], sort_neighbors=small_first))


def _random_order(graph: nx.Graph, generator: random.Random) -> list[int]:
    """All nodes, depth first, starts and branches at random."""

    def shuffled(nodes: Iterable[int]) -> list[int]:
        listed = list(nodes)
        return generator.sample(listed, len(listed))

    walk: dict[int, None] = {}
    for start in shuffled(graph):
        if start not in walk:
            walk.update(dict.fromkeys(nx.dfs_preorder_nodes(graph, start, sort_neighbors=shuffled)))
    return list(walk)
