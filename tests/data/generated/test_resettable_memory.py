"""Memory that has to be reset: each episode's own cue, or none."""

import itertools

import pytest
import torch

from graphseq.data import ResettableMemory, load


def test_the_last_step_of_an_episode_asks_for_the_cue_of_its_first():
    without, lengths = [], set()
    for data in ResettableMemory(num_cues=3, episode_length=(2, 7), num_nodes=(20, 40), num_graphs=40):
        assert data.starts[0]
        bounds = [*data.starts.nonzero().flatten().tolist(), data.num_nodes]
        for begin, end in itertools.pairwise(bounds):
            cue = data.x[begin, 0].item()
            assert (data.x[begin + 1 : end, 0] == 0).all()
            if end == data.num_nodes and not data.label_mask[end - 1]:
                assert not data.label_mask[begin:].any()
                continue
            assert data.x[begin:end, 2].tolist() == [1] + [0] * (end - begin - 2) + [2]
            assert data.label_mask[begin:end].tolist() == [False] * (end - begin - 1) + [True]
            assert data.y[end - 1] == cue
            without.append(cue == 0)
            lengths.add(end - begin)
    assert lengths == {2, 3, 4, 5, 6, 7}
    # Of some 250 episodes a quarter, with a standard error of 0.03.
    assert abs(sum(without) / len(without) - 0.25) < 0.12


def test_the_recipe_states_its_columns_and_keeps_the_starts():
    sizes = {"episode_length": 5, "num_nodes": 10, "test_nodes": 30, "num_train": 4, "num_val": 2, "num_test": 2}
    bench = load("resettable-memory", num_cues=3, **sizes)
    assert bench.in_channels == (4, 3, 3)
    assert bench.task.num_outputs == 4
    assert {data.num_nodes for data in bench.test} == {30}
    assert torch.equal(bench.train[0].starts.nonzero().flatten(), torch.tensor([0, 5]))


def test_rollouts_shorter_than_an_episode_are_named():
    with pytest.raises(ValueError, match="num_nodes must be a size of at least 20"):
        ResettableMemory(num_nodes=10)
