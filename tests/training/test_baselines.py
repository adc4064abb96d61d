"""Baselines on graphs of every sort."""

from __future__ import annotations

import pytest
import torch

from graphseq.training.baselines import GCN, GIN, GPS, GatedGCN

MODELS = [GCN, GIN, GatedGCN, GPS]
EDGE_INDEX = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
BATCH = torch.tensor([0, 0, 0, 1, 1, 2])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("level", "rows"), [("node", 6), ("graph", 3)])
def test_one_row_for_each_answer(model, level, rows):
    network = model(3, 2, level=level, channels=8, layers=2)
    assert network(torch.randn(6, 3), EDGE_INDEX, BATCH).shape == (rows, 2)


@pytest.mark.parametrize("model", MODELS)
def test_batching_changes_nothing(model):
    network = model(3, 2, channels=8, layers=2, edge_channels=2).eval()
    x, e = torch.randn(6, 3), torch.randn(6, 2)
    together = network(x, EDGE_INDEX, BATCH, e)
    alone = network(x[:3], EDGE_INDEX[:, :4], None, e[:4])
    # Float32 sums over padded rows (attention) may round apart.
    torch.testing.assert_close(together[:1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", [GIN, GatedGCN, GPS])
def test_edge_features_matter(model):
    network = model(3, 2, channels=8, layers=2, edge_channels=2).eval()
    x = torch.randn(6, 3)
    one, other = (network(x, EDGE_INDEX, BATCH, e) for e in torch.randn(2, 6, 2))
    assert not torch.allclose(one[:2], other[:2])


@pytest.mark.parametrize("model", MODELS)
def test_graphs_without_edges_and_deep_stacks_pass(model):
    network = model((5, 3), 1, channels=8, layers=7, edge_channels=(2,))
    x, none = torch.zeros(4, 2, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long)
    out = network(x, none, torch.tensor([0, 1, 2, 3]), torch.zeros(0, 1, dtype=torch.long))
    assert out.isfinite().all()


def test_attention_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"channels must be a multiple of heads \(4\), got 6"):
        GPS(3, 2, channels=6, heads=4)
