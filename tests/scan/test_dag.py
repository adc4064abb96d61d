"""Scans on directed acyclic graphs and line graphs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphseq.scan import Dag, Ragged, available_backends, line_graph, linear_scan, use_backend

OPERATION = "dag_scan"
FAST = [name for name in available_backends(OPERATION) if name != "reference"]


def random_dag(num_states, num_links, seed=0):
    """Links go up in a hidden order, not in the order of the numbers; parallel links occur."""
    generator = torch.Generator().manual_seed(seed)
    if num_states < 2:
        return Dag(torch.zeros(2, 0, dtype=torch.long), num_states)
    pairs = torch.randint(0, num_states, (2, num_links), generator=generator)
    pairs = pairs[:, pairs[0] != pairs[1]].sort(0).values
    return Dag(torch.randperm(num_states, generator=generator)[pairs], num_states)


def _outcome(backend, topology, decay, source):
    with use_backend(backend):
        states = linear_scan(decay, source, topology)
        weight = torch.linspace(-1, 1, states.numel(), dtype=torch.float64).reshape(states.shape)
        value = (states * weight).sum().real + 0 * decay.sum().real
        return [states, *torch.autograd.grad(value, [decay, source])]


@pytest.mark.parametrize("backend", FAST)
@given(
    size=st.integers(0, 30),
    links=st.integers(0, 60),
    channels=st.sampled_from([((3,), (3,)), ((1,), (17,)), ((), ()), ((2,), (2, 3))]),
    dtype=st.sampled_from([torch.float64, torch.complex128]),
    reverse=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_fast_backends_equal_the_reference(backend, size, links, channels, dtype, reverse):
    topology = random_dag(size, links)
    topology = topology.reverse() if reverse else topology
    decay = torch.randn(topology.num_links, *channels[0], dtype=dtype).requires_grad_()
    source = torch.randn(size, *channels[1], dtype=dtype).requires_grad_()
    expected = _outcome("reference", topology, decay, source)
    for a, b in zip(expected, _outcome(backend, topology, decay, source), strict=True):
        # Relative to the largest entry: sums over many paths grow.
        scale = max(1.0, a.abs().max().item() if a.numel() else 1.0)
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10 * scale)


@pytest.mark.parametrize("direction", ["fwd", "rev"])
def test_golden_dag_scan(backend, golden, direction):
    g = golden("sequence/dag_scan_1")
    a, b = g["a"].clone().requires_grad_(), g["b"].clone().requires_grad_()
    h = linear_scan(a, b, Dag(g["edge_index"], len(b)), reverse=direction == "rev")
    (h * g["cot_h"]).sum().backward()
    torch.testing.assert_close(h, g[f"{direction}_h"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(a.grad, g[f"{direction}_grad_a"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(b.grad, g[f"{direction}_grad_b"], rtol=1e-10, atol=1e-10)


def test_scan_solves_its_linear_system(backend):
    """(I - A) h = b, with A from the links, solved densely."""
    topology = random_dag(12, 30)
    decay = torch.randn(topology.num_links, 1, dtype=torch.float64)
    source = torch.randn(12, 2, dtype=torch.float64)
    matrix = torch.eye(12, dtype=torch.float64)
    matrix.index_put_((topology.edge_index[1], topology.edge_index[0]), -decay[:, 0], accumulate=True)
    expected = torch.linalg.solve(matrix, source)
    torch.testing.assert_close(linear_scan(decay, source, topology), expected, rtol=1e-10, atol=1e-10)


def test_ragged_is_the_dag_that_it_says(backend):
    for topology in (Ragged(torch.tensor([0, 3, 3, 8])), Ragged(torch.tensor([0, 3, 3, 8])).reverse()):
        decay, source = torch.randn(8, 2, dtype=torch.float64), torch.randn(8, 2, dtype=torch.float64)
        links = linear_scan(decay[topology.link_decays], source, topology.to_dag())
        torch.testing.assert_close(linear_scan(decay, source, topology), links, rtol=1e-12, atol=1e-12)


def test_relabelling_states_relabels_the_result(backend):
    topology = random_dag(15, 40)
    decay, source = torch.randn(topology.num_links, 3).double(), torch.randn(15, 3).double()
    permutation = torch.randperm(15)
    moved = Dag(permutation[topology.edge_index], 15)
    states = linear_scan(decay, source[permutation.argsort()], moved)
    torch.testing.assert_close(states[permutation], linear_scan(decay, source, topology), rtol=1e-11, atol=1e-11)


def test_reversed_twice_is_the_original():
    topology = random_dag(6, 9)
    assert topology.reverse().reverse() is topology
    assert torch.equal(topology.reverse().edge_index, topology.edge_index.flip(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("decay_channels", [(2,), (1,)])
def test_derivatives_of_both_orders(backend, dtype, decay_channels):
    topology = random_dag(6, 9)
    decay = torch.randn(topology.num_links, *decay_channels, dtype=dtype).requires_grad_()
    source = torch.randn(6, 2, dtype=dtype).requires_grad_()

    def scan(decay, source):
        return linear_scan(decay, source, topology)

    assert torch.autograd.gradcheck(scan, (decay, source))
    assert torch.autograd.gradgradcheck(scan, (decay, source))


def test_line_graph_joins_each_edge_to_the_next():
    topology = random_dag(10, 25)
    edges = topology.edge_index
    lines = line_graph(edges, 10)
    expected = {(p, e) for p in range(edges.shape[1]) for e in range(edges.shape[1]) if edges[1, p] == edges[0, e]}
    assert {tuple(pair) for pair in lines.link_index.t().tolist()} == expected
    assert lines.link_index.shape[1] == len(expected)
    assert lines.num_states == edges.shape[1]


def test_line_graph_moves_with_its_type():
    lines = line_graph(torch.tensor([[0, 1], [1, 2]]), 3)
    assert torch.equal(lines.to("cpu").link_index, lines.link_index)
    assert torch.equal(lines.reverse().edge_index, lines.link_index.flip(0))


def test_level_is_the_longest_path():
    topology = Dag(torch.tensor([[0, 1, 0, 3], [1, 2, 2, 2]]), 5)
    assert topology.level.tolist() == [0, 1, 2, 0, 0]
    assert topology.depth == 3


@pytest.mark.parametrize(
    ("edges", "size", "error", "words"),
    [
        (torch.tensor([[0, 1, 2, 0], [1, 2, 1, 3]]), 4, ValueError, "must be acyclic, got the cycle 1 → 2 → 1"),
        (torch.tensor([[0], [0]]), 1, ValueError, "edge_index must be acyclic, got the cycle 0 → 0"),
        (torch.tensor([[0], [4]]), 4, ValueError, "edge_index must hold numbers in [0, 4), got 4"),
        (torch.tensor([0, 4]), 4, ValueError, "edge_index must have shape [2, num_links], got [2]"),
        (torch.tensor([[0.0], [1.0]]), 2, TypeError, "edge_index must be an int64 tensor, got torch.float32"),
    ],
)  # fmt: skip
def test_wrong_links_are_named(edges, size, error, words, unchecked):
    for make in (Dag, line_graph):
        with pytest.raises(error) as caught:
            make(edges, size)
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": torch.ones(3, 1)}, "source must have num_states = 2 rows, got shape [3, 1]"),
        ({"decay": torch.ones(2, 1)}, "decay must have num_links = 1 rows, got shape [2, 1]"),
        ({"initial": torch.ones(1, 1)}, "initial must be None on a Dag, got shape [1, 1]"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    given_ = {"decay": torch.ones(1, 1), "source": torch.ones(2, 1), "topology": Dag(torch.tensor([[0], [1]]), 2)}
    with pytest.raises(ValueError) as caught:
        linear_scan(**{**given_, **change})
    assert words in str(caught.value)
