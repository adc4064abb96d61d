"""Counts against a plain loop, and scores by hand."""

import torch

from graphseq.data import SignedNetwork
from graphseq.semba import Timelines, best_threshold, count_features, score_signs, unseen_ends


def test_counts_are_those_of_a_loop_over_strictly_earlier_events():
    events = SignedNetwork(num_nodes=12, num_events=120, duration=60).events
    lines = Timelines(events.src, events.dst, events.t, events.y, 12)
    pairs = torch.stack([events.src, events.dst])
    found = count_features(lines, pairs, events.t)
    for number in range(120):
        before = events.t < events.t[number]
        expected = []
        for node in pairs[:, number]:
            counts = [
                float((before & (ends == node) & (events.y == sign)).sum())
                for ends in (events.src, events.dst)
                for sign in (1, -1)
            ]
            expected += torch.tensor(counts).log1p().tolist()
            expected += [(counts[k + 1] + 0.1) / (counts[k] + counts[k + 1] + 1) for k in (0, 2)]
        reverse = before & (events.src == events.dst[number]) & (events.dst == events.src[number])
        last = float(events.y[reverse][-1]) if bool(reverse.any()) else 0.0
        expected += [float(reverse.any()), last]
        torch.testing.assert_close(found[number], torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_scores_of_a_perfect_ranking():
    logits, positive = torch.tensor([-3.0, -2.0, 1.0, 4.0]), torch.tensor([False, False, True, True])
    threshold = best_threshold(logits, positive)
    assert -2 < threshold <= 1
    assert score_signs(logits, positive, threshold) == (1.0, 1.0, 1.0, 4)
    assert score_signs(-logits, positive, threshold).rocauc == 0


def test_ends_unseen_in_training_are_counted():
    trained = torch.tensor([[0, 1], [1, 2]])
    assert unseen_ends(torch.tensor([[0, 0, 3], [1, 3, 4]]), trained, 5).tolist() == [0, 1, 2]
