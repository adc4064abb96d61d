"""Ego networks against networkx, and the ways to them and back."""

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_networkx

from graphseq.data import AddDag
from graphseq.spen import AddEgoNetworks, EgoNetworks, ego_networks, size_bounds
from tests.spen.graphs import assorted, graph_of, relabelled


def _split(index, size):
    return [part.tolist() for part in index.split(size.tolist())]


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_networks_are_the_nodes_within_so_many_steps(hops):
    for data in assorted():
        graph = to_networkx(data, to_undirected=True)
        expected = [sorted(nx.ego_graph(graph, v, radius=hops).nodes) for v in range(data.num_nodes)]
        assert _split(*ego_networks(data.edge_index, data.num_nodes, hops)) == expected


def test_edges_are_walked_both_ways():
    assert _split(*ego_networks(torch.tensor([[0], [1]]), 2)) == [[0, 1], [0, 1]]


@pytest.mark.parametrize(("hops", "max_size"), [(1, 4), (2, 4), (2, 7), (3, 1)])
def test_a_network_that_is_too_large_takes_fewer_hops(hops, max_size):
    for data in assorted():
        graph = to_networkx(data, to_undirected=True)
        for v, members in enumerate(_split(*ego_networks(data.edge_index, data.num_nodes, hops, max_size))):
            rings = [sorted(nx.ego_graph(graph, v, radius=k).nodes) for k in range(hops + 1)]
            assert members == [ring for ring in rings if len(ring) <= max_size][-1]


def test_cutting_hubs_does_not_depend_on_numbering():
    data = graph_of(nx.barabasi_albert_graph(20, 2, seed=0))
    permutation = torch.randperm(20)
    plain = _split(*ego_networks(data.edge_index, 20, 2, 8))
    moved = _split(*ego_networks(relabelled(data, permutation).edge_index, 20, 2, 8))
    for v, members in enumerate(plain):
        assert moved[permutation[v]] == sorted(permutation[members].tolist())


def test_batches_hold_the_networks_of_their_graphs():
    graphs = [AddEgoNetworks(hops=2)(data) for data in assorted()]
    batch = Batch.from_data_list(graphs)
    index, size = ego_networks(batch.edge_index, batch.num_nodes, 2)
    assert torch.equal(batch.ego_index, index)
    assert torch.equal(batch.ego_size, size)
    back = batch.to_data_list()
    assert all(torch.equal(one.ego_index, other.ego_index) for one, other in zip(back, graphs, strict=True))


def test_data_that_carry_another_structure_keep_it():
    path = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
    data = AddEgoNetworks()(AddDag()(path))
    batch = Batch.from_data_list([data, data])
    assert batch.dag().num_states == 6
    assert batch.ego_index.tolist() == [0, 1, 0, 1, 2, 1, 2, 3, 4, 3, 4, 5, 4, 5]


@given(st.integers(0, 8), st.integers(0, 2**31), st.integers(0, 2), st.sampled_from([(1,), (2, 3), (1, 2, 4)]))
@settings(max_examples=40, deadline=None)
def test_pairs_are_those_that_share_a_network(num_nodes, seed, hops, buckets):
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(max(num_nodes, 1), (2, num_nodes if num_nodes else 0), generator=generator)
    index, size = ego_networks(edge_index, num_nodes, hops)
    members = _split(index, size)
    nets = EgoNetworks(index, size, buckets)
    shared = sorted({(i, j) for ring in members for i in ring for j in ring})
    assert [tuple(pair) for pair in nets.pair_index.T.tolist()] == shared
    assert nets.pair_count.tolist() == [sum(i in ring and j in ring for ring in members) for i, j in shared]
    assert nets.node_count.tolist() == [sum(i in ring for ring in members) for i in range(num_nodes)]
    assert [shared[place] for place in nets.diagonal.tolist()] == [(i, i) for i in range(num_nodes)]
    sizes = nets.size.tolist()
    expected = [max((place for place, bound in enumerate(buckets) if bound <= m), default=0) for m in sizes]
    assert expected == [place for place, count in enumerate(nets.buckets) for _ in range(count)]


@pytest.mark.parametrize("limit", [1, 20, 60, 10_000])
def test_parts_are_the_whole_cut_in_pieces(limit):
    batch = Batch.from_data_list(assorted())
    networks = ego_networks(batch.edge_index, batch.num_nodes)
    whole, cut = EgoNetworks(*networks, (1, 2, 4)), EgoNetworks(*networks, (1, 2, 4), limit)
    for name in ("node", "pair", "root"):
        together = torch.cat([getattr(part, name) for part in cut.parts])
        assert torch.equal(together, getattr(whole.parts[0], name))
    for bucket in range(3):
        assert sum(part.blocks.buckets[bucket] for part in cut.parts) == whole.buckets[bucket]
    assert all(part.blocks.num_pairs <= limit or part.blocks.num_blocks == 1 for part in cut.parts)
    assert all(torch.equal(part.node[part.blocks.root], part.root) for part in cut.parts)


def test_sizes_that_are_rare_or_unseen_find_weights():
    bounds = size_bounds(torch.tensor([3, 3, 4, 7, 7, 7]), rare=2)
    assert bounds == (3, 7)
    star = graph_of(nx.star_graph(8))
    assert EgoNetworks(*ego_networks(star.edge_index, 9), bounds).buckets == (8, 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda edges: ego_networks(edges, 2, -1), "hops must be at least 0, got -1"),
        (lambda edges: ego_networks(edges, 2, 1, 0), "max_size must be at least 1, got 0"),
        (lambda edges: ego_networks(edges, 1), "edge_index must hold nodes in 0..0, got values from 0 to 1"),
        (lambda edges: AddEgoNetworks(hops=-1), "hops must be at least 0, got -1"),
        (lambda edges: AddEgoNetworks()(Data(num_nodes=2)), "data must have an edge_index"),
        (lambda edges: EgoNetworks(torch.tensor([0, 1]), torch.tensor([1, 2])), "size must add up to the 2 members"),
        (lambda edges: EgoNetworks(torch.tensor([1, 0]), torch.tensor([1, 1])), "each node once in its own network"),
        (
            lambda edges: EgoNetworks(torch.tensor([0]), torch.tensor([1]), (2, 2)),
            "buckets must be ascending lower bounds from at least 1, got [2, 2]",
        ),
        (lambda edges: size_bounds(torch.zeros(0, dtype=torch.long)), "sizes must hold at least one size, got none"),
    ],
)
def test_wrong_input_is_named(make, words, unchecked):
    with pytest.raises(ValueError) as caught:
        make(torch.tensor([[0], [1]]))
    assert words in str(caught.value)


@pytest.mark.parametrize("common", [127, 128, 255, 256, 257, 512])
def test_any_number_of_walks_between_two_nodes_makes_them_near(common):
    """Two hubs with that many common neighbours, of which each is one walk of two steps."""
    hubs, leaves = torch.tensor([0, 1]), torch.arange(2, 2 + common)
    edges = torch.stack([hubs.repeat_interleave(common), leaves.repeat(2)])
    members, sizes = ego_networks(edges, 2 + common, hops=2)
    assert sizes[0] == sizes[1] == 2 + common
    assert members[: sizes[0]].tolist() == list(range(2 + common))
    # Parallel edges are more walks, and no other neighbours.
    again, _ = ego_networks(edges.repeat(1, 3), 2 + common, hops=2)
    assert torch.equal(again, members)
