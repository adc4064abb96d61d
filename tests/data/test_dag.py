"""Directed acyclic graphs and line graphs on ``Data``, in batches."""

import pickle

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData, InMemoryDataset
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

from graphseq.data import AddDag, AddLineGraph, DagData
from graphseq.data.pretransform import Pretransformed
from graphseq.scan import Dag, DagOrder, available_backends, edges, line_graph, linear_scan, schedule, use_backend

# With nodes of many edges, several components, an isolated node, no edges, no nodes.
SIZES = [(9, 30), (0, 0), (12, 8), (3, 0), (1, 0), (20, 60)]
FAST = [name for name in available_backends("dag_scan") if name != "reference"]


def _graph(num_nodes, num_edges, seed):
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(0, max(num_nodes, 1), (2, num_edges), generator=generator)
    pairs = pairs[:, pairs[0] != pairs[1]].sort(0).values
    edge_index = torch.randperm(max(num_nodes, 1), generator=generator)[pairs]
    return Data(x=torch.randn(num_nodes, 2, generator=generator), edge_index=edge_index, y=torch.tensor([seed]))


def _plain():
    return [_graph(*sizes, seed) for seed, sizes in enumerate(SIZES)]


def _graphs():
    return [AddLineGraph()(AddDag()(graph)) for graph in _plain()]


def _topologies(data):
    """What is stored, beside what is searched for anew."""
    nodes = data.num_nodes
    return [
        (data.dag(), Dag(data.edge_index, nodes)),
        (data.line_graph(), line_graph(data.edge_index, nodes)),
    ]


def _assert_same(stored, searched):
    assert type(stored) is type(searched)
    assert torch.equal(stored.edge_index, searched.edge_index)
    assert torch.equal(stored.level, searched.level)
    assert stored.depth == searched.depth


def _outcome(topology, reverse):
    generator = torch.Generator().manual_seed(0)
    decay, source = (
        torch.randn(count, 3, dtype=torch.float64, generator=generator).requires_grad_()
        for count in (topology.num_links, topology.num_states)
    )
    states = linear_scan(0.5 * decay, source, topology, reverse=reverse)
    return [states, *torch.autograd.grad(states.square().sum() + 0 * decay.sum(), [decay, source])]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_batched_topology_is_that_of_the_batched_edges(backend, reverse):
    for stored, searched in _topologies(Batch.from_data_list(_graphs())):
        _assert_same(stored, searched)
        with use_backend(backend):
            for a, b in zip(_outcome(searched, reverse), _outcome(stored, reverse), strict=True):
                torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", FAST)
def test_a_batch_is_scanned_without_a_search(backend, reverse, monkeypatch):
    batch = Batch.from_data_list(_graphs())

    def refuse(*_, **__):
        raise AssertionError("something searched or sorted anew")

    for name in ("connected_components", "levels", "_topological", "_by_component", "_grouped"):
        monkeypatch.setattr(schedule, name, refuse)
    monkeypatch.setattr(edges, "_consecutive", refuse)
    for name in ("argsort", "lexsort", "sort", "unique"):
        monkeypatch.setattr(np, name, refuse)
    for name in ("sort", "unique"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    sort = torch.Tensor.argsort
    for topology in (batch.dag(), batch.line_graph()):
        assert topology.num_links > topology.num_states

        def states_only(tensor, *args, at_most=topology.num_states, **kwargs):
            assert tensor.numel() <= at_most, "links were sorted anew"
            return sort(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, "argsort", states_only)
        with use_backend(backend):
            _outcome(topology, reverse)


def test_a_batch_gives_threads_parts_that_no_link_joins():
    for stored, _ in _topologies(Batch.from_data_list(_graphs() * 30)):
        part, place = stored.schedule.part, stored.schedule.place
        assert 32 < len(part) - 1 <= 64
        sender, receiver = torch.searchsorted(part, place[stored.edge_index], right=True)
        assert torch.equal(sender, receiver)


def test_nodes_of_a_batch_come_in_order_and_in_parts_that_no_edge_joins():
    topology = Batch.from_data_list(_graphs() * 30).line_graph()
    crossings = topology.crossings
    place = torch.empty_like(crossings.node).index_copy_(0, crossings.node, torch.arange(topology.num_nodes))
    assert crossings.node.sort().values.equal(torch.arange(topology.num_nodes))
    tail, head = place[topology.node_edge_index]
    assert (tail < head).all()
    assert 16 < len(crossings.part) - 1 <= 64
    assert torch.searchsorted(crossings.part, tail, right=True).equal(
        torch.searchsorted(crossings.part, head, right=True)
    )


def test_batching_and_separating_gives_each_graph_back():
    graphs = _graphs()
    batch = Batch.from_data_list(graphs)
    for separated in (batch.to_data_list(), [batch.get_example(number) for number in range(len(graphs))]):
        for before, after in zip(graphs, separated, strict=True):
            assert before.keys() == after.keys()
            assert all(torch.equal(before[key], after[key]) for key in before.keys())  # noqa: SIM118
            for pair in _topologies(after):
                _assert_same(*pair)


def test_a_batch_of_batches_keeps_the_topology():
    twice = Batch.from_data_list(Batch.from_data_list(_graphs()).to_data_list()[::-1])
    for pair in _topologies(twice):
        _assert_same(*pair)


def test_topology_goes_through_worker_processes_and_pickles():
    loader = DataLoader(_graphs(), batch_size=4, num_workers=1)
    for batch in (*loader, pickle.loads(pickle.dumps(Batch.from_data_list(_graphs())))):
        for pair in _topologies(batch):
            _assert_same(*pair)


def test_topology_moves_with_the_data():
    data = _graphs()[0].to("cpu", torch.float64)
    moved = data.dag().to("cpu")
    assert torch.equal(moved.edge_index, data.edge_index)
    assert data.dag().device == data.edge_index.device
    # What is stored is all there is to move: no part of it stays on the host.
    on_meta = data.clone().to("meta")
    assert all(on_meta[f"{kind}_{name}"].is_meta for kind in ("dag", "line_graph") for name in DagOrder._fields)


def test_stored_transforms_come_back_as_they_were(tmp_path):
    dataset = InMemoryDataset(None)
    dataset.data, dataset.slices = dataset.collate(_plain())
    transform = Compose([AddDag(), AddLineGraph()])
    for _ in range(2):
        stored = Pretransformed(dataset, transform, tmp_path)
        assert len(list((tmp_path / "pretransformed").iterdir())) == 1
        for pair in _topologies(Batch.from_data_list(list(stored))):
            _assert_same(*pair)


def test_what_the_graph_carried_stays_and_the_graph_given_does_not_change():
    plain = _graph(5, 9, 0)
    keys = set(plain.keys())
    added = AddDag()(plain)
    assert set(plain.keys()) == keys
    assert all(torch.equal(plain[key], added[key]) for key in keys)


@pytest.mark.parametrize("topology", ["dag", "line_graph"])
def test_topology_of_edges_that_have_changed_is_refused(topology):
    data = Batch.from_data_list(_graphs())
    data.edge_index = data.edge_index[:, 1:]
    with pytest.raises(ValueError, match=r"changed since|must have shape"):
        getattr(data, topology)()
    data = Batch.from_data_list(_graphs())
    data.edge_index = data.edge_index.flip(0)
    with pytest.raises(ValueError, match="must belong to"):
        getattr(data, topology)()


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        (lambda: AddDag()(Data(x=torch.ones(2, 1))), ValueError, "data must have an edge_index, got the keys ['x']"),
        (lambda: AddDag()(HeteroData()), TypeError, "data must be a Data, got a HeteroData"),
        (
            lambda: DagData(edge_index=torch.zeros(2, 0).long(), num_nodes=1).dag(),
            ValueError,
            "AddDag()",
        ),
        (lambda: AddDag()(_plain()[0]).line_graph(), ValueError, "data must have passed through AddLineGraph()"),
        (
            lambda: AddLineGraph()(Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)),
            ValueError,
            "edge_index must be acyclic",
        ),
    ],
)
def test_wrong_use_is_named(use, error, words, unchecked):
    with pytest.raises(error) as caught:
        use()
    assert words in str(caught.value)
