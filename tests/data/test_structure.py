"""Structure of several transforms on one graph, batched by the rule of each key."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from graphseq.data import AddDag, AddLineGraph, register_key
from graphseq.graph_mamba import AddNeighbourhoodTokens, AddTokenWalks, stored_tokens

TRANSFORMS = [
    AddNeighbourhoodTokens(2, 2, 1, seed=0),
    AddDag(),
    AddTokenWalks(2, 2, 1, seed=0),
    AddLineGraph(),
]


def _graphs(transforms: list) -> list[Data]:
    torch.manual_seed(0)
    graphs = []
    for nodes in (4, 0, 1, 6):
        pairs = torch.combinations(torch.arange(nodes)).t()
        data = Data(x=torch.randn(nodes, 2), edge_index=pairs, num_nodes=nodes)
        for transform in transforms:
            data = transform(data)
        graphs.append(data)
    return graphs


@pytest.mark.parametrize("order", [TRANSFORMS, TRANSFORMS[::-1]])
def test_a_graph_carries_all_at_once_whatever_came_first(order):
    together = Batch.from_data_list(_graphs(order))
    assert together.dag().depth == 6
    for transform in TRANSFORMS:
        alone = Batch.from_data_list(_graphs([transform]))
        for key in set(alone.keys()) - {"x", "edge_index", "num_nodes"}:
            assert torch.equal(together[key], alone[key]), key


def test_numbers_grow_by_what_they_count():
    graphs = _graphs(TRANSFORMS)
    batch = Batch.from_data_list(graphs)
    tokens = stored_tokens(batch, batch.num_nodes)
    # Edges between members name nodes and edges of the batch.
    assert torch.equal(batch.edge_index[:, tokens.edge_id], tokens.member[tokens.edge_index])
    nodes, shift = torch.tensor([4, 0, 1, 6]), torch.tensor([0, 4, 4, 5])
    expected = [graph.token_walk + int(by) for graph, by in zip(graphs, shift, strict=True)]
    assert torch.equal(batch.token_walk, torch.cat(expected))
    for graph, again, count in zip(graphs, batch.to_data_list(), nodes.tolist(), strict=True):
        assert again.num_nodes == count
        assert all(torch.equal(again[key], graph[key]) for key in ("token_walk", "token_member", "dag_state"))


@pytest.mark.slow
def test_a_process_that_starts_afresh_knows_the_keys():
    graphs = _graphs(TRANSFORMS)
    (batch,) = DataLoader(graphs, batch_size=4, num_workers=1, multiprocessing_context="spawn")
    expected = Batch.from_data_list(graphs)
    keys = [key for key in expected.keys() if key.startswith(("token", "dag", "line_graph"))]  # noqa: SIM118
    assert len(keys) == 14
    assert all(torch.equal(batch[key], expected[key]) for key in keys)


def test_a_key_has_one_rule():
    with pytest.raises(ValueError, match="key must not be registered twice, got 'token_member'"):
        register_key("token_member", lambda data: 0)


def test_a_class_with_rules_of_its_own_is_refused():
    class Other(Data):
        pass

    for transform in TRANSFORMS:
        with pytest.raises(TypeError, match="data must be a Data, got a Other, which has its own way to batch"):
            transform(Other(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=1))
