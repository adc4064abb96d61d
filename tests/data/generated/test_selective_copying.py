"""Selective copying: what is no blank, in its order."""

import pytest

from graphseq.data import SelectiveCopying, load


def test_markers_ask_for_the_symbols_in_their_order():
    places = set()
    for data in SelectiveCopying(num_copied=4, num_symbols=5, num_nodes=(8, 30), num_graphs=40):
        tokens = data.x[:, 0].tolist()
        shown = [token - 2 for token in tokens[:-4] if token]
        assert tokens[-4:] == [1] * 4
        assert all(0 <= symbol < 5 for symbol in shown)
        assert data.y[-4:].tolist() == shown
        assert data.label_mask.tolist() == [False] * (len(tokens) - 4) + [True] * 4
        places.add(tuple(place for place, token in enumerate(tokens[:-4]) if token))
    assert len(places) > 20


def test_the_test_sequences_have_more_blanks():
    bench = load("selective-copying", num_copied=3, num_nodes=10, test_nodes=50, num_train=4, num_val=2, num_test=2)
    assert bench.in_channels == (16,)
    assert {data.num_nodes for data in bench.train} == {10}
    assert {data.num_nodes for data in bench.test} == {50}


def test_sequences_without_room_for_symbols_and_markers_are_named():
    with pytest.raises(ValueError, match="num_nodes must be a size of at least 8"):
        SelectiveCopying(num_copied=4, num_nodes=7)
