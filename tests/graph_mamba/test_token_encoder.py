"""A token's vector depends on that token alone, and its features are what the paper lists."""

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.utils import subgraph

from graphseq.graph_mamba import (
    AddTokenWalks,
    SubgraphEncoder,
    WalkEncoder,
    neighbourhood_tokens,
)
from tests.graph_mamba.graphs import edgeless_graph, random_graph

CHANNELS = 6


def _inputs(graph):
    x = torch.randn(graph.num_nodes, CHANNELS, dtype=torch.float64)
    return x, torch.randn(graph.num_edges, CHANNELS, dtype=torch.float64)


@pytest.mark.parametrize("readout", ["root", "mean", "sum", "root_mean"])
def test_a_token_is_encoded_as_if_it_stood_alone(readout):
    """The same layers on PyG's own subgraph of each token."""
    graph = random_graph(11)
    x, e = _inputs(graph)
    encoder = SubgraphEncoder(CHANNELS, layers=2, readout=readout).double()
    tokens = neighbourhood_tokens(graph.edge_index, 11, 2, 3, 2, generator=torch.Generator())
    out = encoder(x, e, tokens).detach()
    assert out.shape == (11, 5, CHANNELS)
    for token in range(tokens.num_tokens):
        root = token // 5
        nodes = tokens.member[tokens.ptr[token] : tokens.ptr[token + 1]]
        edge_index, attr = subgraph(nodes, graph.edge_index, e, relabel_nodes=True, num_nodes=11)
        h = x[nodes]
        for layer in encoder.layers:
            h, attr = layer(h, edge_index, attr)
        at_root = h[(nodes == root).nonzero().item()]
        if readout == "root_mean":
            expected = encoder.joint(torch.cat([at_root, h.mean(0)]))
        else:
            expected = {"root": at_root, "mean": h.mean(0), "sum": h.sum(0)}[readout]
        torch.testing.assert_close(out[root, token % 5], expected, rtol=1e-10, atol=1e-10)


def test_walk_features_are_nodes_edges_identities_and_adjacencies():
    """Against a loop over every place of every walk."""
    graph = random_graph(8, 2)
    x, e = _inputs(graph)
    encoder = WalkEncoder(CHANNELS, m=5, M=2, s=2, window=3).double()
    data = AddTokenWalks(5, 2, 2, seed=0)(graph)
    tokens = encoder.read({"token_walk": data.token_walk}, graph.edge_index, 8)
    assert [tuple(walk.shape) for walk in tokens.walks] == [(8, 2, 2, n) for n in (6, 5, 4, 3, 2)] + [(8, 1, 1, 1)]
    pairs = {tuple(edge): column for column, edge in enumerate(graph.edge_index.t().tolist())}
    walk = tokens.walks[0].flatten(0, 2)
    features = encoder.features(x, e, walk, tokens)
    for row, path in enumerate(walk.tolist()):
        for i, node in enumerate(path):
            step = (path[i - 1], node) if i else None
            same = [float(i >= j and node == path[i - j]) for j in (1, 2, 3)]
            near = [float(i >= j and (node, path[i - j]) in pairs) for j in (2, 3)]
            edge = e[pairs[step]] if step in pairs else torch.zeros(CHANNELS)
            expected = torch.cat([x[node], edge, torch.tensor(same + near)])
            assert torch.equal(features[row, i], expected)


@pytest.mark.parametrize("nested", [False, True])
def test_stored_walks_begin_one_another_where_they_are_nested(nested):
    stored = AddTokenWalks(3, 2, 1, nested=nested)(random_graph(9)).token_walk
    longest, middle = stored[:, :8].view(9, 2, 4), stored[:, 8:14].view(9, 2, 3)
    assert torch.equal(middle, longest[..., :3]) == nested


def test_walk_vectors_are_means_over_walks_and_ordered_like_tokens():
    graph = random_graph(7)
    x, e = _inputs(graph)
    encoder = WalkEncoder(CHANNELS, m=2, M=3, s=2).double()
    data = AddTokenWalks(2, 3, 2)(graph)
    tokens = encoder.read({"token_walk": data.token_walk}, graph.edge_index, 7)
    out = encoder(x, e, tokens)
    assert out.shape == (7, 5, CHANNELS)
    one = encoder.features(x, e, tokens.walks[1][4, 1], tokens).transpose(1, 2)
    for layer in encoder.layers:
        one = torch.nn.functional.gelu(layer(one))
    torch.testing.assert_close(out[4, 3], one.mean((0, 2)))


def test_walks_batch_like_their_graphs():
    graphs = [random_graph(6), edgeless_graph(2), edgeless_graph(0), random_graph(5, 1)]
    encoder = WalkEncoder(CHANNELS, m=2, M=3, s=2).double()
    alone = [AddTokenWalks(2, 3, 2, seed=0)(graph) for graph in graphs]
    batch = Batch.from_data_list(alone)
    x, e = _inputs(batch)
    together = encoder(x, e, encoder.read(batch.to_dict(), batch.edge_index, batch.num_nodes))
    nodes, edges = batch.ptr.tolist(), [0, *torch.tensor([graph.num_edges for graph in graphs]).cumsum(0).tolist()]
    parts = [
        encoder(
            x[nodes[i] : nodes[i + 1]],
            e[edges[i] : edges[i + 1]],
            encoder.read(data.to_dict(), data.edge_index, data.num_nodes),
        )
        for i, data in enumerate(alone)
    ]
    torch.testing.assert_close(together, torch.cat(parts), rtol=1e-10, atol=1e-10)


def test_wrong_arguments_are_named(unchecked):
    with pytest.raises(ValueError, match="readout must be 'root', 'mean', 'sum' or 'root_mean', got 'max'"):
        SubgraphEncoder(4, readout="max")
    with pytest.raises(ValueError, match="kernel_size must be odd, got 4"):
        WalkEncoder(4, m=1, M=1, s=1, kernel_size=4)
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        WalkEncoder(4, m=1, M=1, s=1, window=0)
    data = AddTokenWalks(2, 1, 1)(random_graph(3))
    with pytest.raises(
        ValueError, match=r"token_walk must have shape \[3, 9\], or a multiple .* \(see AddTokenWalks\), got \[3, 5\]"
    ):
        WalkEncoder(4, m=3, M=1, s=1).read(data.to_dict(), data.edge_index, 3)
