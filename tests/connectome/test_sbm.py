"""The weighted block model: its score, and the search for a higher one."""

import itertools

import numpy as np
import pytest
import torch

from graphseq.connectome import WeightedSBM, modularity
from graphseq.connectome.climb import climb
from graphseq.connectome.evidence import PairModel
from graphseq.connectome.partition import Partition, PlantedPartition, SharedBetweenPartition
from tests.connectome.graphs import planted, random_weights, same_partition

GOLDEN = {"rel": 1e-9, "abs": 1e-11}
MODELS = [
    {"degree_corrected": corrected, "strength_normalise": normalised, **kind}
    for corrected, normalised, kind in [
        (False, False, {}),
        (True, False, {}),
        (False, True, {}),
        (True, True, {}),
        (True, True, {"shared_between": True}),
        (True, True, {"alike": True}),
    ]
]


def _partition(weights, labels, degree_corrected, strength_normalise, shared_between=False, alike=False):
    matrix = weights.numpy()
    observed = ~np.eye(len(matrix), dtype=bool)
    power = 0.5 if strength_normalise else None
    model = PairModel.of(matrix, observed, degree_corrected=degree_corrected, strength_power=power)
    kind = PlantedPartition if alike else SharedBetweenPartition if shared_between else Partition
    return kind(model.statistics(matrix, observed), model.evidence, labels)


def test_scores_are_the_reference_numbers(golden):
    reference = golden("connectome/priors_sbm_dev")
    weights, model = reference["sbm_adj"], WeightedSBM()
    for number, labels in enumerate(reference["sbm_partitions"]):
        assert modularity(weights, labels) == pytest.approx(float(reference["modularity"][number]), **GOLDEN)
        assert model.log_likelihood(weights, labels) == pytest.approx(float(reference["sbm_loglik"][number]), **GOLDEN)
        assert model.log_prior(labels) == pytest.approx(float(reference["sbm_logprior"][number]), **GOLDEN)


@pytest.mark.parametrize("options", MODELS)
def test_gains_are_the_differences_of_recomputed_scores(options):
    weights = random_weights(12, 0.5, 1)
    rng = np.random.default_rng(2)
    partition = _partition(weights, rng.integers(0, 4, 12), **options)
    every = partition.gains(np.arange(12))
    np.testing.assert_array_equal(partition.gains(np.array([3, 7]), [2, 0]), every[[3, 7]][:, [2, 0]])
    for node in range(12):
        gains, labels = every[node], partition.labels.copy()
        for block in range(partition.num_blocks + 1):
            moved = labels.copy()
            moved[node] = block
            expected = _partition(weights, moved, **options).score - partition.score
            assert gains[block] - gains[labels[node]] == pytest.approx(expected, abs=1e-9)
    gains = partition.merge_gains()
    for one, two in itertools.combinations(range(partition.num_blocks), 2):
        merged = np.where(partition.labels == two, one, partition.labels)
        expected = _partition(weights, merged, **options).score - partition.score
        assert gains[one, two] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("options", MODELS)
def test_sums_kept_up_to_date_are_those_of_the_labels(options):
    weights = random_weights(15, 0.4, 3)
    rng = np.random.default_rng(4)
    partition = _partition(weights, rng.integers(0, 3, 15), **options)
    for _ in range(60):
        partition.move(int(rng.integers(15)), int(rng.integers(partition.num_blocks + 1)))
        fresh = _partition(weights, partition.labels, **options)
        np.testing.assert_allclose(partition.sums, fresh.sums, atol=1e-10)
        np.testing.assert_allclose(partition.links, fresh.links, atol=1e-10)
        assert partition.score == pytest.approx(fresh.score, abs=1e-9)


@pytest.mark.parametrize("options", MODELS)
def test_the_score_never_falls_and_is_that_of_the_labels(options):
    weights = random_weights(30, 0.3, 5)
    model = WeightedSBM(**options)
    fit = model.fit(weights)
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(fit.history))
    expected = model.log_likelihood(weights, fit.labels) + model.log_prior(fit.labels)
    assert fit.score == pytest.approx(expected, abs=1e-8)
    assert fit.history[-1] == pytest.approx(fit.score, abs=1e-8)
    assert torch.equal(model(weights), fit.labels)


def test_no_single_move_or_merge_gains_in_the_end():
    partition = _partition(random_weights(25, 0.4, 6), np.arange(25) % 3, **MODELS[0])
    climb(partition, np.random.default_rng(0), 100)
    for node, gains in enumerate(partition.gains(np.arange(25))):
        assert gains.max() < gains[partition.labels[node]] + 1e-7
    assert partition.num_blocks == 1 or partition.merge_gains().max() < 1e-7


def test_the_search_finds_the_best_of_all_partitions_of_a_small_graph():
    weights, _ = planted((3, 4), seed=1)
    model = WeightedSBM()
    best = max(
        model.log_likelihood(weights, labels) + model.log_prior(labels)
        for labels in map(torch.tensor, itertools.product(range(3), repeat=6))
        for labels in [torch.cat([torch.zeros(1, dtype=torch.long), labels])]
    )
    assert model.fit(weights).score == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("options", MODELS)
def test_renumbering_the_nodes_changes_no_score(options):
    weights = random_weights(14, 0.5, 7)
    labels = torch.randint(0, 3, (14,))
    order = torch.randperm(14)
    model = WeightedSBM(**options)
    one = model.log_likelihood(weights, labels)
    assert model.log_likelihood(weights[order][:, order], labels[order]) == pytest.approx(one, abs=1e-9)


@pytest.mark.parametrize("options", MODELS)
@pytest.mark.parametrize(("inside", "between"), [(0.8, 0.1), (0.1, 0.8)], ids=["assortative", "disassortative"])
def test_planted_communities_are_found(options, inside, between):
    weights, labels = planted((20, 15, 10), inside=inside, between=between)
    order = torch.randperm(45)
    found = WeightedSBM(**options)(weights[order][:, order])
    assert same_partition(found, labels[order])
    assert found.bincount().tolist() == [20, 15, 10]


def test_weights_alone_tell_communities_apart():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 12)
    upper = np.triu(rng.exponential(np.where(labels[:, None] == labels, 1.0, 8.0)), 1)
    found = WeightedSBM()(torch.from_numpy(upper + upper.T))
    assert same_partition(found, torch.from_numpy(labels))


def test_degrees_alone_are_no_communities_after_correction():
    rng = np.random.default_rng(0)
    theta = np.repeat([0.15, 0.9], 40)
    upper = np.triu((rng.random((80, 80)) < np.outer(theta, theta)).astype(float), 1)
    weights = torch.from_numpy(upper + upper.T)
    assert WeightedSBM()(weights).max() > 0
    assert WeightedSBM(degree_corrected=True)(weights).max() == 0


def test_strengths_alone_are_no_communities_after_normalisation():
    rng = np.random.default_rng(0)
    strength = np.repeat([0.2, 5.0], 20)
    upper = np.triu(rng.exponential(np.outer(strength, strength)), 1)
    weights = torch.from_numpy(upper + upper.T)
    assert WeightedSBM()(weights).max() > 0
    assert WeightedSBM(strength_normalise=True)(weights).max() == 0


@pytest.mark.parametrize("options", MODELS)
@pytest.mark.parametrize("nodes", [1, 2, 9])
@pytest.mark.parametrize("value", [0.0, 1.0], ids=["empty", "complete"])
def test_a_graph_without_contrast_is_one_community(options, nodes, value):
    fit = WeightedSBM(**options).fit(torch.full((nodes, nodes), value).fill_diagonal_(0))
    assert fit.labels.tolist() == [0] * nodes
    assert len(fit.levels) == 1
    assert np.isfinite(fit.score)


def test_nodes_without_links_share_a_community():
    weights, labels = planted((12, 12))
    weights = torch.nn.functional.pad(weights, (0, 6, 0, 6))
    found = WeightedSBM()(weights)
    assert same_partition(found, torch.cat([labels, torch.full((6,), 2)]))


def test_levels_are_nested_and_end_in_one_block():
    weights, _ = planted((12, 12, 12, 12))
    levels = WeightedSBM().fit(weights).levels
    assert levels[0].max() == 3 and levels[-1].max() == 0
    for fine, coarse in itertools.pairwise(levels):
        assert coarse.max() < fine.max()
        for label in fine.unique():
            assert len(coarse[fine == label].unique()) == 1


def test_hidden_pairs_say_nothing():
    weights, _ = planted((10, 10))
    hidden = torch.zeros(20, 20, dtype=torch.bool)
    hidden[:4, 12:] = hidden[12:, :4] = True
    changed = torch.where(hidden, torch.rand(20, 20), weights)
    changed = torch.triu(changed, 1) + torch.triu(changed, 1).T
    for options in MODELS:
        model = WeightedSBM(**options, random_starts=0, resolutions=(1.0,), rounds=3)
        one, other = (model.fit(value, ~hidden) for value in (weights, changed))
        assert one.score == other.score and torch.equal(one.labels, other.labels)


@pytest.mark.parametrize("options", MODELS)
def test_the_true_communities_predict_hidden_pairs_better_than_others(options):
    weights, labels = planted((12, 10))
    model = WeightedSBM(**options)
    observed = torch.rand(22, 22) < 0.8
    observed = observed & observed.T
    truth = model.predictive(weights, labels, observed)
    assert truth > model.predictive(weights, labels[torch.randperm(22)], observed)
    assert truth > model.predictive(weights, torch.zeros_like(labels), observed)
    assert model.predictive(weights, labels, torch.ones_like(observed)) == 0


def test_malformed_input_is_refused(unchecked):
    model = WeightedSBM()
    with pytest.raises(ValueError, match=r"weights must be symmetric, got a difference of 1"):
        model(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"weights must be finite and at least 0, got -1 to 0"):
        model(torch.tensor([[0.0, -1.0], [-1.0, 0.0]]))
    with pytest.raises(ValueError, match=r"labels must hold one community for each of 3 nodes"):
        model.log_likelihood(torch.zeros(3, 3), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match=r"observed must be symmetric, \[3, 3\], got \[2, 2\]"):
        model.fit(torch.zeros(3, 3), torch.ones(2, 2, dtype=torch.bool))
