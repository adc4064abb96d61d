"""Eigenpairs of the Laplacian against its definition."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.utils import erdos_renyi_graph, grid

from graphseq.data import AddLaplacianPE, laplacian


def _laplacian(edge_index: torch.Tensor, nodes: int) -> torch.Tensor:
    """Written out, from undirected edges."""
    matrix = torch.zeros(nodes, nodes)
    for u, v in edge_index.t().tolist():
        if u != v:
            matrix[u, v] = matrix[v, u] = -1
    return matrix - torch.diag(matrix.sum(1))


def test_pairs_are_the_lowest_of_the_laplacian_whatever_the_edges_directions():
    torch.manual_seed(0)
    edge_index = erdos_renyi_graph(9, 0.4)
    loose = torch.cat([edge_index[:, edge_index[0] < edge_index[1]], torch.tensor([[3, 3], [3, 3]])], dim=1)
    matrix = _laplacian(edge_index, 9)
    for edges in (edge_index, loose):
        pairs = AddLaplacianPE(4)(Data(edge_index=edges, num_nodes=9)).laplacian_pe
        vectors, values = pairs.unbind(-1)
        assert (values == values[0]).all()
        torch.testing.assert_close(values[0], torch.linalg.eigvalsh(matrix)[:4], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(matrix @ vectors, vectors * values, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(vectors.t() @ vectors, torch.eye(4), rtol=1e-5, atol=1e-5)


def test_a_sparse_decomposition_finds_the_same(monkeypatch):
    edge_index, _ = grid(7, 5)
    graph = Data(edge_index=edge_index, num_nodes=35)
    dense = AddLaplacianPE(6)(graph.clone()).laplacian_pe
    monkeypatch.setattr(laplacian, "_DENSE_UP_TO", 10)
    sparse = AddLaplacianPE(6)(graph.clone()).laplacian_pe
    assert torch.equal(sparse, AddLaplacianPE(6)(graph.clone()).laplacian_pe)
    torch.testing.assert_close(sparse[..., 1], dense[..., 1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sparse[..., 0].abs(), dense[..., 0].abs(), rtol=1e-4, atol=1e-5)


def test_small_graphs_lack_pairs_and_batch_with_others():
    none = torch.zeros(2, 0, dtype=torch.int64)
    graphs = [AddLaplacianPE(3)(Data(edge_index=none, num_nodes=nodes)) for nodes in (0, 1, 4)]
    assert graphs[1].laplacian_pe[0, 0].abs().tolist() == [1, 0]
    assert graphs[1].laplacian_pe[:, 1:].isnan().all()
    assert Batch.from_data_list(graphs).laplacian_pe.shape == (5, 3, 2)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        AddLaplacianPE(0)
    with pytest.raises(ValueError, match="data must have an edge_index"):
        AddLaplacianPE(2)(Data(x=torch.zeros(3, 1)))
