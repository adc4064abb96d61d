"""Undirected graphs made acyclic by an order of their nodes."""

import networkx as nx
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import from_networkx, to_undirected

from graphseq.data import (
    AddDag,
    AddLineGraph,
    BreadthFirstOrder,
    DegreeOrder,
    GivenOrder,
    NodeOrder,
    OrientEdges,
    RandomOrder,
)

ORDERS = [GivenOrder(), GivenOrder("key"), DegreeOrder(), DegreeOrder(True), BreadthFirstOrder(), BreadthFirstOrder(3)]
ORDERS += [RandomOrder(), RandomOrder(1)]


def _graph(seed=0, nodes=12, edges=20):
    graph = nx.gnm_random_graph(nodes, edges, seed=seed)
    data = from_networkx(graph)
    data.key = torch.randn(nodes)
    data.edge_attr = torch.randn(data.num_edges, 2)
    return data


@pytest.mark.parametrize("order", ORDERS)
def test_every_edge_stays_once_and_points_to_the_later_node(order):
    data = _graph()
    torch.manual_seed(1)
    rank = order.rank(data)
    assert isinstance(order, NodeOrder)
    assert rank.sort().values.tolist() == list(range(12))
    torch.manual_seed(1)
    oriented = OrientEdges(order)(data.clone())
    source, target = oriented.edge_index
    assert (rank[source] < rank[target]).all()
    undirected = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    assert {frozenset(pair) for pair in oriented.edge_index.t().tolist()} == {
        frozenset(pair) for pair in undirected.t().tolist()
    }
    assert oriented.num_edges == undirected.shape[1]
    attributes = {tuple(pair): data.edge_attr[place] for place, pair in enumerate(data.edge_index.t().tolist())}
    for place, pair in enumerate(oriented.edge_index.t().tolist()):
        assert torch.equal(oriented.edge_attr[place], attributes[tuple(pair)])
    AddLineGraph()(oriented)


def test_breadth_first_ranks_grow_with_the_distance_in_each_component():
    graph = nx.disjoint_union(nx.random_labeled_tree(9, seed=2), nx.star_graph(4))
    data = from_networkx(graph)
    rank = BreadthFirstOrder(root=4).rank(data)
    hops = nx.single_source_shortest_path_length(graph, 4)
    by_rank = sorted(hops, key=lambda node: int(rank[node]))
    assert by_rank[0] == 4 and [hops[node] for node in by_rank] == sorted(hops.values())
    # The other component starts at the middle of its star.
    assert int(rank[9]) == 9


def test_edges_in_one_direction_loops_and_repeats():
    data = Data(edge_index=torch.tensor([[2, 0, 0, 1, 1], [0, 2, 1, 0, 1]]), edge_attr=torch.arange(5), num_nodes=3)
    oriented = OrientEdges()(data)
    assert oriented.edge_index.tolist() == [[0, 0], [1, 2]] and oriented.edge_attr.tolist() == [2, 1]
    lone = OrientEdges()(Data(edge_index=torch.tensor([[2], [0]]), num_nodes=3))
    assert lone.edge_index.tolist() == [[0], [2]]


def test_all_that_edges_have_goes_with_them():
    edge_index = torch.tensor([[2, 0, 0, 1, 1], [0, 2, 1, 0, 1]])
    data = Data(edge_index=edge_index, num_nodes=3, x=torch.ones(3, 1), edge_weight=torch.arange(5.0))
    data.edge_time, data.edge_name = torch.arange(10).view(5, 2), [*"abcde"]
    data.edge_label_index, data.edge_label = torch.arange(10).view(2, 5) % 3, torch.arange(5)
    oriented = OrientEdges()(data)
    assert oriented.edge_weight.tolist() == [2, 1] and oriented.edge_name == ["c", "b"]
    assert oriented.edge_time.tolist() == [[4, 5], [2, 3]] and oriented.x.shape == (3, 1)
    # As many questions as there were edges, but no edges.
    assert oriented.edge_label.tolist() == list(range(5)) and oriented.edge_label_index.shape == (2, 5)


def test_as_many_nodes_as_edges_stay_nodes():
    data = Data(edge_index=torch.tensor([[0, 1, 2], [1, 0, 2]]), x=torch.arange(3.0)[:, None])
    data.key, data.edge_weight = torch.arange(3), torch.arange(3.0)
    oriented = OrientEdges()(data)
    assert oriented.x.shape == (3, 1) and oriented.key.shape == (3,) and oriented.edge_weight.tolist() == [0]


def test_structure_of_other_edges_is_still_refused():
    """One of two parallel edges goes, and what was made of both must not shrink with them."""
    doubled = AddLineGraph()(AddDag()(Data(edge_index=torch.tensor([[0, 0, 1], [1, 1, 2]]), num_nodes=3)))
    oriented = OrientEdges()(doubled)
    assert oriented.num_edges == 2
    for topology in (oriented.dag, oriented.line_graph):
        with pytest.raises(ValueError, match="must"):
            topology()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (torch.arange(24.0).view(12, 2), r"one number for each of its 12 nodes under 'key', got shape \[12, 2\]"),
        (torch.arange(11), r"one number for each of its 12 nodes under 'key', got shape \[11\]"),
        (torch.full((12,), torch.nan), "a number for each node under 'key', got NaN"),
    ],
)
def test_a_key_that_orders_no_nodes_is_refused(key, message):
    data = _graph()
    data.key = key
    with pytest.raises(ValueError, match=message):
        OrientEdges(GivenOrder("key"))(data)


def test_graphs_without_edges_and_without_nodes():
    for nodes in (0, 3):
        for order in (GivenOrder(), DegreeOrder(), BreadthFirstOrder(), RandomOrder()):
            data = OrientEdges(order)(Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=nodes))
            assert data.edge_index.shape == (2, 0)


def test_orders_by_degree_and_by_a_seed():
    path = Data(edge_index=to_undirected(torch.tensor([[0, 1], [1, 2]])), num_nodes=3)
    assert DegreeOrder().rank(path).tolist() == [0, 2, 1] and DegreeOrder(True).rank(path).tolist() == [1, 0, 2]
    assert torch.equal(RandomOrder(3).rank(path), RandomOrder(3).rank(path))
    many = Data(edge_index=path.edge_index, num_nodes=50)
    assert not torch.equal(RandomOrder().rank(many), RandomOrder().rank(many))


def test_what_is_missing_is_named():
    data = _graph()
    with pytest.raises(ValueError, match="data must have the key 'time' to be ordered by"):
        OrientEdges(GivenOrder("time"))(data)
    with pytest.raises(ValueError, match=r"root must be a node in 0\.\.11, got 12"):
        OrientEdges(BreadthFirstOrder(12))(data)
    with pytest.raises(ValueError, match="data must have an edge_index, got the keys"):
        OrientEdges()(Data(x=torch.ones(2, 1)))
