"""Every parameter of every graph, sequence, image and series model gets a gradient, also where there is no edge.

Processes that train together wait for each; zeros will do, none will not.
"""

from functools import partial

import pytest
import torch
from torch_geometric.data import Data

from graphseq.chimera import (
    TPGN,
    TSM2,
    ChimeraClassifier,
    ChimeraForecaster,
    ChimeraReconstructor,
    ChimeraSeries,
)
from graphseq.graph_mamba import (
    AddNeighbourhoodTokens,
    AddTokenWalks,
    GraphMamba,
    NeighbourhoodEncoder,
    SubgraphEncoder,
    WalkEncoder,
    gmn,
    gmn_minus,
    gps_mamba,
    graph_mamba_wang,
)
from graphseq.plstm import AddMultitree, PLSTMGraph, PLSTMImage, PLSTMSequence
from graphseq.sequence import PathModel, SequenceModel
from graphseq.spen import SPEN, AddEgoNetworks, published_spen

PATH = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
BATCH = torch.tensor([0, 0, 0, 1, 1, 1])
TOKENS = AddNeighbourhoodTokens(m=2, M=2, s=2, seed=0)
WALKS = AddTokenWalks(m=2, M=2, s=2, seed=0)
SIZES = {"m": 2, "s": 2}


def with_tokens(encoder, **sizes):
    """Tokens alone."""
    tokens = partial(NeighbourhoodEncoder, s=2, encoder=partial(encoder, **sizes))
    return partial(GraphMamba, local=False, tokens=tokens)


GRAPH_MODELS = {
    "gmn": (partial(gmn, **SIZES), TOKENS),
    "gmn_minus": (partial(gmn_minus, **SIZES), TOKENS),
    "gps_mamba": (gps_mamba, None),
    "graph_mamba_wang": (graph_mamba_wang, None),
    "tokens, deep": (with_tokens(SubgraphEncoder, layers=2, readout="root_mean"), TOKENS),
    "tokens without messages": (with_tokens(SubgraphEncoder, layers=0), TOKENS),
    "walks": (with_tokens(WalkEncoder, m=2, M=2, s=2), WALKS),
    **{
        f"PLSTMGraph, {'then '.join(modes)}": (partial(PLSTMGraph, heads=2, modes=modes), AddMultitree())
        for modes in (("P", "D"), ("P",), ("P-in",), ("D",), ("P-released",), ("D-released",), ("P+D",))
    },
    "PLSTMSequence": (partial(PLSTMSequence, heads=2), None),
    "SPEN": (SPEN, AddEgoNetworks()),
    "SPEN, one layer": (partial(SPEN, layers=1), AddEgoNetworks()),
    "SPEN, sizes that no network has": (partial(SPEN, buckets=(1, 2, 9)), AddEgoNetworks()),
    "SPEN, a network at a time": (partial(SPEN, max_pairs=1), AddEgoNetworks()),
    "SPEN, concatenated": (partial(SPEN, combine="concat"), AddEgoNetworks()),
    "published_spen": (published_spen, AddEgoNetworks()),
}


def without_gradient(model, *inputs, **keywords):
    model(*inputs, **keywords).square().sum().backward()
    return [name for name, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("edge_channels", [None, 2], ids=["", "edge features"])
@pytest.mark.parametrize("edges", [PATH, PATH[:, :0]], ids=["path", "no edges"])
@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("name", GRAPH_MODELS)
def test_of_graphs(name, level, edges, edge_channels):
    make, transform = GRAPH_MODELS[name]
    sizes = {"channels": 8, "layers": 2, **getattr(make, "keywords", {})}
    model = make(3, 2, level=level, edge_channels=edge_channels, **sizes)
    data = Data(x=torch.randn(6, 3), edge_index=edges)
    data = data if transform is None else transform(data)
    needs = ("ego_index", "ego_size") if isinstance(model, SPEN) else model.needs
    edge_attr = None if edge_channels is None else torch.rand(edges.shape[1], 2)
    structure = {key: data[key] for key in needs if key in data}
    assert without_gradient(model, data.x, edges, BATCH, edge_attr, **structure) == []


OTHER_MODELS = {
    "PathModel": (lambda: PathModel(3, 2), (5, 3)),
    "SequenceModel": (lambda: SequenceModel(3, 2, channels=8), (2, 5, 3)),
    "PLSTMImage": (lambda: PLSTMImage(1, 3, channels=8, layers=2, heads=2, patch=2, image=8), (2, 1, 8, 8)),
    "TPGN": (lambda: TPGN(48, 24, 3), (2, 3, 48)),
    "TSM2": (lambda: TSM2(48, 24), (2, 3, 48)),
    "ChimeraClassifier": (lambda: ChimeraClassifier(4), (2, 3, 48)),
    "ChimeraForecaster": (lambda: ChimeraForecaster(48, 24), (2, 3, 48)),
    "ChimeraReconstructor": (lambda: ChimeraReconstructor(), (2, 3, 48)),
    "ChimeraSeries": (lambda: ChimeraSeries(3, 2), (48, 3)),
}


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_of_sequences_images_and_series(name):
    make, shape = OTHER_MODELS[name]
    assert without_gradient(make(), torch.randn(shape)) == []


@pytest.mark.parametrize("name", ["TPGN", "TSM2", "ChimeraClassifier", "ChimeraForecaster", "ChimeraReconstructor"])
def test_of_series_of_which_nothing_was_observed(name):
    make, shape = OTHER_MODELS[name]
    assert without_gradient(make(), torch.randn(shape), torch.zeros(shape, dtype=torch.bool)) == []
