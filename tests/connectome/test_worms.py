"""Real worms: what factorising their affinities gives, against numbers of an independent masked HALS."""

import pytest
import torch
from scipy.stats import rankdata

from graphseq.connectome import MeanWindow, NonNegativeCP, ensemble_similarity, pair_tensor
from graphseq.data.worms import load_worms


@pytest.fixture(scope="module")
def worms(mirror, tmp_path_factory):
    return load_worms(tmp_path_factory.mktemp("worms"), mirror)


@pytest.fixture(scope="module")
def tensor(worms):
    return pair_tensor(worms.traces, worms.observed, window=MeanWindow(10, 5), sigma=2.0, dt=worms.dt)


def _auc(score, truth):
    ranks = torch.from_numpy(rankdata(score.numpy()))
    positive = int(truth.sum())
    negative = len(truth) - positive
    return ((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative)).item()


def test_the_tensor_has_its_stated_size(tensor):
    values, mask, _ = tensor
    assert values.shape == (4656, 159, 7)
    assert mask.float().mean().item() == pytest.approx(0.67, abs=0.005)


def test_left_and_right_homologues_act_together(worms, tensor):
    """And so, less clearly, do neurons that anatomy joins."""
    values, mask, pairs = tensor
    mean = values.sum((1, 2)) / (mask.sum(1) * values.shape[1])
    known = mask.any(1)
    homologue = {tuple(sorted(pair)) for pair in worms.homologues()}
    twins = torch.tensor([pair in homologue for pair in zip(*pairs.tolist(), strict=True)])
    joined = (worms.gap + worms.chemical + worms.chemical.T)[pairs[0], pairs[1]] > 0
    gap = worms.gap[pairs[0], pairs[1]] > 0
    assert (twins & known).sum() == 36
    assert _auc(mean[known], twins[known]) >= 0.84
    assert _auc(mean[known], joined[known]) == pytest.approx(0.63, abs=0.01)
    assert _auc(mean[known], gap[known]) == pytest.approx(0.66, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "error"), [(1, 0.6658), (2, 0.6517), (4, 0.6283)])
def test_relative_errors_are_those_of_the_prototype(tensor, rank, error):
    """Of the best of a few starts after 40 sweeps; starts differ, so 0.002 is what they may differ by."""
    values, mask, _ = tensor
    fit = NonNegativeCP(rank, restarts=3, max_sweeps=40, tolerance=0.0).fit(values, mask)
    assert fit.relative_error == pytest.approx(error, abs=0.002)
    # One component is unique; of more, errors that differ in the fourth digit go with quite different ones.
    assert ensemble_similarity(fit).min() > (0.999 if rank == 1 else 0.5)
