"""The order in which backends visit a directed acyclic graph."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import Dag, DagOrder, linear_scan, schedule, use_backend
from tests.scan.test_dag import FAST, random_dag


def _assert_in_order(topology):
    state, link, component, _ = topology.order
    count, (sender, receiver) = topology.num_states, topology.edge_index
    assert torch.equal(state.sort().values, torch.arange(count))
    assert torch.equal(link.sort().values, torch.arange(topology.num_links))
    place = state.argsort()
    assert (place[sender] < place[receiver]).all()
    # Grouped by the receiver's place, in the order of their numbers within a group.
    assert torch.equal(link, place[receiver].argsort(stable=True))
    assert component.sum() == count
    of_place = torch.arange(len(component)).repeat_interleave(component)
    assert torch.equal(of_place[place[sender]], of_place[place[receiver]])


def _longest_paths(topology):
    """Relaxed until nothing changes (Bellman 1958)."""
    found = [0] * topology.num_states
    for _ in range(topology.num_states):
        for sender, receiver in topology.edge_index.t().tolist():
            found[receiver] = max(found[receiver], found[sender] + 1)
    return found


@given(size=st.integers(0, 30), links=st.integers(0, 60), seed=st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_senders_come_before_receivers_and_components_together(size, links, seed):
    topology = random_dag(size, links, seed)
    _assert_in_order(topology)
    assert topology.level.tolist() == _longest_paths(topology)
    assert topology.reverse().level.tolist() == _longest_paths(topology.reverse())


def test_components_are_counted():
    topology = Dag(torch.tensor([[5, 1], [0, 2]]), 6)
    assert sorted(topology.order.component.tolist()) == [1, 1, 2, 2]


def test_states_that_are_numbered_in_an_order_are_visited_as_numbered():
    topology = Dag(torch.tensor([[0, 2, 0, 3], [3, 4, 1, 4]]), 5)
    assert topology.order.state.tolist() == [0, 1, 2, 3, 4]


def test_order_does_not_rest_on_how_strong_components_are_numbered(monkeypatch):
    found = schedule.connected_components

    def renumbered(pairs, **options):
        count, label = found(pairs, **options)
        return count, np.random.default_rng(0).permutation(count)[label]

    monkeypatch.setattr(schedule, "connected_components", renumbered)
    for seed in range(5):
        _assert_in_order(random_dag(12, 25, seed))


@pytest.mark.parametrize("components", [1, 5, 63, 64, 65, 500])
def test_parts_are_whole_components_of_about_one_size(components):
    starts = 4 * torch.arange(components)
    chains = torch.cat([torch.stack([starts + k, starts + k + 1]) for k in range(3)], 1)
    topology = Dag(torch.randperm(4 * components)[chains], 4 * components)
    part = topology.schedule.part
    assert part[0] == 0
    assert part[-1] == 4 * components
    sizes = part.diff()
    assert len(sizes) <= 64
    assert len(sizes) > min(components, 64) // 2
    assert (sizes % 4 == 0).all()
    assert sizes.max() <= 4 * (components // 64 + 1)


@pytest.mark.parametrize("reverse", [False, True])
def test_known_order_makes_the_same_topology(reverse):
    known = random_dag(12, 25)
    known = known.reverse() if reverse else known
    again = Dag(known.edge_index, 12, order=known.order)
    assert all(torch.equal(a, b) for a, b in zip(again.order, known.order, strict=True))
    decay, source = torch.randn(known.num_links, 2).double(), torch.randn(12, 2).double()
    torch.testing.assert_close(linear_scan(decay, source, again), linear_scan(decay, source, known), rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", FAST)
def test_both_directions_share_one_search(backend, monkeypatch):
    topology = random_dag(12, 25)
    assert topology.depth > 1
    for name in ("connected_components", "levels"):
        monkeypatch.setattr(schedule, name, _refuse)
    decay = torch.randn(topology.num_links, 2, dtype=torch.float64, requires_grad=True)
    with use_backend(backend):
        linear_scan(decay, torch.randn(12, 2).double(), topology, reverse=True).sum().backward()
    assert decay.grad is not None


def _refuse(*_, **__):
    raise AssertionError("something searched the graph anew")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": torch.arange(2)}, "order.state must have shape [3], got [2]"),
        ({"link": torch.arange(3)}, "order.link must have shape [2], got [3]"),
        ({"level": torch.zeros(2).long()}, "order.level must have shape [3], got [2]"),
        ({"state": torch.tensor([2, 1, 0])}, "order must belong to edge_index"),
        ({"state": torch.tensor([0, 1, 3])}, "order must belong to edge_index"),
        ({"link": torch.tensor([1, 0])}, "order must belong to edge_index"),
        ({"link": torch.tensor([0, -1])}, "order must belong to edge_index"),
        ({"level": torch.tensor([0, 0, 1])}, "order must belong to edge_index"),
        ({"component": torch.tensor([4])}, "order must belong to edge_index"),
    ],
)
def test_order_of_other_links_is_refused(change, words):
    edges = torch.tensor([[0, 1], [1, 2]])
    order = Dag(edges, 3).order._replace(**change)
    assert isinstance(order, DagOrder)
    with pytest.raises(ValueError) as caught:
        Dag(edges, 3, order=order)
    assert words in str(caught.value)
