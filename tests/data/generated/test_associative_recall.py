"""Associative recall: a lookup answers every question."""

import pytest

from graphseq.data import AssociativeRecall, load


def test_a_dictionary_of_the_first_half_answers_the_second():
    for data in AssociativeRecall(num_pairs=6, num_keys=9, num_values=5, num_graphs=20):
        assert data.label_mask.tolist() == [False] * 6 + [True] * 6
        held = dict(data.x[:6].tolist())
        assert len(held) == 6
        assert all(value > 0 for value in held.values())
        asked = data.x[6:]
        assert (asked[:, 1] == 0).all()
        assert sorted(asked[:, 0].tolist()) == sorted(held)
        assert [held[key] - 1 for key in asked[:, 0].tolist()] == data.y[6:].tolist()


def test_the_recipe_states_its_categories():
    bench = load("associative-recall", num_pairs=3, num_keys=7, num_values=2, num_train=4, num_val=2, num_test=2)
    assert bench.in_channels == (8, 3)
    assert bench.task.num_outputs == 2


def test_more_pairs_than_keys_are_named():
    with pytest.raises(ValueError, match="num_keys must be at least 9, got 8"):
        AssociativeRecall(num_pairs=9, num_keys=8)
