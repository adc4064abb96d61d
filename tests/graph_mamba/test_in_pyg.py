"""Graph Mamba among PyG's own tools: explainers, and training on several processes."""

from functools import partial

import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GINEConv, SAGEConv
from torch_geometric.nn.models import MLP

from graphseq.graph_mamba import GraphMamba
from graphseq.nn import ResidualConv
from graphseq.sequence import DeltaNet

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
PATH = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])


def gine(channels, _):
    return GINEConv(MLP([channels, channels]))


MODELS = {
    "graph": {},
    "node": {"level": "node"},
    "one layer": {"layers": 1},
    "with edge features": {"edge_channels": 2},
    "no messages": {"local": False},
    "messages that read no edges": {"local": partial(ResidualConv, conv=SAGEConv)},
    "messages that read edges": {"local": partial(ResidualConv, conv=gine, edges=True)},
    "scans in every second layer": {"layers": 4, "scan_every": 2},
    "one way": {"bidirectional": "alternating"},
    "layer norm": {"norm": "layer_norm"},
    "sums normalised": {"norm_first": False},
    "no feed-forward blocks": {"feed_forward": 0},
    "delta rule": {"block": DeltaNet, "state_size": None, "expand": None, "conv_size": None},
    "computed again": {"recompute": True},
}


def make(name):
    return GraphMamba(3, 2, **{"channels": 8, "layers": 2, **MODELS[name]})


@pytest.mark.parametrize("edges", [PATH, PATH[:, :0]], ids=["path", "no edges"])
@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_a_gradient(name, edges):
    """DistributedDataParallel waits for the gradient of each."""
    model = make(name)
    edge_attr = torch.rand(edges.shape[1], 2) if "edge_channels" in MODELS[name] else None
    model(X, edges, torch.tensor([0, 0, 0, 1, 1, 1]), edge_attr).square().sum().backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["graph", "no messages", "messages that read no edges"])
def test_weights_from_before_parts_were_left_out_still_load(name):
    model = make(name)
    state = model.state_dict()
    extra = {"edge_encoder.weight": torch.ones(8, 1), "edge_encoder.bias": torch.ones(8)}
    if name == "graph":
        extra = {f"blocks.1.local.edge_norm.{part}": torch.ones(8) for part in ("weight", "bias", "running_mean")}
    model.load_state_dict({**state, **extra})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        model.load_state_dict({**state, "something.else": torch.ones(1)})


@pytest.mark.parametrize("name", ["node", "messages that read no edges", "messages that read edges"])
def test_explainers_find_the_edges(name):
    model = GraphMamba(3, 2, channels=8, layers=1, **{**MODELS[name], "level": "node"}).eval()
    explainer = Explainer(
        model,
        GNNExplainer(epochs=3),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    plain = model(X, PATH)
    found = explainer(X, PATH)
    assert found.edge_mask.shape == (5,)
    assert (found.edge_mask > 0).all()
    # Nothing is left behind.
    torch.testing.assert_close(model(X, PATH), plain, rtol=0, atol=0)
