"""Computing blocks again changes memory, and nothing else."""

from functools import partial

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

from graphseq.data import OrientEdges
from graphseq.graph_mamba import AddNeighbourhoodTokens, GraphMamba, RandomTies, gmn
from graphseq.nn import ResidualConv, recomputed
from graphseq.plstm import AddMultitree, PLSTMGraph
from graphseq.training.baselines import GPS, GatedGCN
from tests.graph_mamba.graphs import random_graph

GRAPHS = [random_graph(9), random_graph(1, 1), random_graph(12, 2)]


def _batch(transform=None):
    return Batch.from_data_list([graph if transform is None else transform(graph.clone()) for graph in GRAPHS])


def _model(make, recompute, **sizes):
    torch.manual_seed(1)
    return make(3, 2, edge_channels=2, channels=8, dropout=0.3, recompute=recompute, **sizes).double().train()


def _step(model, batch):
    """The loss, all gradients and all buffers after a step of training."""
    torch.manual_seed(2)
    needed = {key: batch[key] for key in model.needs if key in batch}
    loss = model(batch.x, batch.edge_index, batch.batch, batch.edge_attr, batch_size=3, **needed).square().sum()
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **gradients, **dict(model.named_buffers())}


@pytest.mark.parametrize(
    ("make", "transform"),
    [
        (partial(GraphMamba, ties=RandomTies(), state_size=4), None),
        (partial(gmn, m=1, s=2, state_size=4), AddNeighbourhoodTokens(1, 2, 2, seed=0)),
        (GatedGCN, None),
        (GPS, None),
        (partial(PLSTMGraph, heads=2), Compose([OrientEdges(), AddMultitree()])),
    ],
    ids=["random ties", "tokens", "GatedGCN", "GPS", "pLSTM"],
)
def test_a_step_is_the_same_to_the_last_bit(make, transform):
    """With dropout, orders by chance and running statistics."""
    batch = _batch(transform)
    kept = _step(_model(make, False), batch)
    again = _step(_model(make, True), batch)
    assert kept.keys() == again.keys()
    assert any(name.endswith("running_mean") for name in kept)
    for name, tensor in kept.items():
        assert torch.equal(tensor, again[name]), name


def test_less_is_kept_for_the_gradient():
    batch, sizes = _batch(), []
    for recompute in (False, True):
        model, kept = _model(GraphMamba, recompute, layers=6, state_size=4), {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, kept=kept: kept.update({tensor.data_ptr(): tensor.numel()}) or tensor, lambda tensor: tensor
        ):
            out = model(batch.x, batch.edge_index, batch.batch, batch.edge_attr, batch_size=3)
        sizes.append(sum(kept.values()))
        del out
    assert sizes[1] < sizes[0] / 5


def test_tokens_are_computed_again_once():
    """The encoder of tokens goes through them block by block, and again by itself."""
    batch = _batch(AddNeighbourhoodTokens(1, 2, 2, seed=0))
    model, calls = _model(partial(gmn, m=1, s=2, state_size=4), True), []
    stage = model.blocks[0]
    stage.block_size = 4
    stage.encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    _step(model, batch)
    assert len(calls) == 2 * -(-batch.num_nodes // 4)


def test_predictions_without_gradients_are_the_same():
    batch, model = _batch(), _model(GraphMamba, True, state_size=4).eval()
    with torch.no_grad():
        out = model(batch.x, batch.edge_index, batch.batch, batch.edge_attr, batch_size=3)
    model.recompute = False
    torch.testing.assert_close(
        model(batch.x, batch.edge_index, batch.batch, batch.edge_attr, batch_size=3), out, rtol=0, atol=0
    )


def test_a_failure_leaves_the_buffers_in_their_places():
    layer = ResidualConv(4, lambda *_: torch.nn.Identity()).double()
    passes = []

    def call(x):
        passes.append(1)
        if len(passes) == 2:
            raise RuntimeError("the second time")
        return layer.norm(x).relu()

    mean = layer.norm.module.running_mean
    out = recomputed(call, torch.randn(5, 4, dtype=torch.float64, requires_grad=True), owner=layer)
    with pytest.raises(RuntimeError, match="the second time"):
        out.sum().backward()
    assert layer.norm.module.running_mean is mean
