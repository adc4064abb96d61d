"""Baselines on graphs of every sort."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphseq.training.baselines import GCN, GIN, GPS, SAGE, GatedGCN
from graphseq.training.forecasters import DLinear, ITransformer, PatchTST, VariateMamba
from graphseq.training.vision import ViT

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


def _without_gradient(network: nn.Module, *inputs, **keywords) -> list[str]:
    network(*inputs, **keywords).sum().backward()
    return [name for name, parameter in network.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("model", [*MODELS, SAGE])
@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize("edge_index", [EDGE_INDEX, EDGE_INDEX[:, :0]])
@pytest.mark.parametrize("level", ["node", "graph", "edge"])
def test_every_parameter_of_a_graph_network_gets_a_gradient(model, edges, edge_index, level):
    """Processes that train together refuse one that gets none."""
    network = model(3, 2, channels=8, layers=2, level=level, edge_channels=2 if edges else None)
    edge_attr = torch.randn(edge_index.shape[1], 2) if edges else None
    pairs = {"edge_label_index": EDGE_INDEX} if level == "edge" else {}
    assert _without_gradient(network, torch.randn(6, 3), edge_index, BATCH, edge_attr, **pairs) == []


@pytest.mark.parametrize("make", [DLinear, VariateMamba, ITransformer, PatchTST])
def test_every_parameter_of_a_forecaster_gets_a_gradient(make):
    if make is PatchTST:
        pytest.importorskip("transformers")
    assert _without_gradient(make(32, 4, 2), torch.randn(3, 2, 32)) == []


def test_every_parameter_of_an_image_network_gets_a_gradient():
    assert _without_gradient(ViT(1, 2, channels=8, patch=4, image=8), torch.randn(2, 1, 8, 8)) == []


@pytest.mark.parametrize("model", [GCN, SAGE])
def test_weights_from_when_unread_edges_were_encoded_are_read(model):
    network = model(3, 2, channels=8, layers=2)
    stored = network.state_dict()
    assert not any("edge_encoder" in key for key in stored)
    again = model(3, 2, channels=8, layers=2)
    again.load_state_dict({**stored, "edge_encoder.weight": torch.zeros(8, 1), "edge_encoder.bias": torch.zeros(8)})
    x = torch.randn(6, 3)
    assert network.eval()(x, EDGE_INDEX, BATCH).equal(again.eval()(x, EDGE_INDEX, BATCH))
    with pytest.raises(RuntimeError, match="Unexpected key"):
        again.load_state_dict({**stored, "another": torch.zeros(1)})
