"""Thresholds: how much is kept, and what chance alone would give."""

import pytest
import torch

from graphseq.connectome import permutation_null, top_quantile


def _correlation(traces):
    return torch.corrcoef(traces).clamp(min=0)


@pytest.mark.parametrize("keep", [0.1, 0.2, 0.5, 1.0])
def test_the_strongest_share_of_pairs_is_kept_as_it_was(keep):
    weights = torch.rand(3, 11, 11)
    weights = weights + weights.mT
    kept = top_quantile(weights, keep)
    pairs, before = (value[(slice(None), *torch.triu_indices(11, 11, 1))] for value in (kept, weights))
    assert ((pairs > 0).sum(1) == int(keep * 55 + 0.5)).all()
    assert torch.equal(kept, kept.mT) and (kept.diagonal(dim1=1, dim2=2) == 0).all()
    for one, whole in zip(pairs, before, strict=True):
        assert torch.equal(one[one > 0], whole[one > 0])
        assert (whole[one == 0] < one[one > 0].min()).all()


def test_chance_exceeds_the_threshold_as_often_as_was_said():
    generator = torch.Generator().manual_seed(0)
    traces = torch.randn(20, 300, generator=generator)
    threshold = permutation_null(traces, _correlation, permutations=200, quantile=0.9)
    exceeding = (_correlation(traces) > threshold)[tuple(torch.triu_indices(20, 20, 1))]
    # 190 pairs, a tenth of them by chance; three standard errors are 0.065.
    assert abs(exceeding.float().mean() - 0.1) < 0.065


def test_slow_traces_need_more_than_fast_ones():
    fast = torch.randn(6, 400, generator=torch.Generator().manual_seed(0))
    slow = fast.unfold(1, 20, 1).mean(2)
    off = ~torch.eye(6, dtype=torch.bool)
    thresholds = [permutation_null(traces, _correlation, permutations=50)[off].mean() for traces in (fast, slow)]
    assert thresholds[1] > 2 * thresholds[0]


def test_every_animal_has_thresholds_of_its_own_and_the_seed_decides_them():
    traces = torch.randn(2, 4, 50)

    def affinity(given):
        return (given[:, :, None] * given[:, None]).mean(-1)

    one, same, other = (permutation_null(traces, affinity, permutations=9, seed=seed) for seed in (0, 0, 1))
    assert one.shape == (2, 4, 4) and torch.equal(one, same) and not torch.equal(one, other)


def test_turned_traces_keep_their_values_and_move():
    traces = torch.arange(12.0).view(2, 6)
    seen = []
    permutation_null(traces, lambda given: seen.append(given) or given, permutations=5)
    for given in seen:
        assert torch.equal(given.sort(-1).values, traces)
        assert not (given == traces).any()
        assert ((given.diff(dim=-1) == 1).sum(-1) == 4).all()


def test_thresholds_without_meaning_are_refused():
    with pytest.raises(ValueError, match="keep must be above 0 and at most 1, got 0"):
        top_quantile(torch.zeros(2, 2), 0.0)
    with pytest.raises(ValueError, match="quantile must be between 0 and 1, got 2"):
        permutation_null(torch.zeros(2, 5), _correlation, quantile=2.0)
    with pytest.raises(ValueError, match="permutations must be at least 1, got 0"):
        permutation_null(torch.zeros(2, 5), _correlation, permutations=0)
    with pytest.raises(ValueError, match="traces must be at least 2 frames long, got 1"):
        permutation_null(torch.zeros(2, 1), _correlation)
