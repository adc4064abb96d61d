"""Encoders of positions: what GraphGPS computes from the same numbers, in every network of the harness."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import AddRandomWalkPE, Compose
from torch_geometric.utils import erdos_renyi_graph, to_dense_adj

from graphseq.data import AddLaplacianPE
from graphseq.graph_mamba import GraphMamba, gps_mamba
from graphseq.nn import LaplacianEncoder, RandomWalkEncoder
from graphseq.scan import Ragged
from graphseq.training.baselines import GCN, GIN, GPS, GatedGCN

SEGMENTS = Ragged(torch.tensor([0, 3, 5]))
NETWORKS = [GCN, GIN, GatedGCN, GPS, GraphMamba, gps_mamba]


def _graph(nodes: int, seed: int = 0) -> Data:
    torch.manual_seed(seed)
    return Data(x=torch.randn(nodes, 3), edge_index=erdos_renyi_graph(nodes, 0.4), num_nodes=nodes)


def test_a_walk_is_back_with_the_diagonal_of_a_power():
    graph = AddRandomWalkPE(5)(_graph(8))
    adjacency = to_dense_adj(graph.edge_index, max_num_nodes=8)[0]
    step = adjacency / adjacency.sum(1, keepdim=True).clamp(min=1)
    back = torch.stack([torch.linalg.matrix_power(step, power).diag() for power in range(1, 6)], dim=1)
    torch.testing.assert_close(graph.random_walk_pe, back)
    encoder = RandomWalkEncoder(4, steps=5)
    normal = (back - back.mean(0)) / (back.var(0, correction=0) + 1e-5).sqrt()
    expected = nn.functional.linear(normal, encoder.linear.weight, encoder.linear.bias)
    torch.testing.assert_close(encoder(graph.random_walk_pe, Ragged(torch.tensor([0, 8]))), expected)


def test_eigenpairs_are_encoded_one_by_one_and_added():
    encoder = LaplacianEncoder(4, frequencies=3).eval()
    encoding = torch.randn(5, 3, 2)
    encoding[3:, 2] = torch.nan
    (first, _), (second, _) = encoder.mlp
    rows = []
    for node in range(5):
        pairs = encoding[node, : 3 if node < 3 else 2]
        rows.append(sum(second(first(pair).relu()).relu() for pair in pairs))
    torch.testing.assert_close(encoder(encoding, SEGMENTS), torch.stack(rows))


def test_each_graph_gets_signs_of_its_own_in_training_alone():
    encoder = LaplacianEncoder(4, frequencies=2)
    # Of graphs that are alike, and all pairs but the first left out, one is either flipped or not.
    encoding = torch.tensor([0.5, 1.0]).expand(64, 1, 2).contiguous()
    encoding = torch.cat([encoding, torch.full_like(encoding, torch.nan)], dim=1)
    segments = Ragged(torch.arange(0, 65, 2))
    kept, flipped = (encoder.eval()(encoding * torch.tensor([sign, 1.0]), segments)[0] for sign in (1, -1))
    assert not torch.allclose(kept, flipped)
    out = encoder.train()(encoding, segments)
    is_kept, is_flipped = (torch.isclose(out, row).all(1) for row in (kept, flipped))
    assert (is_kept ^ is_flipped).all()
    assert is_kept.any()
    assert is_flipped.any()
    assert torch.equal(is_kept[::2], is_kept[1::2])


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_reads_several_encodings(network):
    torch.manual_seed(0)
    prepare = Compose([AddRandomWalkPE(4), AddLaplacianPE(3)])
    graphs = [prepare(_graph(nodes, nodes)) for nodes in (2, 9)]
    batch = Batch.from_data_list(graphs)
    ways = [partial(RandomWalkEncoder, steps=4), partial(LaplacianEncoder, frequencies=3)]
    model = network(3, 2, channels=8, layers=1, level="node", positional=ways).eval()
    assert {"random_walk_pe", "laplacian_pe"} <= set(model.needs)

    def run(data: Data, **change: torch.Tensor) -> torch.Tensor:
        encodings = {key: data[key] for key in ("random_walk_pe", "laplacian_pe")}
        return model(data.x, data.edge_index, data.batch, **{**encodings, **change})

    out = run(batch)
    for key in ("random_walk_pe", "laplacian_pe"):
        assert not torch.allclose(out, run(batch, **{key: 2 * batch[key]}))
    # Float32 sums over padded rows (attention) may round apart.
    torch.testing.assert_close(out, torch.cat([run(graph) for graph in graphs]), rtol=1e-4, atol=1e-5)


def test_the_gradient_is_finite_where_pairs_lack():
    graph = AddLaplacianPE(5)(_graph(3))
    encoder = LaplacianEncoder(4, frequencies=5)
    encoder(graph.laplacian_pe, Ragged(torch.tensor([0, 3]))).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_wrong_encodings_are_named():
    graph = _graph(5)
    model = GCN(3, 2, channels=8, positional=[RandomWalkEncoder])
    with pytest.raises(ValueError, match="random_walk_pe must be given, since the model was made to encode it"):
        model(graph.x, graph.edge_index)
    with pytest.raises(ValueError, match=r"random_walk_pe must have shape \[nodes, 20\], got \[5, 4\]"):
        model(graph.x, graph.edge_index, random_walk_pe=torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"laplacian_pe must have shape \[nodes, 3, 2\], got \[5, 4, 2\]"):
        LaplacianEncoder(4, frequencies=3)(torch.zeros(5, 4, 2), SEGMENTS)
    with pytest.raises(ValueError, match=r"positional must leave channels \(8\) to features, got 4 encoders"):
        GCN(3, 2, channels=8, positional=[RandomWalkEncoder] * 4)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        RandomWalkEncoder(4, steps=0)
