"""The nodes within some hops of each node, found once per graph and stored with it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from scipy.sparse import csr_matrix
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from graphseq.data.validate import edges_of

EGO_KEYS = ("ego_index", "ego_size")
"""The keys of a graph's ego networks: their members, one network after another, and how many each has."""


def ego_networks(
    edge_index: Int[Tensor, "2 edges"], num_nodes: int, hops: int = 1, max_size: int | None = None
) -> tuple[Int[Tensor, " members"], Int[Tensor, " nodes"]]:
    r"""All nodes within ``hops`` steps of each node, itself included; edges are walked both ways.

    Args:
        edge_index: edges.
        num_nodes: number of nodes.
        hops: :math:`k` of :math:`N_k[v]`.
        max_size: a node whose network would be larger takes the largest number of hops at which it is not, down to
            none: then it is alone. So a hub is seen from its neighbours, at a bounded cost, and which nodes are cut
            does not depend on how nodes are numbered. An edge between two such nodes is in no network.

    Returns:
        The members of each node's network in ascending order, network by network in the order of nodes, and the
        networks' sizes.

    Raises:
        ValueError: if ``hops`` is negative, ``max_size`` below 1, or an edge names a node that is not there.

    Example:
        >>> ego_networks(torch.tensor([[0, 1], [1, 2]]), 4)
        (tensor([0, 1, 0, 1, 2, 1, 2, 3]), tensor([2, 3, 2, 1]))

    Cost: that of ``hops`` sparse products of the adjacency with itself, on the host.
    """
    if hops < 0:
        raise ValueError(f"hops must be at least 0, got {hops}")
    if max_size is not None and max_size < 1:
        raise ValueError(f"max_size must be at least 1, got {max_size}")
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        low, high = int(edge_index.min()), int(edge_index.max())
        raise ValueError(f"edge_index must hold nodes in 0..{num_nodes - 1}, got values from {low} to {high}")
    source, target = edge_index.cpu().numpy()
    every = np.arange(num_nodes)
    rows, columns = np.concatenate([source, target, every]), np.concatenate([target, source, every])
    near = csr_matrix((np.ones(rows.size, dtype=bool), (rows, columns)), shape=(num_nodes, num_nodes))
    reached = csr_matrix((np.ones(num_nodes, dtype=bool), (every, every)), shape=near.shape)
    growing = np.ones(num_nodes, dtype=bool)
    for _ in range(hops):
        # Of truth values, whose sums cannot overflow: counts of walks can, and one that wraps to zero is no entry.
        further = csr_matrix(reached @ near)
        if max_size is None:
            reached = further
            continue
        growing &= np.diff(further.indptr) <= max_size
        reached = _rows_of(further, reached, growing)
    reached.sort_indices()
    members = torch.from_numpy(reached.indices.astype(np.int64)).to(edge_index.device)
    return members, torch.from_numpy(np.diff(reached.indptr).astype(np.int64)).to(edge_index.device)


def _rows_of(first: csr_matrix, second: csr_matrix, choose_first: np.ndarray) -> csr_matrix:
    keep_first = csr_matrix(first.multiply(choose_first[:, None]))
    keep_second = csr_matrix(second.multiply((~choose_first)[:, None]))
    return csr_matrix(keep_first + keep_second)


@functional_transform("add_ego_networks")
class AddEgoNetworks(BaseTransform):
    """Store the ego networks of a graph's nodes, for :class:`SPEN`.

    ===============  ===============  ==========================
    key              shape            grows in a batch by
    ===============  ===============  ==========================
    ``ego_index``    ``[members]``    ``num_nodes``
    ``ego_size``     ``[num_nodes]``  0
    ===============  ===============  ==========================

    PyG batches these keys by their names, so that data stay the class that they are. All else (the pairs, where they
    are transposed, which pairs of networks are the same pair of nodes) is derived once a batch by :class:`EgoNetworks`.
    What changes nodes or edges must come before the transform.

    Args:
        hops: see :func:`ego_networks`.
        max_size: see :func:`ego_networks`.

    Raises:
        ValueError: if a number is too small, or a graph has no ``edge_index``.

    Example:
        >>> from torch_geometric.data import Batch, Data
        >>> path = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> Batch.from_data_list([AddEgoNetworks()(path), AddEgoNetworks()(path)]).ego_index
        tensor([0, 1, 0, 1, 2, 1, 2, 3, 4, 3, 4, 5, 4, 5])
    """

    def __init__(self, hops: int = 1, max_size: int | None = None) -> None:
        self.hops, self.max_size = hops, max_size
        ego_networks(torch.zeros(2, 0, dtype=torch.long), 0, hops, max_size)  # wrong numbers are found here

    def forward(self, data: Data) -> Data:
        """``data`` with its ego networks."""
        edge_index = edges_of(data)
        data.ego_index, data.ego_size = ego_networks(edge_index, int(data.num_nodes or 0), self.hops, self.max_size)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hops={self.hops}, max_size={self.max_size})"
