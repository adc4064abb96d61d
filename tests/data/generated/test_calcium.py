"""Generated calcium recordings: what is planted is what they hold."""

import pytest
import torch

from graphseq.data import CalciumRecordings


def test_neurons_of_a_community_follow_one_drive_while_the_motif_is_on():
    recordings = CalciumRecordings(num_motifs=1, num_animals=3, snr=1e6, missing=0.0, seed=3)
    on, label = recordings.activity[0] > 0.99, recordings.communities[0]
    animal = int(recordings.gains[0].argmax())
    # Far from noise, what is left beside the drive is the slow drift, which differences over a second remove.
    steps = recordings.traces[animal][:, 2:] - recordings.traces[animal][:, :-2]
    steps = steps[:, on[2:] & on[:-2]]
    correlation = torch.corrcoef(steps)
    same = (label[:, None] == label) & (label >= 0)
    assert float(correlation[same].min()) > 0.9
    assert float(correlation[~same & (label >= 0) & (label >= 0)[:, None]].abs().mean()) < 0.4


def test_a_share_of_the_neurons_takes_part_and_missing_ones_are_not_numbers():
    recordings = CalciumRecordings(num_neurons=100, missing=0.3, seed=1)
    assert ((recordings.communities >= 0).sum(1) == 60).all()
    assert all(2 <= int(labels.max()) + 1 <= 4 for labels in recordings.communities)
    assert torch.equal(recordings.traces.isnan().all(-1), ~recordings.observed)
    assert torch.equal(recordings.traces.isnan().any(-1), ~recordings.observed)
    assert 0.6 < float(recordings.observed.double().mean()) < 0.8
    assert float(recordings.gains.sum(1).min()) > 0


@pytest.mark.parametrize("snr", [1.0, 10.0])
def test_white_noise_has_the_stated_share_of_the_variance(snr):
    quiet, noisy = (CalciumRecordings(num_frames=4000, snr=ratio, missing=0.0, seed=5) for ratio in (1e9, snr))
    noise = (noisy.traces - quiet.traces).var(dim=(1, 2))
    # Half the signal's deviation is drift, the same in both.
    signal = (quiet.traces - quiet.traces.mean(-1, keepdim=True)).var(dim=(1, 2))
    assert (noise * snr / signal < 1.1).all()
    assert (noise * snr / signal > 0.7).all()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"snr and dt must be positive, got 0.0 and 0.5"):
        CalciumRecordings(snr=0.0)
    with pytest.raises(ValueError, match=r"missing must be a probability below 1, got 1.0"):
        CalciumRecordings(missing=1.0)
