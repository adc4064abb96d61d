"""Node order: by key inside each graph, ties by rule and never by number."""

import networkx as nx
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import from_networkx, to_undirected

from graphseq.graph_mamba import (
    AveragedTies,
    CanonicalTies,
    CoreNumberKey,
    DegreeKey,
    DepthFirstKey,
    EigenvectorKey,
    FiedlerKey,
    PageRankKey,
    RandomTies,
    canonical_colour,
)
from graphseq.scan import Ragged
from tests.graph_mamba.graphs import random_graph, relabelled

TWO = Ragged(torch.tensor([0, 4, 6]))


@pytest.mark.parametrize("rule", [RandomTies(), AveragedTies(2), CanonicalTies()])
def test_keys_ascend_inside_each_graph(rule):
    key = torch.tensor([2, 1, 2, 0, 5, 4])
    for order in rule.orders(key, TWO, torch.arange(6)):
        assert sorted(order[:4].tolist()) == [0, 1, 2, 3]
        assert key[order].tolist() == [0, 1, 2, 2, 4, 5]


@pytest.mark.parametrize("rule", [RandomTies(), AveragedTies(2), CanonicalTies()])
def test_no_order_mixes_graphs(rule):
    """Where the second graph has the smaller keys and colours."""
    for order in rule.orders(torch.tensor([5, 4, 5, 3, 1, 0]), TWO, torch.arange(6).flip(0)):
        assert order[:4].sort().values.tolist() == [0, 1, 2, 3]
        assert order[4:].tolist() == [5, 4]


def test_random_ties_are_uniform():
    """Chi-square over the 6 orders of three tied nodes; the bound is the 0.9999 quantile of 5 degrees of freedom."""
    segments, key, draws = Ragged(torch.tensor([0, 3])), torch.zeros(3), 3000
    counts: dict[tuple, int] = {}
    for _ in range(draws):
        order = tuple(RandomTies().orders(key, segments)[0].tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert sum((count - draws / 6) ** 2 / (draws / 6) for count in counts.values()) < 25.7


def test_seeded_rules_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    for rule in (AveragedTies(2), CanonicalTies()):
        first = rule.orders(torch.zeros(6), TWO, torch.zeros(6).long())
        again = rule.orders(torch.zeros(6), TWO, torch.zeros(6).long())
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_ties_are_not_the_node_number():
    segments = Ragged(torch.tensor([0, 50]))
    for rule in (AveragedTies(1), CanonicalTies()):
        order = rule.orders(torch.zeros(50), segments, torch.zeros(50).long())[0]
        assert order.tolist() != list(range(50))


def test_canonical_ties_need_a_colour():
    with pytest.raises(ValueError, match="colour must be given"):
        CanonicalTies().orders(torch.zeros(6), TWO)


def test_colour_moves_with_the_nodes():
    data = random_graph(20)
    permutation = torch.randperm(20)
    other = relabelled(data, permutation)
    colour = canonical_colour(data.x, data.edge_index)
    assert torch.equal(canonical_colour(other.x, other.edge_index)[permutation], colour)
    assert colour.unique().numel() == 20


def test_colour_sees_structure_as_far_as_its_rounds():
    """On a path of equal nodes an end is felt one step farther with each round."""
    path = to_undirected(torch.stack([torch.arange(8), torch.arange(1, 9)]))
    x = torch.ones(9, 1)
    for rounds in range(5):
        colour = canonical_colour(x, path, rounds=rounds)
        assert torch.equal(colour, colour.flip(0))
        assert colour.unique().numel() == rounds + 1


def test_colour_ignores_the_sign_of_zero():
    x = torch.zeros(2, 1)
    x[1] = -0.0
    colour = canonical_colour(x, torch.zeros(2, 0, dtype=torch.long))
    assert colour[0] == colour[1]


def _barbell():
    return from_networkx(nx.barbell_graph(4, 3))


@pytest.mark.parametrize("transform", [DegreeKey(), PageRankKey(), CoreNumberKey(), EigenvectorKey()])
def test_nodes_equal_by_symmetry_have_equal_keys(transform):
    """The barbell's mirror image, under any numbering."""
    data = _barbell()
    permutation = torch.randperm(data.num_nodes)
    moved = Data(edge_index=permutation[data.edge_index], num_nodes=data.num_nodes)
    key = transform(data).order_key
    assert torch.equal(transform(moved).order_key[permutation], key)
    assert torch.equal(key, key.flip(0))
    assert key.unique().numel() > 1


def test_keys_are_what_they_are_called():
    data = _barbell()
    assert DegreeKey()(data.clone()).order_key.tolist() == [3, 3, 3, 4, 2, 2, 2, 4, 3, 3, 3]
    assert CoreNumberKey()(data.clone()).order_key.tolist() == [3, 3, 3, 3, 2, 2, 2, 3, 3, 3, 3]
    assert PageRankKey()(data.clone()).order_key.sum().item() == pytest.approx(1, abs=1e-8)
    adjacency = nx.to_numpy_array(nx.barbell_graph(4, 3))
    centrality = EigenvectorKey()(data.clone()).order_key.numpy()
    ratio = (adjacency @ centrality) / centrality
    assert ratio.std() < 1e-6


def test_degree_counts_the_edges_that_leave():
    edges = torch.tensor([[0, 0, 0, 1], [1, 2, 3, 2]])
    assert DegreeKey()(Data(edge_index=edges, num_nodes=4)).order_key.tolist() == [3, 1, 0, 0]


@pytest.mark.parametrize("damping", [0.85, 0.5])
def test_pagerank_is_its_fixed_point(damping):
    """Up to the ten digits that are kept."""
    adjacency = torch.from_numpy(nx.to_numpy_array(nx.barbell_graph(4, 3)))
    key = PageRankKey(damping)(_barbell()).order_key
    arriving = (key / adjacency.sum(1)) @ adjacency
    torch.testing.assert_close(key, (1 - damping) / 11 + damping * arriving, rtol=0, atol=1e-9)


def test_eigenvector_key_of_parts_that_are_not_connected():
    graph = nx.disjoint_union_all([nx.path_graph(3), nx.path_graph(2), nx.empty_graph(1)])
    key = EigenvectorKey()(from_networkx(graph)).order_key
    torch.testing.assert_close(
        key, torch.tensor([0.5, 0.5**0.5, 0.5, 0.5**0.5, 0.5**0.5, 1.0], dtype=torch.float64), atol=1e-9, rtol=0
    )


def test_fiedler_key_is_the_order_of_a_path():
    """Closed form: the second eigenvector of a path of n nodes is cos(pi (i + 1/2) / n), up to size and sign."""
    key = FiedlerKey()(from_networkx(nx.path_graph(9))).order_key
    expected = torch.cos(torch.pi * (torch.arange(9) + 0.5) / 9).double() * (2 / 9) ** 0.5
    torch.testing.assert_close(key * key[0].sign(), expected, atol=1e-6, rtol=0)
    assert key.argsort().tolist() in (list(range(9)), list(range(8, -1, -1)))


def test_fiedler_key_does_not_depend_on_the_numbering():
    """A lollipop is not its own mirror image, so that even the sign is determined; three components of three sizes."""
    graph = nx.disjoint_union_all([nx.lollipop_graph(4, 5), nx.star_graph(2), nx.empty_graph(1)])
    data = from_networkx(graph)
    key = FiedlerKey()(data.clone()).order_key
    permutation = torch.randperm(data.num_nodes)
    moved = FiedlerKey()(Data(edge_index=permutation[data.edge_index], num_nodes=data.num_nodes)).order_key
    torch.testing.assert_close(moved[permutation][:9], key[:9], atol=1e-9, rtol=0)
    lone, star, lollipop = key[12:], key[9:12], key[:9]
    assert lone.max() < star.min() and star.max() < lollipop.min()
    assert lollipop[4:].sort(descending=bool(lollipop[4] > lollipop[8])).indices.tolist() == list(range(5))


def test_fiedler_key_has_the_sign_that_it_promises():
    """Whatever the solver gives, which depends on the numbering: for a lollipop either way round, in ten of them."""
    edges = from_networkx(nx.lollipop_graph(4, 5)).edge_index
    for _ in range(10):
        key = FiedlerKey()(Data(edge_index=torch.randperm(9)[edges], num_nodes=9)).order_key
        assert key.pow(3).sum() > 0


def test_fiedler_key_of_nodes_on_the_axis_of_a_mirror_is_zero():
    """Two nodes side by side between two tails; the solver's rounding must not tell them apart."""
    graph = nx.Graph([(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (4, 5), (5, 6), (0, 7)])
    assert FiedlerKey()(from_networkx(graph)).order_key[[2, 3]].tolist() == [0, 0]


def test_components_of_one_size_follow_their_second_eigenvalue():
    """2 - sqrt(2) of a path of four nodes, 1 of a star."""
    path, star = nx.path_graph(4), nx.star_graph(3)
    first = FiedlerKey()(from_networkx(nx.disjoint_union(path, star))).order_key
    assert first[:4].max() < first[4:].min()
    second = FiedlerKey()(from_networkx(nx.disjoint_union(star, path))).order_key
    assert second[4:].max() < second[:4].min()


def _walk(graph, **features):
    data = from_networkx(graph)
    data.update(features)
    return DepthFirstKey()(data).order_key.argsort().tolist()


def _chain(length):
    """A path with an atom of its own at either end."""
    x = torch.zeros(length, 1)
    x[0], x[-1] = 1, 2
    return nx.path_graph(length), x


def test_depth_first_key_enters_the_small_branch_first():
    """A path of seven with a leaf at node 2, from either end."""
    graph = nx.path_graph(7)
    graph.add_edge(2, 7)
    walks = [_walk(graph, x=x) for x in torch.eye(8)[[0, 6]][..., None]]
    assert all(walk in ([0, 1, 2, 7, 3, 4, 5, 6], [6, 5, 4, 3, 2, 7, 1, 0]) for walk in walks)
    assert _walk(nx.star_graph(3), x=torch.tensor([[0.0], [1.0], [1.0], [1.0]]))[1] == 0


@pytest.mark.parametrize("seed", range(3))
def test_depth_first_key_measures_a_branch_by_all_its_nodes(seed):
    """From an end, whatever the features: a node with two leaves, then four in a row, then one with four leaves."""
    graph = nx.path_graph(14)
    graph.add_edges_from([(7, 14), (14, 15), (14, 16), (7, 17), (17, 18), (18, 19), (19, 20)])
    graph.add_edges_from([(7, 21), (21, 22), (21, 23), (21, 24), (21, 25)])
    walk = _walk(graph, x=torch.randn(26, 1, generator=torch.Generator().manual_seed(seed)))
    after = walk[walk.index(7) + 1 :]
    assert walk[0] in (0, 13)
    assert set(after[:3]) == {14, 15, 16}
    assert after[3:7] == [17, 18, 19, 20]
    assert set(after[7:12]) == set(range(21, 26))


def test_depth_first_key_starts_all_chains_at_the_same_group():
    """Also where a colour that sees the whole chain would choose now one end and now the other."""
    starts = {x[_walk(graph, x=x)[0]].item() for graph, x in map(_chain, range(7, 20))}
    assert len(starts) == 1


def _ring_in_a_chain():
    """Across the ring lies a node with two neighbours that are as near to the start."""
    graph = nx.cycle_graph(6)
    graph.add_edges_from([(0, 6), (6, 7), (3, 8), (8, 9), (9, 10)])
    return graph


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "graph",
    [nx.random_labeled_tree(30, seed=0), _ring_in_a_chain(), nx.disjoint_union(nx.path_graph(4), nx.path_graph(4))],
)
def test_depth_first_key_does_not_depend_on_the_numbering(graph, seed):
    """Nor on the order of the edges. Where the features of all nodes differ, the node in each place stays."""
    torch.manual_seed(seed)
    data = from_networkx(graph)
    data.x = torch.randn(len(graph), 2)
    permutation = torch.randperm(len(graph))
    other = relabelled(data, permutation)
    other.edge_index = other.edge_index[:, torch.randperm(data.num_edges)]
    first, second = DepthFirstKey()(data), DepthFirstKey()(other)
    assert torch.equal(second.order_key[permutation], first.order_key)


def test_depth_first_key_of_nodes_equal_by_symmetry():
    """Which of them comes first is open; that the sequence of features is one and the same is not."""
    data = from_networkx(nx.balanced_tree(2, 3))
    data.x = torch.tensor([[0.0]] + [[1.0]] * 2 + [[2.0]] * 4 + [[3.0]] * 8)
    permutation = torch.randperm(15)
    first, second = DepthFirstKey()(data), DepthFirstKey()(relabelled(data, permutation))
    assert torch.equal(second.x[second.order_key.argsort()], first.x[first.order_key.argsort()])


def _assert_depth_first(graph, walk):
    stack, seen = [], set()
    for node in walk:
        while stack and node not in graph[stack[-1]]:
            assert set(graph[stack[-1]]) <= seen, "a node was left before all its branches were entered"
            stack.pop()
        stack.append(node)
        seen.add(node)
    assert sorted(walk) == sorted(graph)


def test_depth_first_walks_go_on_from_the_last_node_that_has_a_branch_left():
    """Also across components, one of which is a lone node."""
    graph = nx.disjoint_union_all([nx.gnp_random_graph(20, 0.15, seed=1), nx.path_graph(4), nx.empty_graph(1)])
    keys = DepthFirstKey(samples=5)(from_networkx(graph)).order_key
    assert keys.shape == (25, 6)
    for column in keys.unbind(1):
        _assert_depth_first(graph, column.argsort().tolist())


def test_the_first_of_several_walks_is_the_one_that_stands_alone():
    data = random_graph(12, seed=4)
    keys = DepthFirstKey(samples=3)(data.clone()).order_key
    assert torch.equal(keys[:, 0], DepthFirstKey()(data.clone()).order_key)
    assert keys.unique(dim=1).shape[1] == 4
    assert torch.equal(DepthFirstKey(samples=3)(data.clone()).order_key, keys)
    assert not torch.equal(DepthFirstKey(samples=3, seed=1)(data.clone()).order_key[:, 1:], keys[:, 1:])


def test_further_walks_start_anywhere_and_turn_either_way():
    walks = DepthFirstKey(samples=60)(from_networkx(nx.star_graph(3))).order_key.argsort(0)[:, 1:].t().tolist()
    assert {tuple(walk[:2]) for walk in walks} == {(0, 1), (0, 2), (0, 3), (1, 0), (2, 0), (3, 0)}
    assert {tuple(walk[2:]) for walk in walks if walk[0] == 1} == {(2, 3), (3, 2)}


def test_a_number_of_walks_below_none_is_named():
    with pytest.raises(ValueError, match="samples must be at least 0, got -1"):
        DepthFirstKey(samples=-1)


def test_depth_first_key_of_components_and_of_nothing():
    graph = nx.disjoint_union_all([nx.path_graph(3), nx.empty_graph(1), nx.path_graph(2)])
    assert _walk(graph)[0] == 3
    assert set(_walk(graph)[1:3]) == {4, 5}
    empty = DepthFirstKey()(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=0))
    assert empty.order_key.shape == (0,)
    assert DepthFirstKey(samples=2)(empty).order_key.shape == (0, 3)


@pytest.mark.parametrize("rule", [AveragedTies(2), CanonicalTies()])
def test_seeded_orders_do_not_depend_on_the_batch(rule):
    """Even of nodes that nothing tells apart."""
    alone = rule.orders(torch.zeros(5), Ragged.equal(1, 5), torch.zeros(5).long())
    batch = Ragged(torch.tensor([0, 7, 12, 12]))
    together = rule.orders(torch.zeros(12), batch, torch.zeros(12).long())
    for one, many in zip(alone, together, strict=True):
        assert torch.equal(many[7:] - 7, one)
