"""The atlas is a mean over the windows of an epoch; pictures draw what was found."""

from dataclasses import replace

import pytest
import torch

from graphseq.connectome import (
    CPFit,
    DynamicCommunities,
    atlas,
    plot_communities,
    plot_neurons,
    plot_recording,
)


@pytest.fixture
def found():
    weights = torch.tensor([2.0, 1.0])
    factors = (torch.eye(6)[:, :2], torch.tensor([[0.0, 1, 0, 0, 0], [0, 0, 0, 1, 1]]).t(), torch.ones(2, 2))
    fit = CPFit(weights, factors, torch.zeros(1), torch.zeros(1), 0.0, True)
    labels = torch.tensor([[0, 0, 1, -1], [-1, 0, 0, 0]])
    pairs = torch.triu_indices(4, 4, 1)
    return DynamicCommunities(fit, labels, pairs, torch.arange(5) * 3.0, torch.rand(6, 5, 2), torch.ones(6, 2) > 0)


def test_each_epoch_gets_the_mean_rise_of_its_windows(found):
    epochs = {"odour": torch.tensor([False, True, True, False, False]), "never": torch.zeros(5, dtype=torch.bool)}
    table = atlas(found, epochs, names=["AWA", "AWB", "AWC", "ASE"])
    assert table.to_dict("list") == {
        "epoch": ["odour"] * 3,
        "motif": [0, 0, 1],
        "community": [0, 1, 0],
        "rise": [0.5, 0.5, 0.0],
        "contrast": pytest.approx([0.5, 0.5, -2 / 3]),
        "neurons": ["AWA, AWB", "AWC", "AWB, AWC, ASE"],
    }


def test_a_motif_that_an_animal_lacks_does_not_rise_in_it(found):
    """In the table and in the picture, whose neurons go by the motif that the animal has."""
    pairs, times, _ = found.motifs.factors
    found = replace(found, motifs=replace(found.motifs, factors=(pairs, times, torch.tensor([[1.0, 1], [0, 1]]))))
    epochs = {"odour": torch.tensor([False, True, False, True, True])}
    assert atlas(found, epochs)["rise"].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    table = atlas(found, epochs, animal=1)
    assert table["rise"].tolist() == pytest.approx([0, 0, 2 / 3])
    assert table["neurons"].tolist() == ["0, 1", "2", "1, 2, 3"]
    traces = torch.arange(4.0).expand(15, 4).t().clone()
    traces[:, ::2] *= -1
    raster, courses = plot_recording(found, traces.expand(2, 4, 15), dt=1.0, animal=1).axes
    assert not courses.lines[0].get_ydata().any() and courses.lines[1].get_ydata().any()
    # A trace of zeros shows which row is neuron 0, which takes no part in the second motif and so comes last.
    rows = torch.as_tensor(raster.images[0].get_array())
    assert (rows.diff().abs().sum(1) > 0).tolist() == [True, True, True, False]
    assert rows.amin() == 0 and rows.amax() == 1


def test_labels_follow_the_motif_that_has_risen_and_count_communities_through(found):
    assert found.global_labels().tolist() == [[0, 0, 1, -1], [-1, 2, 2, 2]]
    nobody, first, second = [-1] * 4, [0, 0, 1, -1], [-1, 2, 2, 2]
    assert found.labels_at().tolist() == [nobody, first, nobody, second, second]


def test_wrong_lengths_are_named(found):
    with pytest.raises(ValueError, match=r"epochs\['odour'\] must have shape \[5\], got \[3\]"):
        atlas(found, {"odour": torch.ones(3, dtype=torch.bool)})
    with pytest.raises(ValueError, match="names must have one entry for each of 4 neurons, got 1"):
        atlas(found, {}, names=["AWA"])


def test_pictures_show_every_neuron_and_motif(found):
    matrices = [axes.images[0].get_array() for axes in plot_communities(found).axes]
    # Of the first motif, the only pair joins neurons 0 and 1, which its order puts after neuron 2.
    assert [tuple(array.shape) for array in matrices] == [(4, 4), (4, 4)]
    assert matrices[0].sum() == 2
    assert matrices[0][1, 2] == 1
    # Lines run between communities: neuron 2 alone, neurons 0 and 1, and the one that takes no part.
    assert [line.get_ydata()[0] for line in plot_communities(found).axes[0].lines[::2]] == [0.5, 2.5]
    traces = torch.rand(2, 4, 15)
    traces[0, 3] = torch.nan
    raster, courses = plot_recording(found, traces, dt=1.0).axes
    assert raster.images[0].get_array().shape == (3, 15)
    assert courses.lines[1].get_ydata().tolist() == [0, 0, 0, 1, 1]
    (axes,) = plot_neurons(found, torch.rand(4, 2), 0, names="ABCD").axes
    assert [len(line.get_xdata()) for line in axes.lines] == [1, 2, 1]
    assert [text.get_text() for text in axes.texts] == ["A", "B", "C"]
    flat = torch.tensor([0.0, 1, 2, 3])[:, None] * torch.tensor([0.1, 5, 1])
    (axes,) = plot_neurons(found, flat, 0).axes
    assert axes.lines[0].get_xydata().tolist() == [[15, 3]]
    with pytest.raises(ValueError, match=r"motif must be one of 0\.\.1, got 2"):
        plot_neurons(found, torch.rand(4, 2), 2)
