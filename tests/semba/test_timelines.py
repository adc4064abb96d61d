"""Rows of a stream seen from both ends, against a search for each."""

import pytest
import torch

from graphseq.data import SignedNetwork
from graphseq.semba import ScanSEMBA, ScanState, Timelines


@pytest.mark.parametrize("earlier", [None, (torch.tensor([1, 1, 4]), torch.tensor([-9.0, 3.0, 0.0]))])
def test_what_is_before_a_row_and_before_its_peers_is_what_a_search_finds(earlier):
    """Times of only ten values, so that most events are tied, at a node too."""
    events = SignedNetwork(num_nodes=6, num_events=200, duration=10).events
    src = torch.cat([events.src, torch.tensor([2])])  # a self-loop last
    dst = torch.cat([events.dst, torch.tensor([2])])
    t, sign = torch.cat([events.t, events.t[-1:]]) + 3, torch.cat([events.y, torch.tensor([1])])
    lines = Timelines(src, dst, t, sign, 6, None if earlier is None else (earlier[0], earlier[1].double()))
    assert torch.equal(lines.previous, lines.before(lines.owner, lines.t))
    asked = lines.is_event
    assert torch.equal(lines.peer_row[asked], lines.before(lines.peer[asked], lines.t[asked]))
    assert bool((lines.peer_row[~asked] == -1).all())


def test_a_chunk_takes_the_earlier_of_two_states_only_of_nodes_that_were_active_at_its_first_time():
    state = ScanState.empty(3, 1, 2, torch.zeros(()))
    state.t[0], state.t[1] = torch.tensor([1.0, 5.0]), torch.tensor([-torch.inf, 4.0])
    nodes = torch.arange(3)
    for since, owners, times in ((5.0, [0, 0, 1], [1, 5, 4]), (6.0, [0, 1], [5, 4])):
        (owner, t), states = state.rows(nodes, since)
        assert owner.tolist() == owners and t.tolist() == times and len(states) == len(owners)


def test_questions_about_what_is_past_already_are_refused():
    """Their memories are gone: the answer would be wrong without a word."""
    network = ScanSEMBA((3,), 1, edge_channels=1).eval()
    who, whom, t = torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([1.0, 7.0], dtype=torch.float64)
    events = (torch.stack([who, whom]), t, torch.ones(2), torch.ones(2, 1))
    nothing = (torch.empty(2, 0, dtype=torch.int64), t[:0], torch.ones(0), torch.ones(0, 1))
    network.answer(*events, torch.stack([who, whom]), t)
    with pytest.raises(ValueError, match=r"questions must not be before the last event \(7.0\), got t = 1.0"):
        network.answer(*nothing, torch.stack([who, whom]), t)


@pytest.mark.parametrize("name", ["dst", "t", "sign"])
def test_events_of_different_lengths_are_named(unchecked, name):
    given = {
        "src": torch.tensor([0, 1]),
        "dst": torch.tensor([1, 2]),
        "t": torch.tensor([1.0, 2.0], dtype=torch.float64),
        "sign": torch.tensor([1, -1]),
    }
    given[name] = torch.cat([given[name], given[name][-1:]])
    with pytest.raises(ValueError, match=rf"{name} must have shape \[2\], an entry an event, got \[3\]"):
        Timelines(**given, num_nodes=3)
