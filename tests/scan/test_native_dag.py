"""dag_scan on the C++ kernels, beyond what every backend is tested for."""

import pytest
import torch
from torch._subclasses import FakeTensorMode

from graphseq.scan import Dag, linear_scan, native, use_backend
from graphseq.scan.native._dag import _in_pytorch, scheduled
from graphseq.scan.schedule import Schedule
from tests.scan.native import needs_kernels, threads, with_gradients
from tests.scan.test_dag import random_dag

pytestmark = needs_kernels


def on(backend, topology, *inputs):
    def run(decay, source):
        with use_backend(backend):
            return linear_scan(decay, source, topology)

    return with_gradients(run, *inputs)


def molecules(count):
    """Small graphs that no link joins, numbered across one another."""
    parts = [random_dag(9, 14, seed).edge_index + 9 * seed for seed in range(count)]
    shuffled = torch.randperm(9 * count, generator=torch.Generator().manual_seed(0))
    return Dag(shuffled[torch.cat(parts, 1)], 9 * count)


@pytest.mark.parametrize("channels", [1, 7, 64, 70, 131])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_every_block_width_equals_the_reference(channels, shared, dtype):
    topology = random_dag(12, 25)
    decay = 0.5 * torch.randn(topology.num_links, 1 if shared else channels, dtype=dtype)
    source = torch.randn(12, channels, dtype=dtype)
    reference, found = (on(backend, topology, decay, source) for backend in ("reference", "native"))
    for a, b in zip(reference, found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_single_precision_is_within_rounding_of_the_exact_result(dtype):
    topology = random_dag(30, 60)
    decay, source = 0.5 * torch.randn(topology.num_links, 5, dtype=dtype), torch.randn(30, 5, dtype=dtype)
    wide = [x.to(torch.promote_types(dtype, torch.float64)) for x in (decay, source)]
    for exact, b in zip(on("reference", topology, *wide), on("native", topology, decay, source), strict=True):
        # Some hundred products and sums of numbers up to the result's scale, each rounded to 6e-8 of it.
        torch.testing.assert_close(b.to(exact.dtype), exact, rtol=0, atol=1e-5 * max(1.0, exact.abs().max().item()))


def test_graphs_side_by_side_do_not_meet():
    """More components than parts, in the numbering that a shuffled batch has."""
    topology = molecules(80)
    decay, source = torch.randn(topology.num_links, 3).double(), torch.randn(720, 3).double()
    for a, b in zip(on("torch", topology, decay, source), on("native", topology, decay, source), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("make", [lambda: molecules(20), lambda: random_dag(300, 900)])
def test_thread_count_changes_no_bit(shared, make):
    topology = make()
    decay = 0.3 * torch.randn(topology.num_links, 1 if shared else 150)
    source = torch.randn(topology.num_states, 150)
    outcomes = []
    for count in (1, 2, 4):
        with threads(count):
            outcomes.append(on("native", topology, decay, source))
    for other in outcomes[1:]:
        assert all(torch.equal(a, b) for a, b in zip(outcomes[0], other, strict=True))


def test_not_a_number_reaches_what_its_state_reaches_only():
    topology = Dag(torch.tensor([[0, 1, 3], [1, 2, 2]]), 5)
    source = torch.ones(5, 20)
    source[1, 7] = torch.nan
    bad = native.dag_scan(torch.full((3, 20), 0.5), source, topology).isnan().nonzero().tolist()
    assert bad == [[1, 7], [2, 7]]


def test_memory_layout_changes_nothing():
    topology = random_dag(12, 25)
    decay, source = torch.randn(topology.num_links, 6), torch.randn(12, 6)
    expected = native.dag_scan(decay, source, topology)
    columns = [x.t().contiguous().t() for x in (decay, source)]
    halves = [torch.cat([x, x], 1)[:, :6] for x in (decay, source)]
    for given in (columns, halves):
        torch.testing.assert_close(native.dag_scan(*given, topology), expected, rtol=0, atol=0)


@pytest.mark.parametrize("reversed", [False, True])
@pytest.mark.parametrize("decay_channels", [3, 1])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_operators_are_registered_correctly(reversed, decay_channels, requires_grad):
    topology = random_dag(6, 9)

    def randn(*shape):
        return torch.randn(*shape, dtype=torch.complex128, requires_grad=requires_grad)

    decay, source = randn(topology.num_links, decay_channels), randn(6, 3)
    native.dag_scan(decay, source, topology)
    schedule = scheduled(topology)
    torch.library.opcheck(torch.ops.graphseq.dag_scan.default, (decay, source, *schedule, reversed))
    if not requires_grad:
        inputs = (source, decay, source, *schedule, reversed)
        torch.library.opcheck(torch.ops.graphseq.dag_scan_backward.default, inputs)


@pytest.mark.parametrize("reversed", [False, True])
def test_both_directions_have_derivatives_of_both_orders(reversed):
    topology = random_dag(6, 9)
    decay = torch.randn(topology.num_links, 1, dtype=torch.complex128).requires_grad_()
    source = torch.randn(6, 2, dtype=torch.complex128).requires_grad_()
    native.dag_scan(decay, source, topology)
    schedule = scheduled(topology)

    def scan(decay, source):
        return torch.ops.graphseq.dag_scan(decay, source, *schedule, reversed)

    assert torch.autograd.gradcheck(scan, (decay, source))
    assert torch.autograd.gradgradcheck(scan, (decay, source))


def test_a_graph_is_searched_once_where_an_operator_has_no_kernel(monkeypatch):
    topology = random_dag(6, 9)
    decay, source, schedule = torch.randn(topology.num_links, 2), torch.randn(6, 2), scheduled(topology)
    searched, search = [], Schedule.of
    monkeypatch.setattr(Schedule, "of", lambda *graph: searched.append(graph) or search(*graph))
    for reversed in (False, True, False, True):
        expected = native.dag_scan(decay, source, topology.reverse() if reversed else topology)
        torch.testing.assert_close(_in_pytorch(decay, source, *schedule, reversed), expected)
    assert len(searched) == 1


def test_fake_tensors_give_shapes_without_touching_memory():
    topology = Dag(torch.tensor([[0, 1], [1, 2]]), 3)
    # The schedule is data: it is made by the first scan, outside.
    native.dag_scan(torch.ones(2), torch.ones(3), topology)
    with FakeTensorMode(allow_non_fake_inputs=True):
        states = native.dag_scan(torch.empty(2, 1), torch.empty(3, 4, 5), topology)
    assert states.shape == (3, 4, 5)
