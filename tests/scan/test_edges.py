"""Topologies whose states are edges: the line graph, and the incidence graph that stands in for it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import incidence_graph, line_graph, linear_scan, use_backend
from tests.scan.test_dag import FAST, random_dag

OPERATION = "dag_scan"


def _gates(topology, channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = (topology.num_links, topology.num_states, topology.num_links, topology.num_links)
    last = (1, 1, 1, channels)
    return [
        torch.randn(size, width, generator=generator, dtype=torch.float64).requires_grad_()
        for size, width in zip(sizes, last, strict=True)
    ]


def _with_gradients(states, inputs):
    weight = torch.linspace(-1, 1, states.numel(), dtype=torch.float64).view(states.shape)
    value = (states * weight).sum() + sum(0 * x.sum() for x in inputs)
    return [states, *torch.autograd.grad(value, inputs)]


@pytest.mark.parametrize("backend", ["reference", *FAST])
@given(size=st.integers(0, 12), links=st.integers(0, 25), reverse=st.booleans())
@settings(max_examples=30, deadline=None)
def test_incidence_graph_is_the_line_graph_with_products_of_gates(backend, size, links, reverse):
    nodes = random_dag(size, links)
    edges, num_edges = nodes.edge_index, nodes.num_links
    source_gate, transition, target_gate, source = inputs = _gates(nodes, 3)
    lines, incidence = line_graph(edges, size), incidence_graph(edges, size)
    earlier, later = lines.link_index
    products = source_gate[later] * transition[edges[0, later]] * target_gate[earlier]
    with use_backend(backend):
        expected = _with_gradients(linear_scan(products, source, lines, reverse=reverse), inputs)
        decay = incidence.decay(source_gate, transition, target_gate)
        states = linear_scan(decay, incidence.source(source), incidence, reverse=reverse)[:num_edges]
    for a, b in zip(expected, _with_gradients(states, inputs), strict=True):
        # Relative to the largest entry: sums over many paths grow.
        scale = max(1.0, a.abs().max().item() if a.numel() else 1.0)
        torch.testing.assert_close(b, a, rtol=0, atol=1e-12 * scale)


def test_incidence_graph_numbers_edges_then_nodes():
    topology = incidence_graph(torch.tensor([[0, 0, 1], [1, 2, 2]]), 4)
    assert topology.num_states == 7
    into, out = topology.edge_index.split(3, 1)
    assert into.tolist() == [[0, 1, 2], [4, 5, 5]]
    assert out.tolist() == [[3, 3, 4], [0, 1, 2]]


def test_incidence_graph_of_a_star_is_linear_in_its_edges(backend):
    """A line graph would have a million links through the middle."""
    outer = torch.arange(1, 1001)
    middle = torch.zeros_like(outer)
    edges = torch.stack([torch.cat([outer, middle]), torch.cat([middle, outer + 1000])])
    topology = incidence_graph(edges, 2001)
    assert (topology.num_states, topology.num_links) == (2000 + 2001, 2 * 2000)
    ones = torch.ones(2000, 1, dtype=torch.float64)
    decay = topology.decay(ones, torch.ones(2001, 1, dtype=torch.float64), ones)
    states = linear_scan(decay, topology.source(ones), topology)
    torch.testing.assert_close(states[:2000, 0], torch.cat([torch.ones(1000), torch.full((1000,), 1001.0)]).double())
    kept = [x for x in vars(topology.schedule).values() if isinstance(x, torch.Tensor)]
    assert sum(x.numel() for x in kept) <= 10 * (topology.num_states + topology.num_links)


@pytest.mark.parametrize("make", [line_graph, incidence_graph])
def test_the_graph_itself_is_remembered_in_its_own_direction(make):
    edges = torch.tensor([[0, 1], [1, 2]])
    for topology in (make(edges, 3), make(edges, 3).reverse(), make(edges, 3).to("cpu")):
        assert torch.equal(topology.node_edge_index, edges)
        assert topology.num_nodes == 3


@pytest.mark.parametrize("make", [line_graph, incidence_graph])
def test_known_order_needs_no_search(make, monkeypatch):
    edges = random_dag(10, 25).edge_index
    known = make(edges, 10)
    order = known.order
    monkeypatch.setattr("graphseq.scan.schedule.connected_components", None)
    assert torch.equal(type(known)(edges, 10, order=order).order.state, order.state)
