"""The choice of a community method by what it predicts."""

import pytest
import torch

from graphseq.connectome import Louvain, SelectedCommunities, WeightedSBM, select_communities
from tests.connectome.graphs import planted, same_partition


def _together(weights):
    return torch.zeros(len(weights), dtype=torch.long)


@pytest.mark.parametrize("folds", [None, 3])
def test_a_method_that_finds_the_communities_is_chosen(folds):
    weights, labels = planted((20, 18), inside=0.9, between=0.05)
    methods = {"together": _together, "apart": lambda weights: torch.arange(len(weights)), "Louvain": Louvain()}
    chosen = select_communities(weights, methods, folds)
    assert chosen.method == "Louvain" and same_partition(chosen.labels, labels)
    assert chosen.scores["Louvain"] == max(chosen.scores.values())


@pytest.mark.parametrize("folds", [None, 3])
def test_a_block_model_is_chosen_where_modularity_is_blind(folds):
    weights, labels = planted((12, 12), inside=0.1, between=0.8)
    methods = {"Louvain": Louvain(), "model": WeightedSBM()}
    chosen = select_communities(weights, methods, folds)
    assert chosen.method == "model" and same_partition(chosen.labels, labels)


@pytest.mark.parametrize("folds", [None, 5])
def test_no_communities_are_chosen_where_there_are_none(folds):
    weights, _ = planted((30,), inside=0.4)
    chosen = select_communities(weights, {"Louvain": Louvain(), "together": _together}, folds)
    assert chosen.method == "together"


def test_hubs_of_a_community_are_not_one_of_their_own():
    """Which would explain the links better, if each pair of blocks may differ: hubs here do not link to one another."""
    weights, labels = planted((25, 25), inside=0.2, between=0.05)
    hub = torch.arange(50) % 25 < 10
    weights[(hub[:, None] != hub) & (labels[:, None] == labels)] = 1.0
    weights[hub[:, None] & hub] = 0.0
    methods = {"communities": lambda _: labels, "roles": lambda _: labels + 2 * hub}
    assert select_communities(weights, methods).method == "communities"
    general = WeightedSBM(degree_corrected=True, strength_normalise=True)
    assert select_communities(weights, methods, judge=general).method == "roles"


def test_methods_never_see_what_they_are_judged_by():
    weights, _ = planted((10, 10))
    seen = []

    def method(given):
        seen.append(given > 0)
        return _together(given)

    select_communities(weights, {"spy": method}, 4)
    *folds, whole = seen
    assert torch.equal(whole, weights > 0)
    hidden = torch.stack([whole & ~fold for fold in folds])
    # Each link is hidden exactly once.
    assert torch.equal(hidden.sum(0), whole.long())


def test_the_seed_decides_all():
    weights, _ = planted((8, 8), seed=3)
    methods = {"Louvain": Louvain(), "together": _together}
    one, same, other = (select_communities(weights, methods, 3, seed) for seed in (0, 0, 1))
    assert one.scores == same.scores and one.scores != other.scores
    selected = SelectedCommunities(methods, folds=3, seed=0)(weights)
    assert torch.equal(selected, one.labels)


def test_the_posterior_of_what_is_found_is_the_score():
    weights, _ = planted((8, 8), seed=3)
    methods = {"Louvain": Louvain(), "together": _together}
    judge = WeightedSBM(alike=True)
    chosen = select_communities(weights, methods, judge=judge)
    for name, method in methods.items():
        labels = method(weights)
        expected = judge.log_likelihood(weights, labels) + judge.log_prior(labels)
        assert chosen.scores[name] == pytest.approx(expected / 120)
    assert torch.equal(SelectedCommunities(methods)(weights), select_communities(weights, methods).labels)


def test_choices_without_meaning_are_refused():
    weights, _ = planted((3, 3))
    with pytest.raises(ValueError, match="methods must hold at least one"):
        select_communities(weights, {})
    with pytest.raises(ValueError, match=r"folds must be between 2 and the number of pairs \(15\), got 1"):
        select_communities(weights, {"together": _together}, 1)
