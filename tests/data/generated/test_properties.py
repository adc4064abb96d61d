import networkx as nx
import numpy as np
import pytest
from torch_geometric.utils import is_undirected, to_networkx

from graphseq.data import GraphProperties, load
from graphseq.data.generated.families import FAMILIES, draw_base_graph

TARGETS = {
    "sssp": lambda graph, source: [nx.single_source_shortest_path_length(graph, source)[i] for i in graph],
    "eccentricity": lambda graph, source: [nx.eccentricity(graph)[i] for i in graph],
    "diameter": lambda graph, source: [nx.diameter(graph)],
}


@pytest.mark.parametrize("target", TARGETS)
def test_targets_are_those_of_networkx(target):
    for data in GraphProperties(20, target, seed=3):
        graph = to_networkx(data, to_undirected=True)
        assert data.y.flatten().tolist() == TARGETS[target](graph, int(data.source_index))


def test_graphs_are_connected_simple_and_in_range():
    for data in GraphProperties(40, num_nodes=(15, 24)):
        assert 15 <= data.num_nodes <= 24
        assert is_undirected(data.edge_index) and not data.has_self_loops()
        assert nx.is_connected(to_networkx(data, to_undirected=True))


def test_the_source_is_marked_and_the_noise_is_not():
    for data in GraphProperties(10):
        assert data.x[:, 0].nonzero().flatten().tolist() == data.source_index.tolist()
        assert len(data.x[:, 1].unique()) == data.num_nodes and 0 <= data.x[:, 1].min() <= data.x[:, 1].max() < 1


@pytest.mark.parametrize("size", [6, 7, 23, 25, 35])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_the_size_asked_for(family, size):
    graph = FAMILIES[family][1](size, np.random.default_rng(size))
    assert sorted(graph) == list(range(size))
    assert family == "Erdős–Rényi" or nx.is_connected(graph)
    assert nx.is_tree(graph) or family not in ("power-law tree", "line", "star", "caterpillar", "lobster")


def test_weights_of_the_families_make_a_whole():
    assert sum(weight for weight, _ in FAMILIES.values()) == pytest.approx(1)


def test_randomising_keeps_the_expected_number_of_edges():
    from graphseq.data.generated.properties import _randomise

    rng = np.random.default_rng(0)
    base = draw_base_graph(30, rng)
    counts = [_randomise(base, rng).sum() for _ in range(2000)]
    # The mean of 2000 draws has a standard error of about 0.1 edges.
    assert np.mean(counts) == pytest.approx(base.sum(), rel=0.02)


def test_targets_are_scaled_by_the_largest_of_the_training_set():
    bench = load("graph-properties", target="eccentricity", num_train=30, num_val=5, num_test=5)
    assert max(float(data.y.max()) for data in bench.train) == 1
    assert bench.task.kind == "regression" and not bench.task.maximize


def test_sizes_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match="target must be one of sssp, eccentricity, diameter, got 'girth'"):
        GraphProperties(1, "girth")
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        GraphProperties(1, scale=0.0)
