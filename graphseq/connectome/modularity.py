"""Communities of high modularity (Newman 2004): Louvain (Blondel et al. 2008) and Leiden (Traag et al. 2019)."""

from __future__ import annotations

import networkx as nx
import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from graphseq.connectome.matrix import by_size, checked
from graphseq.extras import MissingExtraError


def modularity(weights: Float[Tensor, "nodes nodes"], labels: Int[Tensor, " nodes"], resolution: float = 1.0) -> float:
    r"""How much weight lies within communities beyond what strengths alone would put there.

    .. math::
        Q = \frac{1}{2W} \sum_{ij} \Bigl(w_{ij} - \gamma \frac{s_i s_j}{2W}\Bigr) [c_i = c_j],
        \qquad 2W = \sum_i s_i, \quad s_i = \sum_j w_{ij}.

    Args:
        weights: symmetric and non-negative. The diagonal does not count.
        labels: community of each node.
        resolution: :math:`\gamma`; larger ones favour smaller communities.

    Returns:
        The modularity, at most 1; 0 for a graph without links.

    Raises:
        ValueError: if ``weights`` is not such a matrix.

    Example:
        >>> weights = torch.block_diag(torch.ones(3, 3), torch.ones(3, 3)).fill_diagonal_(0)
        >>> modularity(weights, torch.tensor([0, 0, 0, 1, 1, 1]))
        0.5
    """
    matrix = checked(weights)
    if not matrix.any():
        return 0.0
    communities = [np.flatnonzero(labels.cpu().numpy() == label).tolist() for label in labels.unique().tolist()]
    return nx.community.modularity(nx.from_numpy_array(matrix), communities, resolution=resolution)


class Louvain:
    """Communities of high :func:`modularity` by local moves and aggregation, from networkx.

    A node without links is a community of its own.

    Args:
        resolution: of the modularity.
        seed: the same seed gives the same communities.

    Example:
        >>> weights = torch.block_diag(torch.ones(3, 3), torch.ones(4, 4)).fill_diagonal_(0)
        >>> Louvain()(weights)
        tensor([1, 1, 1, 0, 0, 0, 0])

    Source: Blondel et al. (2008).
    """

    def __init__(self, resolution: float = 1.0, *, seed: int = 0) -> None:
        self.resolution, self.seed = resolution, seed

    def __repr__(self) -> str:
        return f"{type(self).__name__}(resolution={self.resolution}, seed={self.seed})"

    def __call__(self, weights: Float[Tensor, "nodes nodes"]) -> Int[Tensor, " nodes"]:
        """Community of each node, numbered from 0 in order of size."""
        return by_size(louvain_labels(checked(weights), self.resolution, self.seed))


class Leiden(Louvain):
    """Communities of high :func:`modularity` that are connected within, from leidenalg.

    Needs the extra ``graphseq[leiden]``: igraph and leidenalg, which are under the GPL.
    A node without links is a community of its own.

    Args:
        resolution: of the modularity.
        seed: the same seed gives the same communities.

    Raises:
        MissingExtraError: if igraph or leidenalg is not installed.

    Source: Traag, Waltman & van Eck (2019).
    """

    def __init__(self, resolution: float = 1.0, *, seed: int = 0) -> None:
        super().__init__(resolution, seed=seed)
        try:
            import igraph
            import leidenalg
        except ImportError as error:
            raise MissingExtraError("Leiden needs igraph and leidenalg: pip install 'graphseq[leiden]'") from error
        self._igraph, self._leidenalg = igraph, leidenalg

    def __call__(self, weights: Float[Tensor, "nodes nodes"]) -> Int[Tensor, " nodes"]:
        """Community of each node, numbered from 0 in order of size."""
        matrix = checked(weights)
        graph = self._igraph.Graph.Weighted_Adjacency(matrix, mode="undirected", loops="ignore")
        if not graph.ecount():
            return by_size(np.arange(len(matrix)))
        found = self._leidenalg.find_partition(
            graph,
            self._leidenalg.RBConfigurationVertexPartition,
            weights="weight",
            n_iterations=-1,
            seed=self.seed,
            resolution_parameter=self.resolution,
        )
        return by_size(np.array(found.membership))


def louvain_labels(weights: Float[np.ndarray, "nodes nodes"], resolution: float, seed: int) -> np.ndarray:
    """Community of each node."""
    graph = nx.from_numpy_array(weights)
    labels = np.empty(len(weights), int)
    for label, nodes in enumerate(nx.community.louvain_communities(graph, resolution=resolution, seed=seed)):
        labels[list(nodes)] = label
    return labels
