"""PyG's explainers on every graph model: a mask of edges acts, and on what it should."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from graphseq.data import AddLineGraph
from graphseq.graph_mamba import GraphMamba
from graphseq.plstm import AddMultitree, PLSTMGraph
from graphseq.spen import SPEN, AddEgoNetworks
from graphseq.training.baselines import GCN, GPS

# A path of five nodes, and beside it one of three.
EDGES = torch.tensor([[0, 1, 2, 3, 5, 6], [1, 2, 3, 4, 6, 7]])
DATA = Data(x=torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), edge_index=EDGES)
MODELS = {
    "GraphMamba": (lambda: GraphMamba(3, 2, channels=8, layers=1, level="node"), None),
    "PLSTMGraph": (lambda: PLSTMGraph(3, 2, channels=8, layers=1, heads=2, level="node"), AddMultitree()),
    "PLSTMGraph, propagation": (
        lambda: PLSTMGraph(3, 2, channels=8, layers=2, heads=2, level="node", modes=("P",)),
        AddLineGraph(),
    ),
    "SPEN": (lambda: SPEN(3, 2, channels=8, layers=1, level="node"), AddEgoNetworks()),
    "GCN": (lambda: GCN(3, 2, channels=8, layers=1, level="node"), None),
    "GPS": (lambda: GPS(3, 2, channels=8, layers=1, heads=2, level="node"), None),
}


def made(name):
    make, transform = MODELS[name]
    torch.manual_seed(0)
    model, data = make().eval(), DATA.clone()
    data = data if transform is None else transform(data)
    structure = {key: data[key] for key in getattr(model, "needs", ()) if key in data}
    if name == "SPEN":
        structure = {key: data[key] for key in ("ego_index", "ego_size")}
    return model, structure


@pytest.mark.parametrize("name", MODELS)
def test_a_mask_of_ones_changes_nothing_and_one_of_zeros_something(name):
    model, structure = made(name)
    plain = model(DATA.x, EDGES, **structure)
    set_masks(model, torch.ones(6), EDGES, apply_sigmoid=False)
    torch.testing.assert_close(model(DATA.x, EDGES, **structure), plain, rtol=1e-6, atol=1e-6)
    set_masks(model, torch.zeros(6), EDGES, apply_sigmoid=False)
    assert not torch.allclose(model(DATA.x, EDGES, **structure), plain)
    clear_masks(model)
    torch.testing.assert_close(model(DATA.x, EDGES, **structure), plain, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["PLSTMGraph", "SPEN", "GCN"])
def test_a_masked_edge_changes_its_own_graph_alone(name):
    model, structure = made(name)
    plain = model(DATA.x, EDGES, **structure)
    set_masks(model, torch.tensor([1.0, 0, 1, 1, 1, 1]), EDGES, apply_sigmoid=False)
    changed = (model(DATA.x, EDGES, **structure) - plain).abs().amax(1) > 1e-9
    clear_masks(model)
    assert changed[2]
    assert not changed[5:].any()


def test_a_masked_edge_of_a_line_graph_holds_nothing_and_passes_nothing_on():
    model, structure = made("PLSTMGraph, propagation")
    # Without the last layer, which runs against the edges: what lies before the edge does not change.
    model.blocks = model.blocks[:-1]
    plain = model(DATA.x, EDGES, **structure)
    set_masks(model, torch.tensor([1.0, 0, 1, 1, 1, 1]), EDGES, apply_sigmoid=False)
    changed = (model(DATA.x, EDGES, **structure) - plain).abs().amax(1) > 1e-9
    clear_masks(model)
    assert changed[2:5].all()
    assert not changed[:2].any()


@pytest.mark.parametrize("name", MODELS)
def test_explainers_find_the_edges(name):
    model, structure = made(name)
    explainer = Explainer(
        model,
        GNNExplainer(epochs=2),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    found = explainer(DATA.x, EDGES, **structure)
    assert found.edge_mask.shape == (6,)
    assert (found.edge_mask > 0).any()
