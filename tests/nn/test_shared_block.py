"""Blocks, and parts of them, that stand in a model more than once."""

import pytest
import torch

from graphseq.graph_mamba import GraphMamba, GraphMambaLayer
from graphseq.nn import GatedGCN, GraphModel

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 5, 2], [2, 2, 0, 0, 1, 1, 1, 5]])


def whole():
    layer = GraphMambaLayer(8, None, GatedGCN(8, norm="layer_norm"), norm="layer_norm")
    return GraphModel(3, 2, [layer, layer], channels=8), layer.local


def convolution():
    conv = GatedGCN(8, norm="layer_norm")
    return GraphMamba(3, 2, channels=8, layers=2, norm="layer_norm", local=lambda channels: conv), conv


@pytest.mark.parametrize("make", [whole, convolution])
def test_edges_that_a_later_place_reads_are_updated(make):
    model, conv = make()
    model(X, EDGES).square().sum().backward()
    assert conv.edge_norm is not None
    assert conv.edge_norm.weight.grad.abs().sum() > 0
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
