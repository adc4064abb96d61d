"""Topologies say which state feeds which, and refuse what does not."""

import pytest
import torch

from graphseq.scan import Ragged


def test_first_last_and_position_follow_the_scan_direction():
    ahead = Ragged(torch.tensor([0, 2, 2, 5]))
    assert ahead.first.tolist() == [0, 2]
    assert ahead.last.tolist() == [1, 4]
    assert ahead.position.tolist() == [0, 1, 0, 1, 2]
    back = ahead.reverse()
    assert back.first.tolist() == [1, 4]
    assert back.last.tolist() == [0, 2]
    assert back.position.tolist() == [1, 0, 2, 1, 0]


def test_reversed_twice_is_the_original():
    topology = Ragged(torch.tensor([0, 3]))
    assert topology.reverse().reverse() is topology


def test_from_batch_keeps_graphs_without_nodes():
    topology = Ragged.from_batch(torch.tensor([0, 0, 2]), 4)
    assert topology.ptr.tolist() == [0, 2, 2, 3, 3]
    assert topology.segment.tolist() == [0, 0, 2]


def test_equal_segments_view_a_dense_batch():
    assert Ragged.equal(2, 3).ptr.tolist() == [0, 3, 6]
    assert Ragged.equal(2, 0).num_states == 0


@pytest.mark.parametrize(
    ("ptr", "error", "words"),
    [
        (torch.tensor([1, 3]), ValueError, "ptr must start at 0, got [1, 3]"),
        (torch.tensor([0, 3, 2]), ValueError, "ptr must not decrease, got 2 after 3 at position 2"),
        (torch.tensor([]).long(), ValueError, "ptr must have shape [num_segments + 1], got [0]"),
        (torch.tensor([[0, 1]]), ValueError, "ptr must have shape [num_segments + 1], got [1, 2]"),
        (torch.tensor([0, 3], dtype=torch.int32), TypeError, "ptr must be an int64 tensor, got torch.int32"),
        ([0, 3], TypeError, "ptr must be an int64 tensor, got list"),
    ],
)
def test_wrong_ptr_is_named(ptr, error, words, unchecked):
    with pytest.raises(error) as caught:
        Ragged(ptr)
    assert words in str(caught.value)


@pytest.mark.parametrize("batch", [[1, 0], [0, 5], [-1, 0]])
def test_wrong_batch_is_named(batch):
    with pytest.raises(ValueError, match="batch must be sorted and hold numbers in"):
        Ragged.from_batch(torch.tensor(batch), 2)
