"""Word problems, and what makes their labels right."""

import itertools

import numpy as np
import pytest
import torch

from graphseq.data import WordProblem, load
from graphseq.data.generated.word_problem import product_table


@pytest.mark.parametrize(("group", "order"), [("z3", 3), ("s3", 6), ("a4", 12), ("s4", 24), ("a5", 60), ("s5", 120)])
def test_tables_are_groups_of_the_right_order(group, order):
    table = product_table(group)
    assert table.shape == (order, order)
    assert (table[0] == np.arange(order)).all()
    assert (table[:, 0] == np.arange(order)).all()
    # Each row and column is a permutation: every element has an inverse.
    assert (np.sort(table, 0) == np.arange(order)[:, None]).all()
    assert (np.sort(table, 1) == np.arange(order)).all()
    a, b, c = np.random.default_rng(0).integers(0, order, (3, 200))
    assert (table[table[a, b], c] == table[a, table[b, c]]).all()


def test_symmetric_groups_do_not_commute_and_cyclic_ones_do():
    assert (product_table("z5") == product_table("z5").T).all()
    assert (product_table("s3") != product_table("s3").T).any()


def test_labels_are_products_of_permutations():
    elements = [np.array(p) for p in itertools.permutations(range(3))]
    for data in WordProblem("s3", num_nodes=(2, 9), num_graphs=20):
        state = np.arange(3)
        for symbol, label in zip(data.x[:, 0].tolist(), data.y.tolist(), strict=True):
            state = elements[symbol][state]
            assert (state == elements[label]).all()


def test_parity_is_the_word_problem_of_two():
    data = WordProblem("z2", num_nodes=50, num_graphs=1)[0]
    assert torch.equal(data.y, data.x[:, 0].cumsum(0) % 2)


def test_the_test_words_are_longer():
    bench = load("word-problem", group="a4", num_nodes=(2, 10), test_nodes=30, num_train=20, num_val=5, num_test=5)
    assert max(data.num_nodes for data in bench.train) <= 10
    assert all(data.num_nodes == 30 for data in bench.test)
    assert bench.task.num_outputs == 12


def test_words_to_choose_an_epoch_by_may_be_longer_too():
    sizes = {"num_nodes": (2, 10), "val_nodes": 20, "test_nodes": 30, "num_train": 20, "num_val": 5, "num_test": 5}
    for name in ("word-problem", "marked-parity"):
        bench = load(name, **sizes)
        assert max(data.num_nodes for data in bench.train) <= 10
        assert {data.num_nodes for data in bench.val} == {20}
        assert {data.num_nodes for data in bench.test} == {30}


@pytest.mark.parametrize("group", ["q8", "s", "s9", "z1", ""])
def test_groups_that_there_are_not_are_named(group):
    with pytest.raises(ValueError, match="group must be z, s or a and a number"):
        WordProblem(group)
