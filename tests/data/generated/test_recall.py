import networkx as nx
import pytest
from torch_geometric.utils import to_networkx

from graphseq.data import WalkRecall, load


def test_each_asking_node_is_labelled_with_the_value_of_its_key():
    for data in WalkRecall(num_keys=5, num_values=3, num_graphs=20):
        holders = data.x[:, 1] > 0
        values = {int(key): int(value) - 1 for key, value in data.x[holders].tolist()}
        assert sorted(values) == [1, 2, 3, 4, 5] and set(values.values()) <= {0, 1, 2}
        asking = data.label_mask.nonzero().flatten().tolist()
        assert len(asking) == 5 and data.x[asking, 1].sum() == 0
        assert sorted(data.x[asking, 0].tolist()) == [1, 2, 3, 4, 5]
        assert all(int(data.y[node]) == values[int(data.x[node, 0])] for node in asking)


def test_graphs_are_trees_of_the_size_asked_for():
    for size, data in [(None, WalkRecall(4)[0]), (11, WalkRecall(4, num_nodes=11)[0])]:
        graph = to_networkx(data, to_undirected=True)
        assert nx.is_tree(graph) and len(graph) == (size or 12)


def test_places_and_trees_vary():
    dataset = WalkRecall(num_graphs=20)
    assert len({tuple(data.label_mask.nonzero().flatten().tolist()) for data in dataset}) > 15
    assert len({tuple(data.edge_index.flatten().tolist()) for data in dataset}) == 20


def test_categories_cover_keys_and_values():
    bench = load("walk-recall", num_keys=3, num_values=2, num_train=4, num_val=2, num_test=2)
    assert bench.in_channels == (4, 3) and bench.task.num_outputs == 2


def test_too_small_a_tree_is_refused():
    with pytest.raises(ValueError, match="num_nodes must be at least 8, got 7"):
        WalkRecall(4, num_nodes=7)


def test_the_smallest_tree_works():
    assert WalkRecall(1, num_graphs=1, num_nodes=2)[0].num_nodes == 2
