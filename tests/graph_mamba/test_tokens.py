"""Tokens hold what the walks saw, in order, and batch like the graphs they belong to."""

import pickle

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.utils import k_hop_subgraph, sort_edge_index, subgraph

from graphseq.graph_mamba import AddNeighbourhoodTokens, TokenBatch, neighbourhood_tokens, stored_tokens
from graphseq.graph_mamba.tokens import tokens_of_walks, walk_visits
from tests.graph_mamba.graphs import edgeless_graph, random_graph

DIRECTED = torch.tensor([[0, 1, 2, 2, 0, 3, 3, 4], [1, 2, 0, 3, 1, 3, 4, 0]])  # parallel 0→1, a loop at 3
STAR = torch.stack([torch.cat([torch.zeros(9), torch.arange(1, 10)]), torch.cat([torch.arange(1, 10), torch.zeros(9)])])
GRAPHS = {
    "random": random_graph(15, 3).edge_index,
    "star": STAR.long(),
    "directed, with a loop and parallel edges": DIRECTED,
    "no edges": torch.zeros(2, 0, dtype=torch.long),
}
NUM_NODES = {"random": 15, "star": 10, "directed, with a loop and parallel edges": 6, "no edges": 3}


def _tokens(name, m=3, M=3, s=2, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return neighbourhood_tokens(GRAPHS[name], NUM_NODES[name], m, M, s, generator=generator, **options)


def _each(tokens):
    """Root, place in the root's sequence, nodes, edges and their ids of each token."""
    for token in range(tokens.num_tokens):
        low, high = int(tokens.ptr[token]), int(tokens.ptr[token + 1])
        here = (tokens.edge_index[0] >= low) & (tokens.edge_index[0] < high)
        nodes = tokens.member[low:high]
        root, place = divmod(token, tokens.per_root)
        yield root, place, nodes, tokens.member[tokens.edge_index[:, here]], tokens.edge_id[here]


def _same(one, other):
    fields = ("member", "ptr", "edge_index", "edge_id", "root")
    return all(torch.equal(getattr(one, field), getattr(other, field)) for field in fields)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_tokens_lie_in_the_ball_of_their_length_and_hold_their_root(name, nested):
    """Far to near: lengths 3, 3, 2, 2, 1, 1, 0."""
    tokens = _tokens(name, nested=nested)
    assert tokens.per_root == 7
    for root, place, nodes, _, _ in _each(tokens):
        length = (3, 3, 2, 2, 1, 1, 0)[place]
        ball = k_hop_subgraph(
            root, length, GRAPHS[name], num_nodes=NUM_NODES[name], flow="target_to_source"
        )[0] if GRAPHS[name].numel() else torch.tensor([root])  # fmt: skip
        assert root in nodes
        assert set(nodes.tolist()) <= set(ball.tolist())
        assert nodes.numel() <= 1 + 3 * length
        assert (nodes.diff() > 0).all()
    assert torch.equal(tokens.member[tokens.root_member], torch.arange(NUM_NODES[name]).repeat_interleave(7))


@pytest.mark.parametrize("name", ["random", "star"])
def test_many_walks_fill_the_ball(name):
    tokens = _tokens(name, m=2, M=4000, s=1, include_root=False)
    for root, place, nodes, _, _ in _each(tokens):
        # A walk of two steps may miss a neighbour only where it never turns there; 4000 of them miss none.
        ball = k_hop_subgraph(root, 2 - place, GRAPHS[name], num_nodes=NUM_NODES[name])[0]
        assert torch.equal(nodes, ball)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_token_is_the_union_of_its_walks(name):
    walks = walk_visits(GRAPHS[name], NUM_NODES[name], 3, 2, 2, generator=torch.Generator().manual_seed(5))
    tokens = tokens_of_walks(walks, GRAPHS[name], NUM_NODES[name])
    for root, place, nodes, _, _ in _each(tokens):
        expected = walks[place // 2][root, place % 2].flatten().tolist()
        assert nodes.tolist() == sorted(set(expected))


@pytest.mark.parametrize("name", GRAPHS)
def test_induced_edges_are_those_of_the_subgraph(name):
    edges = GRAPHS[name]
    for _, _, nodes, token_edges, ids in _each(_tokens(name)):
        assert torch.equal(edges[:, ids], token_edges)
        _, _, mask = subgraph(nodes, edges, num_nodes=NUM_NODES[name], return_edge_mask=True)
        assert sorted(ids.tolist()) == mask.nonzero().flatten().tolist()


@pytest.mark.parametrize("name", GRAPHS)
def test_traversed_edges_are_those_walked_along_both_ways(name):
    edges, n = GRAPHS[name], NUM_NODES[name]
    walks = walk_visits(edges, n, 3, 2, 2, generator=torch.Generator().manual_seed(5))
    tokens = tokens_of_walks(walks, edges, n, edges="traversed")
    for root, place, _, _, ids in _each(tokens):
        steps = walks[place // 2][root, place % 2].unfold(1, 2, 1).reshape(-1, 2).tolist()
        walked = {frozenset(step) for step in steps}
        expected = [edge for edge, ends in enumerate(edges.t().tolist()) if frozenset(ends) in walked]
        assert sorted(ids.tolist()) == expected


def test_edges_can_be_left_out():
    tokens = _tokens("random", edges=None)
    assert tokens.edge_index.shape == (2, 0)
    assert torch.equal(tokens.member, _tokens("random").member)


def test_nested_walks_make_nested_tokens():
    by_token = {
        (root, place): set(nodes.tolist()) for root, place, nodes, _, _ in _each(_tokens("random", nested=True))
    }
    for (root, place), nodes in by_token.items():
        if place + 2 < 6:
            assert by_token[root, place + 2] <= nodes


def test_tokens_are_drawn_apart_from_one_another():
    """Those of one length differ, and those of one length do not lie in those of the next, as nested ones do."""
    tokens = {(root, place): set(nodes.tolist()) for root, place, nodes, _, _ in _each(_tokens("random"))}
    for place in (0, 2, 4):
        assert any(tokens[root, place] != tokens[root, place + 1] for root in range(15))
    for place in range(4):
        assert not all(tokens[root, place + 2] <= tokens[root, place] for root in range(15))


def test_length_zero_leaves_the_root_alone():
    tokens = _tokens("directed, with a loop and parallel edges", m=0)
    assert tokens.member.tolist() == list(range(6))
    assert tokens.edge_id.tolist() == [5]
    assert _tokens("random", m=0, include_root=False).num_tokens == 0


def test_an_isolated_node_is_alone_in_all_its_tokens():
    tokens = _tokens("no edges")
    assert tokens.size.tolist() == [1] * 21
    assert tokens.block(1, 2).member.tolist() == [1] * 7


def test_a_graph_without_nodes_has_no_tokens():
    none = neighbourhood_tokens(GRAPHS["no edges"], 0, 2, 2, 1, generator=torch.Generator())
    assert (none.num_tokens, none.per_root, none.member.numel()) == (0, 0, 0)


@pytest.mark.parametrize("edges", ["induced", "traversed"])
def test_blocks_are_the_tokens_of_their_roots(edges):
    tokens = _tokens("random", edges=edges)
    whole, parts = list(_each(tokens)), [*_each(tokens.block(0, 4)), *_each(tokens.block(4, 15))]
    for one, other in zip(whole, parts, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[2:], other[2:], strict=True))
    assert tokens.block(4, 15).root.tolist() == list(range(4, 15))


@pytest.mark.parametrize("edges", ["induced", "traversed", None])
@pytest.mark.parametrize("name", GRAPHS)
def test_uniting_a_few_roots_at_a_time_changes_nothing(name, edges, monkeypatch):
    whole = _tokens(name, edges=edges)
    monkeypatch.setattr("graphseq.graph_mamba.tokens._BLOCK", 150)
    assert _same(_tokens(name, edges=edges), whole)


def test_batching_is_the_tokens_of_each_graph():
    graphs = [random_graph(9, 0), random_graph(1, 1), edgeless_graph(4), edgeless_graph(0), random_graph(12, 2)]
    transform = AddNeighbourhoodTokens(m=2, M=3, s=2, seed=1)
    alone = [transform(graph) for graph in graphs]
    batch = next(iter(DataLoader(alone, batch_size=5)))
    together = stored_tokens(batch, batch.num_nodes)
    nodes = edges = 0
    parts = []
    for graph in alone:
        tokens = stored_tokens(graph, graph.num_nodes)
        assert torch.equal(graph.edge_index[:, tokens.edge_id], tokens.member[tokens.edge_index])
        parts += [(own + nodes, ends + nodes, ids + edges) for _, _, own, ends, ids in _each(tokens)]
        nodes, edges = nodes + graph.num_nodes, edges + graph.num_edges
    for one, other in zip(_each(together), parts, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[2:], other, strict=True))
    assert torch.equal(batch.edge_index[:, together.edge_id], together.member[together.edge_index])


def test_graphs_come_back_from_a_batch_and_from_a_pickle():
    transform = AddNeighbourhoodTokens(m=2, M=3, s=2, seed=1)
    graphs = [transform(random_graph(size, size)) for size in (6, 1, 9)]
    batch = pickle.loads(pickle.dumps(Batch.from_data_list(graphs)))
    for again, graph in zip(batch.to_data_list(), graphs, strict=True):
        assert again.num_nodes == graph.num_nodes
        assert again.num_edges == graph.num_edges
        assert _same(stored_tokens(again, again.num_nodes), stored_tokens(graph, graph.num_nodes))
    again = pickle.loads(pickle.dumps(graphs[0]))
    assert _same(stored_tokens(Batch.from_data_list([again]), 6), stored_tokens(graphs[0], 6))


@pytest.mark.parametrize("edges", ["induced", "traversed", None])
@pytest.mark.parametrize("name", GRAPHS)
def test_samplings_are_drawn_one_after_the_other(name, edges):
    generator = torch.Generator().manual_seed(0)
    arguments = GRAPHS[name], NUM_NODES[name], 2, 3, 2
    each = [neighbourhood_tokens(*arguments, generator=generator, edges=edges) for _ in range(3)]
    tokens = _tokens(name, m=2, edges=edges, samples=3)
    assert tokens.per_root == 15
    for sample, alone in enumerate(each):
        assert _same(tokens.sampling(sample), alone)
        assert _same(tokens.block(1, 3).sampling(sample), alone.block(1, 3))


def test_samplings_are_stored_and_batched():
    transform = AddNeighbourhoodTokens(m=2, M=3, s=2, samples=3, seed=1)
    graphs = [transform(random_graph(size, size)) for size in (6, 1, 9)]
    batch = Batch.from_data_list(graphs)
    tokens = stored_tokens(batch, batch.num_nodes)
    assert (tokens.samples, tokens.per_root) == (3, 15)
    first = stored_tokens(graphs[0], 6)
    assert all(_same(tokens.block(0, 6).sampling(sample), first.sampling(sample)) for sample in range(3))
    graphs[1] = AddNeighbourhoodTokens(m=2, M=3, s=2, samples=2)(random_graph(1))
    with pytest.raises(ValueError, match=r"token_samples must be the same for all graphs of a batch, got \[2, 3\]"):
        stored_tokens(Batch.from_data_list(graphs), 16)


@pytest.mark.parametrize(
    "options", [{"include_root": False}, {"edges": "traversed"}, {"edges": None}, {"nested": True}, {"samples": 2}]
)
def test_what_is_stored_is_sampled_as_asked(options):
    graph = random_graph(12)
    torch.manual_seed(3)
    stored = stored_tokens(AddNeighbourhoodTokens(3, 2, 2, **options)(graph), 12)
    torch.manual_seed(3)
    tokens = neighbourhood_tokens(graph.edge_index, 12, 3, 2, 2, generator=torch.default_generator, **options)
    assert _same(stored, tokens)
    assert stored.samples == tokens.samples


def test_tokens_are_drawn_anew_for_a_graph_that_has_some():
    transform = AddNeighbourhoodTokens(3, 2, 1)
    first = transform(random_graph(12))
    assert not torch.equal(transform(first).token_member, first.token_member)


def test_one_seed_takes_other_turns_in_another_graph():
    """Of the same edges, but with other features."""
    graph, other, transform = random_graph(12), random_graph(12), AddNeighbourhoodTokens(3, 2, 1, seed=0)
    other.x = other.x + 1
    assert not torch.equal(transform(graph).token_member, transform(other).token_member)


def test_a_seed_makes_tokens_a_function_of_the_graph():
    graph = random_graph(12)
    fixed, fresh = AddNeighbourhoodTokens(3, 2, 1, seed=0), AddNeighbourhoodTokens(3, 2, 1)
    assert torch.equal(fixed(graph).token_member, fixed(graph).token_member)
    assert not torch.equal(fresh(graph).token_member, fresh(graph).token_member)
    assert not torch.equal(AddNeighbourhoodTokens(3, 2, 1, seed=1)(graph).token_member, fixed(graph).token_member)
    assert "token_member" not in graph


def test_the_order_of_edges_does_not_matter_to_the_nodes():
    """Other than for parallel edges, whose columns it tells apart."""
    edges = GRAPHS["random"]
    mixed = edges[:, torch.randperm(edges.shape[1])]
    walks = walk_visits(edges, 15, 2, 3, 1, generator=torch.Generator())
    one, other = tokens_of_walks(walks, edges, 15), tokens_of_walks(walks, mixed, 15)
    assert torch.equal(one.member, other.member)
    assert torch.equal(sort_edge_index(one.edge_index), sort_edge_index(other.edge_index))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"m": -1}, "m must be at least 0, got -1"),
        ({"M": 0}, "M must be at least 1, got 0"),
        ({"s": 0}, "s must be at least 1, got 0"),
        ({"num_nodes": 2}, "edge_index must hold nodes in 0..1, got values from 0 to 2"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"edges": "all"}, "edges must be 'induced', 'traversed' or None, got 'all'"),
    ],
)
def test_wrong_arguments_are_named(change, words, unchecked):
    arguments = {"edge_index": torch.tensor([[0, 1], [1, 2]]), "num_nodes": 3, "m": 1, "M": 1, "s": 1}
    with pytest.raises(ValueError) as caught:
        neighbourhood_tokens(**{**arguments, **change}, generator=torch.Generator())
    assert words in str(caught.value)


def test_a_container_that_does_not_fit_is_refused():
    nodes, none = torch.arange(3), torch.zeros(2, 0, dtype=torch.long)
    with pytest.raises(ValueError, match="ptr must bound equally many tokens for each of the 2 roots, got 3"):
        TokenBatch(nodes, torch.arange(4), none, none[0], nodes[:2])
    with pytest.raises(ValueError, match=r"ptr must start at 0 and end at the number of members \(3\), got 0 and 2"):
        TokenBatch(nodes, torch.arange(3), none, none[0], nodes[:2])
    with pytest.raises(ValueError, match=r"samples must divide the tokens of a root \(1\), got 2"):
        TokenBatch(nodes, torch.arange(4), none, none[0], nodes, samples=2)


def test_another_kind_of_data_is_refused():
    class Other(Data):
        pass

    with pytest.raises(TypeError, match="data must be a Data, got a Other"):
        AddNeighbourhoodTokens(1, 1, 1)(Other(edge_index=GRAPHS["random"], num_nodes=15))
    with pytest.raises(ValueError, match="token_member must be given"):
        stored_tokens(random_graph(3), 3)
