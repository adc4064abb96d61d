"""A dynamic connectome as PyG's data."""

from dataclasses import replace

import pytest
import torch

from graphseq.connectome import (
    DynamicConnectome,
    Louvain,
    NonNegativeCP,
    affinity_events,
    functional_and_anatomical,
    window_graphs,
)
from graphseq.data import CalciumRecordings


@pytest.fixture(scope="module")
def found():
    recordings = CalciumRecordings(num_neurons=8, num_animals=2, num_frames=80, num_motifs=2, missing=0.3, seed=2)
    return DynamicConnectome(NonNegativeCP(2, restarts=1), Louvain()).fit(recordings.traces, dt=recordings.dt)


def test_a_window_s_graph_holds_the_affinities_of_the_animal(found):
    graphs = window_graphs(found, animal=1)
    assert len(graphs) == len(found.starts)
    for window, graph in enumerate(graphs):
        matrix = torch.zeros(8, 8, dtype=torch.float64)
        matrix[graph.edge_index[0], graph.edge_index[1]] = graph.edge_weight
        assert torch.equal(matrix, matrix.t())
        assert torch.equal(matrix[found.pairs[0], found.pairs[1]], found.values[:, window, 1] * found.mask[:, 1])
        assert torch.equal(graph.y, found.labels_at(animal=1)[window])
        assert torch.equal(graph.membership, found.memberships(1)[window])
        assert (graph.time, graph.animal) == (found.starts[window], 1)
        assert graph.edge_index is graphs[0].edge_index
        assert graph.is_undirected()


def test_a_motif_that_an_animal_lacks_gives_its_neurons_no_labels(found):
    pairs, times, animals = found.motifs.factors
    lacking = replace(found, motifs=replace(found.motifs, factors=(pairs, times, animals * torch.tensor([[0.0], [1]]))))
    assert all((graph.y == -1).all() and (graph.membership == 0).all() for graph in window_graphs(lacking, animal=0))
    assert any((graph.y >= 0).any() for graph in window_graphs(lacking, animal=1))


def test_events_are_the_strong_affinities_in_order_of_time(found):
    level = float(found.values.mean())
    events = affinity_events(found, animal=0, above=level)
    assert len(events.t) == int(((found.values[:, :, 0] > level) & found.mask[:, 0, None]).sum())
    assert bool((events.t.diff() >= 0).all())
    number = torch.randint(len(events.t), ()).item()
    pair = (found.pairs == torch.stack([events.src, events.dst])[:, number, None]).all(0).nonzero().item()
    window = int((found.starts == events.t[number]).nonzero())
    assert float(events.msg[number]) == pytest.approx(float(found.values[pair, window, 0]))


def test_anatomy_and_function_stand_side_by_side(found):
    chemical = torch.zeros(8, 8)
    chemical[2, 5] = 3
    data = functional_and_anatomical(found, {"chemical": chemical})
    assert data["neuron", "chemical", "neuron"].edge_index.tolist() == [[2], [5]]
    assert data["neuron", "chemical", "neuron"].edge_weight.tolist() == [3]
    motif = data["neuron", "motif_1", "neuron"]
    assert torch.equal(motif.edge_weight, found.motif_graph(1)[motif.edge_index[0], motif.edge_index[1]])
    assert torch.equal(data["neuron"].y, found.labels.t())
    strong = functional_and_anatomical(found, {}, above=0.5)["neuron", "motif_0", "neuron"].edge_weight
    weights = found.motif_graph(0)
    assert len(strong) == int((weights > 0.5 * weights.max()).sum()) < int((weights > 0).sum())
    with pytest.raises(ValueError, match=r"anatomy\['gap'\] must have shape \[8, 8\], got \[3, 3\]"):
        functional_and_anatomical(found, {"gap": torch.zeros(3, 3)})
