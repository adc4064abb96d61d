"""The worm recordings: who was seen where, and that names lead to the right rows."""

import numpy as np
import pytest
import torch

from graphseq.data.worms import describe_worms, load_worms


@pytest.fixture(scope="module")
def worms(mirror, tmp_path_factory):
    return load_worms(tmp_path_factory.mktemp("worms"), mirror)


def test_the_recordings_have_their_stated_sizes(worms):
    assert worms.traces.shape == (7, 97, 800) and worms.traces.dtype == torch.float64
    assert worms.observed.shape == (7, 97) and worms.dt == 0.6
    assert len(worms.neurons) == len(set(worms.neurons)) == len(worms.kind) == 97
    assert worms.neurons == tuple(sorted(worms.neurons)) and not any("?" in name for name in worms.neurons)
    assert (worms.observed.sum(0) >= 4).all()
    assert repr(worms) == "Recordings(animals=7, neurons=97, time=800, dt=0.6)"
    assert set(worms.behaviour) >= {"velocity", "reversal"}
    assert all(values.shape == (7, 800) and values.isfinite().all() for values in worms.behaviour.values())


def test_a_neuron_that_was_not_identified_is_missing_not_silent(worms):
    assert worms.traces.isnan().all(-1).eq(~worms.observed).all()
    assert worms.traces.isfinite().all(-1).eq(worms.observed).all()


def test_each_trace_is_the_one_that_bears_the_name(worms, mirror):
    with np.load(f"{mirror}/connectome/neuropal_calcium_dag2023.npz") as arrays:
        for animal, neuron in ((0, 0), (2, 50), (6, 96)):
            prefix = f"w{worms.animals[animal].replace('-', '')}_"
            rows = np.flatnonzero((arrays[prefix + "label"] == worms.neurons[neuron]) & (arrays[prefix + "conf"] >= 3))
            assert bool(len(rows)) == bool(worms.observed[animal, neuron])
            if len(rows):
                np.testing.assert_array_equal(worms.traces[animal, neuron].numpy(), arrays[prefix + "F"][:, rows[0]])


def test_anatomy_goes_by_name(worms, mirror):
    """Of AVE and RIM, which are joined by gap junctions; and left and right lie mirrored."""
    assert torch.equal(worms.gap, worms.gap.T) and worms.gap.any() and worms.chemical.any()
    with np.load(f"{mirror}/connectome/structural_cook2019.npz") as arrays:
        names = arrays["neurons"].tolist()
        i, j = names.index("AVEL"), names.index("RIML")
        here = worms.neurons.index("AVEL"), worms.neurons.index("RIML")
        assert worms.chemical[here].item() == arrays["chemical"][i, j]
        assert worms.gap[here].item() == max(arrays["gap"][i, j], arrays["gap"][j, i]) > 0
    # Which axis runs from head to tail, and which from left to right, the file does not say.
    left, right = (worms.position[list(side)] for side in zip(*worms.homologues(), strict=True))
    spread = worms.position.std(0)
    assert ((left - right).abs().median(0).values / spread).min() < 0.1
    assert len(worms.homologues()) == 36


def test_more_worms_or_more_confidence_leave_fewer_neurons(worms, mirror, tmp_path):
    assert [load_worms(tmp_path, mirror, animals=n).traces.shape[1] for n in (1, 5, 7)] == [136, 78, 32]
    assert load_worms(tmp_path, mirror, confidence=4.5).traces.shape[1] < 97
    with pytest.raises(ValueError, match=r"animals must be at most 7, the most worms .* got 8"):
        load_worms(tmp_path, mirror, animals=8)


def test_the_terms_are_stated():
    stated = describe_worms()
    assert "do not redistribute" in stated["licence"] and "Dag" in stated["citation"]
    assert all(len(file.sha256) == 64 and file.size > 0 for file in stated["files"])


def test_without_the_files_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("GRAPHSEQ_MIRROR", raising=False)
    with pytest.raises(FileNotFoundError, match=r"neuropal_calcium_dag2023\.npz is needed.*set GRAPHSEQ_MIRROR"):
        load_worms(tmp_path)
