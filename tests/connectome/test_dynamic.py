"""From traces to communities in time: planted motifs come back, whatever the order of neurons and animals."""

import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score

from graphseq.connectome import DynamicConnectome, Louvain, MeanWindow, NonNegativeCP
from graphseq.connectome.pairs import folded, pair_tensor
from graphseq.connectome.threshold import top_quantile
from graphseq.data import CalciumRecordings

MODEL = DynamicConnectome(NonNegativeCP(2, restarts=4), Louvain())


@pytest.fixture(scope="module")
def recordings():
    return CalciumRecordings(num_neurons=24, num_frames=400, num_motifs=2, snr=20.0, seed=0)


@pytest.fixture(scope="module")
def found(recordings):
    return MODEL.fit(recordings.traces, recordings.observed, dt=recordings.dt)


def test_planted_communities_come_back(recordings, found):
    on = recordings.activity.unfold(1, 12, 6).mean(-1)
    for window in range(on.shape[1]):
        only = on[:, window] > 0.9
        if int(only.sum()) == 1 and float(on[~only, window].max()) == 0:
            planted = recordings.communities[int(only.long().argmax())]
            assert adjusted_mutual_info_score(planted, found.labels_at()[window]) > 0.6


def test_time_courses_of_motifs_are_those_planted(recordings, found):
    planted = recordings.activity.unfold(1, 12, 6).mean(-1)
    correlation = torch.corrcoef(torch.cat([planted, found.motifs.factors[1].t()]))[:2, 2:]
    assert float(torch.maximum(correlation.diagonal().min(), correlation.flip(1).diagonal().min())) > 0.8


def test_renumbering_neurons_and_animals_renumbers_the_result(recordings, found):
    neurons, animals = torch.randperm(24), torch.randperm(6)
    other = MODEL.fit(
        recordings.traces[animals][:, neurons], recordings.observed[animals][:, neurons], dt=recordings.dt
    )
    # Random starts differ with the order of the pairs; the optimum is the same.
    assert other.motifs.relative_error == pytest.approx(found.motifs.relative_error, rel=1e-3)
    for window in range(0, len(found.starts), 5):
        assert adjusted_mutual_info_score(found.labels_at()[window][neurons], other.labels_at()[window]) > 0.9


def test_times_are_in_seconds(recordings, found):
    """The derivative's width and the windows' starts; windows themselves are in frames."""
    assert recordings.dt == 0.5
    values, mask, _ = pair_tensor(
        recordings.traces, recordings.observed, window=MeanWindow(12, 6), sigma=2.0, dt=recordings.dt
    )
    assert torch.equal(found.values, values) and torch.equal(found.mask, mask)
    assert found.starts[:3].tolist() == [0, 3, 6]


def test_activities_add_up_to_the_reconstruction(found):
    """Of each animal, and their mean over animals."""
    pairs = found.motifs.factors[0].sum(0)
    whole = found.motifs.reconstruct().sum(0)
    for animal in range(6):
        torch.testing.assert_close((found.activity(animal) * pairs).sum(1), whole[:, animal])
    torch.testing.assert_close((found.activity() * pairs).sum(1), whole.mean(1))


def test_a_motif_s_graph_keeps_its_strongest_pairs_alone(recordings, found):
    """Neurons without one of them take no part."""
    for motif in range(2):
        graph = top_quantile(found.motif_graph(motif), MODEL.keep)
        assert torch.equal(found.labels[motif] >= 0, (graph > 0).any(1))
    assert (found.labels == -1).any() and (found.labels >= 0).any()


def test_memberships_are_shares_of_the_motifs_in_which_a_neuron_takes_part(found):
    soft, labels = found.memberships(0), found.global_labels()
    activity = found.activity(0)
    share = activity / activity.sum(1, keepdim=True)
    for neuron in range(24):
        takes_part = (labels[:, neuron] >= 0).to(share)
        torch.testing.assert_close(soft[:, neuron].sum(-1), share @ takes_part)
        for motif in range(2):
            if labels[motif, neuron] >= 0:
                assert (soft[:, neuron, labels[motif, neuron]] >= share[:, motif] - 1e-12).all()


def test_values_of_pairs_fold_into_a_symmetric_matrix():
    graph = folded(torch.tensor([1.0, 2.0, 3.0]), torch.triu_indices(3, 3, 1), 3)
    assert graph.tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]


def test_one_animal_and_constant_traces_are_no_trouble():
    traces = torch.zeros(1, 4, 30)
    traces[0, 0] = torch.arange(30).sin()
    found = DynamicConnectome(NonNegativeCP(1, restarts=1), Louvain(), window=MeanWindow(10)).fit(traces)
    assert found.labels.tolist() == [[-1, -1, -1, -1]]
    assert (found.labels_at() == -1).all()
    assert not found.memberships().isnan().any()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"sigma must be positive, got 0.0"):
        DynamicConnectome(NonNegativeCP(1), Louvain(), sigma=0.0)
    with pytest.raises(ValueError, match=r"keep must be in \(0, 1\], got 2.0"):
        DynamicConnectome(NonNegativeCP(1), Louvain(), keep=2.0)
