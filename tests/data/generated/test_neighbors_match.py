import math

import networkx as nx
import pytest
from torch_geometric.utils import to_networkx

from graphseq.data import TreeNeighborsMatch, load


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_root_asks_for_the_value_of_the_leaf_with_its_key(depth):
    leaves = 2**depth
    for data in TreeNeighborsMatch(depth, num_permutations=2):
        graph = to_networkx(data, remove_self_loops=True)
        assert nx.is_arborescence(graph.reverse()) and data.num_nodes == 2 * leaves - 1
        tips = [node for node in graph if graph.in_degree(node) == 0]
        assert len(tips) == leaves and nx.shortest_path_length(graph, tips[-1], 0) == depth
        values = {int(data.x[tip, 0]): int(data.x[tip, 1]) - 1 for tip in tips}
        assert sorted(values) == list(range(1, leaves + 1)) and sorted(values.values()) == list(range(leaves))
        assert data.x[0, 1] == 0 and int(data.y[0]) == values[int(data.x[0, 0])]
        assert data.label_mask.nonzero().flatten().tolist() == [0]
        assert all(data.x[node].tolist() == [0, 0] for node in graph if node not in tips and node)


def test_every_node_has_a_self_loop():
    data = TreeNeighborsMatch(2)[0]
    assert sum(i == j for i, j in data.edge_index.t().tolist()) == data.num_nodes


def test_permutations_are_distinct_and_come_with_every_key():
    dataset = TreeNeighborsMatch(2)
    seen = {(tuple(data.x[3:, 1].tolist()), int(data.x[0, 0])) for data in dataset}
    assert len(dataset) == len(seen) == math.factorial(4) * 4


def test_the_number_of_graphs_is_the_authors():
    assert len(TreeNeighborsMatch(3)) == 8000


def test_the_split_is_stratified():
    bench = load("tree-neighbors-match", depth=2)
    assert (len(bench.train), len(bench.val), len(bench.test)) == (76, 10, 10)
    assert bench.in_channels == (5, 5) and bench.task.num_outputs == 4
    counts = [sum(int(data.y[0]) == label for data in bench.train) for label in range(4)]
    assert max(counts) - min(counts) == 0


def test_more_permutations_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"num_permutations must be in 1\.\.24 at depth 2, got 25"):
        TreeNeighborsMatch(2, 25)
