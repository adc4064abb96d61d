"""Modular arithmetic: Python evaluates the same expressions."""

import pytest

from graphseq.data import ModularArithmetic, load


@pytest.mark.parametrize("brackets", [False, True])
@pytest.mark.parametrize("modulus", [2, 5])
def test_labels_are_what_python_makes_of_each_beginning(brackets, modulus):
    expressions = ModularArithmetic(modulus, brackets, num_nodes=(3, 30), num_graphs=60)
    depths = []
    for index, data in enumerate(expressions):
        text = expressions.text(index)
        assert len(text) == data.num_nodes
        assert len(text) % 2 == 1
        for place in range(len(text)):
            beginning = text[: place + 1]
            whole = beginning[-1] not in "+-*(" and beginning.count("(") == beginning.count(")")
            assert data.label_mask[place] == whole
            assert data.y[place] == (eval(beginning) % modulus if whole else -1)
        depths.append(max(text[:end].count("(") - text[:end].count(")") for end in range(len(text))))
    assert max(depths) > 2 if brackets else max(depths) == 0
    used = set("".join(expressions.text(index) for index in range(60)))
    assert used == {*"01234"[:modulus], *"+-*", *("()" if brackets else "")}


def test_the_recipe_states_its_tokens():
    sizes = {"num_nodes": (3, 9), "test_nodes": 40, "num_train": 5, "num_val": 3, "num_test": 3}
    bench = load("modular-arithmetic", modulus=3, **sizes)
    assert bench.in_channels == (6,)
    assert bench.task.num_outputs == 3
    assert {data.num_nodes for data in bench.test} == {39}
    assert load("modular-arithmetic", modulus=3, brackets=True, **sizes).in_channels == (8,)


def test_a_length_without_room_for_a_sign_is_named():
    with pytest.raises(ValueError, match="num_nodes must be a size of at least 3"):
        ModularArithmetic(num_nodes=2)
