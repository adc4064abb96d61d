"""Sums over networks as sparse matrices against the same sums network by network, and GraphNorm against PyG's."""

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.nn import GraphNorm

from graphseq.spen import EgoNetworks, InvariantReadout, MarkedRoot, MeanInjection, SPENLayer, Symmetric, ego_networks
from graphseq.spen.incidence import Incidence
from graphseq.spen.norm import Graphs, SortedGraphNorm
from tests.spen.graphs import assorted

EXACT = {"rtol": 1e-11, "atol": 1e-11}


class NetworkByNetwork:
    """The mean, but not by that name: the layer then takes every network's own copy of the state."""

    inside = MeanInjection.inside
    outside = MeanInjection.outside


def _layer(injection, **settings):
    torch.manual_seed(0)
    layer = SPENLayer((4, 3), 2, norm=False, injection=injection, **settings).double()
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter)
    return layer


@pytest.mark.parametrize("buckets", [(1,), (2, 4), (1, 2, 3, 5, 30)])
@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("group", [Symmetric("mean"), Symmetric("sum"), MarkedRoot("mean")])
@pytest.mark.parametrize("combine", ["concat", "sum"])
def test_sparse_sums_are_the_means_over_networks(buckets, hops, group, combine):
    """With gradients, on state that is not symmetric, in graphs with hubs, isolated nodes and several components."""
    batch = Batch.from_data_list(assorted())
    nets = EgoNetworks(*ego_networks(batch.edge_index, batch.num_nodes, hops), buckets)
    settings = {"buckets": len(buckets), "group": group, "combine": combine}
    fast, slow = _layer(MeanInjection(), **settings), _layer(NetworkByNetwork(), **settings)
    pair = torch.randn(nets.num_pairs, 4, dtype=torch.float64, requires_grad=True)
    node = torch.randn(nets.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    got, expected = fast(pair, node, nets), slow(pair, node, nets)
    towards = [torch.randn_like(part) for part in expected]
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, **EXACT)
    have = torch.autograd.grad(got, [pair, node, *fast.parameters()], towards)
    want = torch.autograd.grad(expected, [pair, node, *slow.parameters()], towards)
    for one, other in zip(have, want, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


@pytest.mark.parametrize("aggr", ["mean", "sum"])
def test_readout_from_the_state_is_the_readout_of_each_network(aggr, monkeypatch):
    batch = Batch.from_data_list(assorted())
    nets = EgoNetworks(*ego_networks(batch.edge_index, batch.num_nodes), (1, 3))
    readout = InvariantReadout((4, 3), 2, buckets=2, group=Symmetric(aggr)).double()
    pair, node = torch.randn(nets.num_pairs, 4).double(), torch.randn(nets.num_nodes, 3).double()
    got = readout(pair, node, nets)
    monkeypatch.setattr(Incidence, "serves", staticmethod(lambda x: False))
    torch.testing.assert_close(got, readout(pair, node, nets), **EXACT)


def test_second_derivatives_are_those_of_sums():
    nets = EgoNetworks(*ego_networks(torch.tensor([[0, 1], [1, 2]]), 3), (1, 3))
    torch.manual_seed(0)
    layer = SPENLayer((2, 0), 1, norm=False, buckets=2).double()
    pair = torch.randn(nets.num_pairs, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda pair: layer(pair, None, nets), (pair,))


def test_norm_of_sorted_rows_is_that_of_pyg():
    """A graph without rows, one of a single row, and the gradients of the weights."""
    batch, x = torch.tensor([0, 0, 0, 2, 3, 3]), torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    norm = SortedGraphNorm(4).double()
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    got, expected = norm.over(x, Graphs(batch, 4, x.dtype)), GraphNorm.forward(norm, x, batch, 4)
    torch.testing.assert_close(got, expected, **EXACT)
    towards = torch.randn_like(got)
    for one, other in zip(
        *(torch.autograd.grad(out, [x, *norm.parameters()], towards) for out in (got, expected)), strict=True
    ):
        torch.testing.assert_close(one, other, **EXACT)


def test_half_precision_takes_the_networks_one_by_one():
    nets = EgoNetworks(*ego_networks(torch.tensor([[0, 1], [1, 2]]), 3))
    layer = SPENLayer((4, 0), 2).bfloat16()
    pair, node = layer(torch.randn(nets.num_pairs, 4).bfloat16(), None, nets)
    assert pair.dtype == node.dtype == torch.bfloat16
