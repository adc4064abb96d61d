"""Eigenvectors of the graph Laplacian as positional encodings (Rampášek et al. 2022, GraphGPS)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import eigsh
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import get_laplacian, to_scipy_sparse_matrix, to_undirected

from graphseq.data.validate import edges_of

_DENSE_UP_TO = 2000
"""Nodes; a dense decomposition of that many takes about two seconds."""


@functional_transform("graphseq_laplacian_pe")
class AddLaplacianPE(BaseTransform):
    r"""Store the ``k`` lowest eigenpairs of the Laplacian :math:`D - A`: ``data.laplacian_pe``, ``[num_nodes, k, 2]``.

    Last axis: the node's entry in the eigenvector, which has unit norm, then the eigenvalue. A graph with fewer than
    ``k`` nodes has NaN in the pairs that it lacks. Directions, weights and repetitions of edges are ignored.

    This is GraphGPS's definition. PyG's ``AddLaplacianEigenvectorPE`` is another: its Laplacian is symmetrically
    normalised, it drops the first eigenvector, keeps no eigenvalues, fixes random signs when it is applied, and needs
    more than ``k`` nodes.

    An eigenvector's sign, and the basis of the eigenspace of a repeated eigenvalue, are arbitrary, hence may change
    with the numbering of the nodes.

    Args:
        k: number of eigenpairs, the trivial one included.

    Raises:
        ValueError: if ``k`` is below 1, or the data have no ``edge_index``.

    Cost: a dense decomposition, cubic in the number of nodes; above 2,000 nodes Lanczos iterations (ARPACK, from a
    fixed start) with a sparse factorisation, which is fast where the graph is nearly planar.

    Example:
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> AddLaplacianPE(4)(path).laplacian_pe[0, :, 1].round(decimals=4).abs()
        tensor([0., 1., 3., nan])
    """

    def __init__(self, k: int = 10) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k

    def forward(self, data: Data) -> Data:
        edge_index = edges_of(data)
        nodes = int(data.num_nodes or 0)
        pairs = torch.full((nodes, self.k, 2), torch.nan)
        if nodes:
            values, vectors = lowest_eigenpairs(edge_index, nodes, self.k)
            found = len(values)
            pairs[:, :found, 0], pairs[:, :found, 1] = vectors, values
        data.laplacian_pe = pairs.to(edge_index.device)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.k})"


def lowest_eigenpairs(
    edge_index: Tensor, num_nodes: int, k: int
) -> tuple[Float[Tensor, " found"], Float[Tensor, "num_nodes found"]]:
    """Eigenvalues, ascending, and eigenvectors of the Laplacian, in float64; fewer than ``k`` if there are no more."""
    laplacian = get_laplacian(to_undirected(edge_index.cpu(), num_nodes=num_nodes), num_nodes=num_nodes)
    matrix = to_scipy_sparse_matrix(*laplacian, num_nodes).astype(np.float64)
    if num_nodes <= max(_DENSE_UP_TO, k):
        values, vectors = torch.linalg.eigh(torch.from_numpy(matrix.toarray()))
        values, vectors = values[:k], vectors[:, :k]
    else:
        # Shifted below zero, the matrix has an inverse, whose largest eigenvalues Lanczos finds fast.
        start = np.random.default_rng(0).standard_normal(num_nodes)
        found = eigsh(matrix.tocsc(), k=k, sigma=-0.01, which="LM", v0=start)
        order = found[0].argsort()
        values, vectors = torch.from_numpy(found[0][order]), torch.from_numpy(found[1][:, order])
    return values.clamp(min=0), vectors
