"""Walks step uniformly along the edges that there are."""

import networkx as nx
import pytest
import torch
from scipy.stats import chisquare
from torch_geometric.utils import barabasi_albert_graph, from_networkx

from graphseq.graph_mamba import random_walks


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_each_neighbour_is_as_likely():
    """Chi-square on the step out of each node of a graph with degrees 1 to 4 and a pair of parallel edges."""
    edges = torch.tensor([[2, 0, 1, 0, 3, 0, 1, 2, 4, 2, 0], [1, 1, 0, 2, 0, 3, 2, 0, 0, 0, 4]])
    for node in range(5):
        walks = random_walks(edges, torch.full((20_000,), node), 1, 5, generator=_generator(node))
        arrived = torch.bincount(walks[:, 1], minlength=5)
        expected = torch.bincount(edges[1, edges[0] == node], minlength=5).double()
        expected *= 20_000 / expected.sum()
        assert torch.equal(arrived > 0, expected > 0)
        if (expected > 0).sum() > 1:
            assert chisquare(arrived[expected > 0], expected[expected > 0]).pvalue > 0.01


def test_steps_do_not_remember():
    """On a cycle, the second turn is as often back as forth, whatever the first one was."""
    nodes = torch.arange(5)
    edges = torch.stack([nodes.repeat(2), torch.cat([(nodes + 1) % 5, (nodes - 1) % 5])])
    walks = random_walks(edges, torch.zeros(20_000, dtype=torch.long), 2, 5, generator=_generator())
    turns = (walks.diff(dim=1) % 5 == 1).long()
    assert chisquare(torch.bincount(2 * turns[:, 0] + turns[:, 1])).pvalue > 0.01


def test_every_step_is_an_edge():
    """On a connected graph, so that no walk has to stay."""
    edges = from_networkx(nx.barabasi_albert_graph(60, 2, seed=0)).edge_index
    walks = random_walks(edges, torch.arange(60), 12, 60, generator=_generator())
    present = torch.zeros(60, 60, dtype=torch.bool)
    present[edges[0], edges[1]] = True
    assert walks.shape == (60, 13)
    assert present[walks[:, :-1], walks[:, 1:]].all()


def test_draws_are_not_rounded_to_single_precision(monkeypatch):
    """Just below one half, the step out of a hub of 1000 goes to neighbour 500; from a half it would go to 501."""

    def below_half(shape, dtype=torch.float32, **rest):
        return torch.full(shape, 0.5 - 2**-40, dtype=dtype)

    monkeypatch.setattr(torch, "rand", below_half)
    star = torch.stack([torch.zeros(1000, dtype=torch.long), torch.arange(1, 1001)])
    assert random_walks(star, torch.tensor([0]), 1, 1001, generator=_generator()).tolist() == [[0, 500]]


def test_walks_stay_where_no_edge_leaves():
    """Node 1 is a dead end; node 2 stands alone, with the last row of edges."""
    walks = random_walks(torch.tensor([[0], [1]]), torch.arange(3), 3, 3, generator=_generator())
    assert walks.tolist() == [[0, 1, 1, 1], [1, 1, 1, 1], [2, 2, 2, 2]]


def test_threads_change_nothing():
    edges = barabasi_albert_graph(500, 3)
    start = torch.arange(500).repeat(200)
    before, walks = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        walks.append(random_walks(edges, start, 3, 500, generator=_generator()))
    torch.set_num_threads(before)
    assert torch.equal(walks[0], walks[1])


def test_graphs_without_edges_or_nodes_can_be_walked():
    none = torch.zeros(2, 0, dtype=torch.long)
    assert random_walks(none, torch.tensor([1]), 2, 2, generator=_generator()).tolist() == [[1, 1, 1]]
    assert random_walks(none, none[0], 2, 0, generator=_generator()).shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"length": -1}, "length must be at least 0, got -1"),
        ({"edge_index": torch.tensor([[0], [3]])}, "edge_index must hold nodes in 0..2, got values from 0 to 3"),
        ({"start": torch.tensor([-1])}, "start must hold nodes in 0..2, got values from -1 to -1"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    arguments = {"edge_index": torch.tensor([[0], [1]]), "start": torch.tensor([0]), "length": 2, "num_nodes": 3}
    with pytest.raises(ValueError) as caught:
        random_walks(**{**arguments, **change}, generator=_generator())
    assert words in str(caught.value)
