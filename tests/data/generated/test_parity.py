import networkx as nx
import pytest
from torch_geometric.utils import to_networkx

from graphseq.data import MarkedParity, load


@pytest.mark.parametrize("shape", ["path", "tree"])
def test_a_node_counts_the_marks_on_its_way_from_node_0(shape):
    for data in MarkedParity((2, 20), 20, shape):
        graph = to_networkx(data, to_undirected=True)
        for node in graph:
            way = nx.shortest_path(graph, 0, node)
            assert int(data.y[node]) == sum(int(data.x[i, 0]) for i in way) % 2


@pytest.mark.parametrize("shape", ["path", "tree", "cycle"])
def test_a_graph_counts_all_marks(shape):
    for data in MarkedParity((3, 20), 20, shape, level="graph"):
        assert data.y.tolist() == [int(data.x[:, 0].sum()) % 2]


def test_shapes_are_what_they_are_called():
    for shape, expected in {"path": nx.path_graph(9), "cycle": nx.cycle_graph(9)}.items():
        graph = to_networkx(MarkedParity(9, 1, shape, level="graph")[0], to_undirected=True)
        assert nx.is_isomorphic(graph, expected)
    trees = [to_networkx(data, to_undirected=True) for data in MarkedParity(9, 20, "tree")]
    assert all(map(nx.is_tree, trees)) and len({max(dict(tree.degree).values()) for tree in trees}) > 1


def test_node_0_is_told_apart():
    assert all(data.x[:, 1].tolist() == [1] + [0] * (data.num_nodes - 1) for data in MarkedParity(num_graphs=5))


def test_half_of_the_nodes_are_marked():
    marks = MarkedParity(40, 200)._data.x[:, 0]
    # 8000 coins: three standard deviations are 0.017.
    assert marks.mean().item() == pytest.approx(0.5, abs=0.017)


def test_training_is_on_short_graphs_and_testing_on_long_ones():
    bench = load("marked-parity", num_nodes=(2, 10), test_nodes=30, num_train=20, num_val=5, num_test=5)
    assert all(2 <= data.num_nodes <= 10 for part in (bench.train, bench.val) for data in part)
    assert all(data.num_nodes == 30 for data in bench.test)


def test_a_cycle_has_no_node_labels():
    with pytest.raises(ValueError, match="level must be 'graph' for shape 'cycle'"):
        MarkedParity(shape="cycle")
