"""Splits, chunks, drawn pairs and the generated network."""

import itertools

import networkx as nx
import pytest
import torch

from graphseq.data import (
    ExistenceTask,
    JointTask,
    SignedNetwork,
    WeightTask,
    draw_negatives,
    load,
    signed_benchmark,
    signed_events,
)
from graphseq.data.signed.chunks import chunk_bounds


def tied_events(count=300, seed=0):
    """Times with many ties."""
    g = torch.Generator().manual_seed(seed)
    t = torch.randint(0, count // 4, (count,), generator=g).sort().values
    src = torch.randint(12, (count,), generator=g)
    dst = (src + torch.randint(1, 12, (count,), generator=g)) % 12
    return signed_events(src, dst, t, torch.randint(2, (count,), generator=g))


@pytest.mark.parametrize(
    ("name", "sizes"), [("Bitcoin-OTC", (24914, 5339, 5339)), ("Bitcoin-Alpha", (16940, 3628, 3618))]
)
def test_the_split_is_that_of_temporal_data(real, name, sizes):
    bench = real(name)
    assert tuple(part[0].edge_label.numel() for part in (bench.train, bench.val, bench.test)) == sizes


def test_chunks_together_are_the_whole_pass_and_never_cut_a_tie():
    events = tied_events()
    whole, cut = (signed_benchmark(events, ExistenceTask(), chunk=chunk) for chunk in (None, 17))
    for part in ("train", "val", "test"):
        (one,), many = getattr(whole, part), getattr(cut, part)
        assert len(many) > 3 and [bool(data.begins) for data in many] == [True] + [False] * (len(many) - 1)
        for key in ("edge_index", "event_t", "event_sign", "edge_label", "edge_label_index", "edge_label_t"):
            assert torch.equal(torch.cat([data[key] for data in many], dim=-1 if "index" in key else 0), one[key])
        for before, after in itertools.pairwise(many):
            assert before.event_t[-1] < after.event_t[0]


def test_each_event_is_asked_about_once_and_only_in_its_part():
    events = tied_events()
    bench = signed_benchmark(events, chunk=20)
    asked = [torch.cat([data.edge_label_event for data in part]) for part in (bench.train, bench.val, bench.test)]
    assert torch.equal(torch.cat(asked), torch.arange(300))
    assert next(int(data.edge_index.shape[1]) for data in bench.test) >= 20
    assert sum(data.edge_index.shape[1] for data in bench.test) == 300


def test_a_chunk_begins_where_earlier_events_say():
    events = tied_events()
    bounds = chunk_bounds(events.t, 30)
    for end in (100, 200):
        shorter = chunk_bounds(events.t[:end], 30)
        assert shorter[:-1] == bounds[: len(shorter) - 1]


def test_labels_of_each_task():
    sign = torch.tensor([1, 0] * 5)
    events = signed_events(1 - sign, 2 - sign, torch.arange(10.0), sign, torch.arange(10.0) + 1)
    label = {task: task.labels(events.y, events.msg[:, 0]) for task in (ExistenceTask(2), JointTask(1), WeightTask())}
    exists, joint, weight = label.values()
    assert exists[:2].tolist() == [[1, 0, 0], [1, 0, 0]]
    assert joint[:2].tolist() == [[1, 2], [0, 2]]
    assert weight.flatten().tolist()[:3] == [1, -2, 3]


def test_drawn_pairs_are_no_event_and_were_known_before():
    events = tied_events(600, seed=1)
    drawn = draw_negatives(events, 4, seed=3)
    for number in range(len(events.t)):
        src, t = int(events.src[number]), float(events.t[number])
        same_time = {
            int(d) for s, d in zip(events.src[events.t == t], events.dst[events.t == t], strict=True) if s == src
        }
        assert not same_time & set(drawn[number].tolist()) and src not in drawn[number]
        if number > 300:
            before = events.t < t
            assert set(drawn[number].tolist()) <= set(events.dst[before].tolist())
            assert set(drawn[number, :2].tolist()) <= set(events.dst[before & (events.src == src)].tolist())


def test_nobody_is_drawn_who_becomes_known_later():
    """A new destination every five events, so that most of them are yet to come for most of the stream."""
    number = torch.arange(300)
    dst = 1 + number // 5 - (number % 5) * (number // 25)
    events = signed_events(torch.zeros_like(dst), dst, number.double(), torch.ones(300))
    drawn = draw_negatives(events, 4, seed=3)
    for event in range(50, 300):
        assert set(drawn[event].tolist()) <= set(dst[:event].tolist())


def test_later_events_do_not_change_what_was_drawn_before():
    events = tied_events()
    drawn = draw_negatives(events, 3)
    cut = 200
    later = events[:cut]
    tail = signed_events(
        torch.cat([later.src, torch.tensor([5, 6])]), torch.cat([later.dst, torch.tensor([11, 0])]),
        torch.cat([later.t, later.t[-1] + torch.tensor([1.0, 2.0])]), torch.cat([later.y, torch.tensor([1, 1])]),
    )  # fmt: skip
    assert torch.equal(draw_negatives(tail, 3)[:cut], drawn[:cut])


def test_without_noise_and_drift_the_network_is_balanced():
    network = SignedNetwork(num_nodes=30, num_events=400, noise=0.0, drift=0.0)
    events = network.events
    graph = nx.Graph()
    for s, d, sign in zip(events.src.tolist(), events.dst.tolist(), events.y.tolist(), strict=True):
        # A graph is balanced if joining friends and parting foes leaves two camps: two-colour it, friends by a detour.
        graph.add_edges_from([(s, d)] if sign < 0 else [(s, (s, d)), ((s, d), d)])
    assert nx.is_bipartite(graph)
    drifting = SignedNetwork(num_nodes=30, num_events=400, noise=0.0, drift=3.0)
    assert (drifting.camp[drifting.events.src == 0][:, 0]).unique().numel() == 2


def test_the_generated_network_loads_by_name():
    bench = load("signed-network", num_events=500, task="joint", chunk=50)
    assert bench.task.num_outputs == 3 and bench.num_splits == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "signs"}, "task must be one of sign, existence, joint, weight, got 'signs'"),
        ({"negatives": 2}, "negatives must be 0 for the task sign, got 2"),
        ({"task": "joint", "negatives": 0}, "negatives must be at least 1 for the task joint, got 0"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
        ({"num_events": 2}, "events must fill training, validation and test"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load("signed-network", **options)
