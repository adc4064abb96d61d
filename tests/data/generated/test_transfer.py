import networkx as nx
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.utils import is_undirected, to_networkx

from graphseq.data import CliquePathTransfer, CrossedRingTransfer, RingTransfer, TreeTransfer

FLAT = [RingTransfer, CrossedRingTransfer, CliquePathTransfer]


def distance(data):
    graph = to_networkx(data, to_undirected=True)
    return nx.shortest_path_length(graph, int(data.reader_index), int(data.holder_index))


@pytest.mark.parametrize("size", [4, 10, 20])
@pytest.mark.parametrize("kind", FLAT)
def test_the_distance_is_the_papers(kind, size):
    assert distance(kind(size, 5)[0]) == size // 2 + (kind is CliquePathTransfer)


@pytest.mark.parametrize(("arity", "depth"), [(1, 4), (2, 3), (3, 2)])
def test_the_tree_has_its_arity_and_depth(arity, depth):
    data = TreeTransfer(arity, depth, 5)[0]
    graph = to_networkx(data, to_undirected=True)
    assert nx.is_tree(graph) and distance(data) == depth
    assert graph.degree[0] == arity and int(data.holder_index) == data.num_nodes - 1
    assert data.num_nodes == sum(arity**level for level in range(depth + 1))


@pytest.mark.parametrize("kind", FLAT)
def test_edges_go_both_ways_without_duplicates_or_loops(kind):
    data = kind(12, 5)[0]
    assert is_undirected(data.edge_index) and not data.has_self_loops() and data.is_coalesced()


def test_the_ring_is_a_cycle():
    graph = to_networkx(RingTransfer(10, 5)[0], to_undirected=True)
    assert nx.is_isomorphic(graph, nx.cycle_graph(10))


def test_every_crossing_joins_neighbouring_distance_levels_of_the_ring():
    size = 20
    ring = nx.cycle_graph(size)
    level = nx.single_source_shortest_path_length(ring, 0)
    crossed = to_networkx(CrossedRingTransfer(size, 5)[0], to_undirected=True)
    assert set(ring.edges) <= {tuple(sorted(edge)) for edge in crossed.edges} | set(ring.edges)
    assert all(abs(level[i] - level[j]) == 1 for i, j in crossed.edges)
    # Each level 1..n/2-1 has two nodes; all pairs between consecutive levels are joined.
    assert crossed.number_of_edges() == 2 + 4 * (size // 2 - 2) + 2


def test_the_clique_path_is_a_lollipop():
    graph = to_networkx(CliquePathTransfer(12, 5)[0], to_undirected=True)
    assert nx.is_isomorphic(graph, nx.lollipop_graph(6, 6))


def test_reader_is_zero_holder_is_one_hot_and_the_rest_are_ones():
    for data in RingTransfer(8, 10):
        reader, holder = int(data.reader_index), int(data.holder_index)
        assert data.x[reader].tolist() == [0] * 5
        assert data.x[holder].sum() == 1 and int(data.x[holder].argmax()) == int(data.y[reader])
        assert bool((data.x[[i for i in range(8) if i not in (reader, holder)]] == 1).all())
        assert data.label_mask.nonzero().flatten().tolist() == [reader]


def test_classes_are_balanced():
    dataset = RingTransfer(8, 50, 5)
    labels = torch.stack([data.y[0] for data in dataset])
    assert labels.bincount().tolist() == [10] * 5 and labels.tolist() != sorted(labels.tolist())


def test_the_graph_level_label_is_the_class():
    for node, graph in zip(RingTransfer(8, 10), RingTransfer(8, 10, level="graph"), strict=True):
        assert graph.y.tolist() == [int(node.y[0])] and "label_mask" not in graph


def test_batching_shifts_reader_and_holder():
    batch = Batch.from_data_list(list(RingTransfer(8, 3)))
    assert batch.reader_index.tolist() == [0, 8, 16] and batch.holder_index.tolist() == [4, 12, 20]


def test_the_harder_variants_vary_what_they_say():
    dataset = RingTransfer((8, 12), 100, random_features=True, random_holder=True)
    assert {data.num_nodes for data in dataset} == {8, 10, 12}
    assert len({int(data.holder_index) for data in dataset}) > 5
    assert all(int(data.holder_index) != 0 for data in dataset)
    others = torch.cat([data.x[1:3].flatten() for data in dataset if int(data.holder_index) > 2])
    assert 0 <= others.min() < 0.1 and 0.9 < others.max() < 1
    assert all(data.x[0].sum() == 0 and data.x[data.holder_index].sum() == 1 for data in dataset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_nodes": 7}, "num_nodes must be even"),
        ({"num_nodes": 2}, "num_nodes must be a size of at least 4"),
        ({"num_nodes": (12, 8)}, "num_nodes must be"),
        ({"num_graphs": 0}, "num_graphs must be at least 1, got 0"),
        ({"num_classes": 1}, "num_classes must be at least 2"),
        ({"level": "edge"}, "level must be one of node, graph, got 'edge'"),
    ],
)
def test_sizes_that_make_no_sense_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        RingTransfer(**arguments)
