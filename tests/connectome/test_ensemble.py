"""Similarity of restarts, the choice of a rank, and their pictures."""

from dataclasses import replace
from itertools import permutations

import pytest
import torch

from graphseq.connectome import (
    NonNegativeCP,
    RankSelection,
    Speckled,
    WholeCourses,
    ensemble_similarity,
    plot_motifs,
    plot_ranks,
    select_rank,
)


def _planted(sizes=(21, 16, 6), rank=3, noise=0.05):
    """Each component with pairs, times and animals of its own beside shared ones."""
    factors = []
    for size in sizes:
        own = torch.arange(size)[:, None] % rank == torch.arange(rank)
        factors.append((own + 0.2 * torch.rand(size, rank)).double())
    x = torch.einsum("ir,jr,kr->ijk", *factors)
    return x + noise * torch.randn(sizes, dtype=torch.float64)


def _fit(rank=3, restarts=4, **settings):
    return NonNegativeCP(rank, restarts=restarts, max_sweeps=30, **settings).fit(_planted())


def test_similarity_is_the_best_matching_of_components():
    """Against all permutations."""
    fits = NonNegativeCP(3, restarts=3, max_sweeps=3).fit(torch.rand(9, 8, 7)).restarts
    found = ensemble_similarity(fits)
    assert torch.equal(found, found.T) and (found.diagonal() == 1).all()
    for i in range(3):
        for j in range(i):
            score = sum(a.T @ b for a, b in zip(fits[i].factors, fits[j].factors, strict=True)) / 3
            best = max(sum(score[r, p[r]] for r in range(3)) / 3 for p in permutations(range(3)))
            assert found[i, j].item() == pytest.approx(best.item(), rel=1e-6)


def test_order_of_components_does_not_matter():
    fit = _fit()
    mixed = replace(fit, weights=fit.weights[[2, 0, 1]], factors=tuple(f[:, [2, 0, 1]] for f in fit.factors))
    assert ensemble_similarity([fit, mixed])[0, 1].item() == pytest.approx(1)


def test_a_fit_stands_for_its_restarts():
    fit = _fit()
    assert torch.equal(ensemble_similarity(fit), ensemble_similarity(fit.restarts))


@pytest.mark.parametrize("hold_out", [Speckled(0.2), WholeCourses(0.2)], ids=["speckled", "courses"])
@pytest.mark.parametrize("gaps", [False, True])
def test_the_planted_rank_is_chosen(hold_out, gaps):
    x = _planted(noise=0.3)
    mask = torch.rand(21, 6) < 0.85 if gaps else None
    if gaps:
        x = torch.where(mask[:, None], x, torch.nan)
    selection = select_rank(
        x, [1, 2, 3, 5], mask, method=NonNegativeCP(1, restarts=3, max_sweeps=40), hold_out=hold_out
    )
    assert selection.errors.shape == selection.held_out_errors.shape == (4, 3)
    assert selection.similarity.shape == (4, 2)
    assert torch.equal(selection.similarity[1], ensemble_similarity(selection.fits[1])[0, 1:])
    assert (selection.errors[:, 0].diff() < 0).all()
    assert selection.choose(0.8) == 3
    assert selection.held_out_errors[3, 0] > 1.05 * selection.errors[3, 0]
    assert [fit.rank for fit in selection.fits] == [1, 2, 3, 5]


@pytest.mark.parametrize("hold_out", [Speckled(0.3), WholeCourses(0.3)], ids=["speckled", "courses"])
def test_what_is_held_out_is_not_shown(hold_out):
    x, mask = torch.rand(40, 30, 9), torch.rand(40, 9) < 0.7
    shown, asked = hold_out.split(x, mask, torch.Generator().manual_seed(0))
    assert not (shown & asked).any()
    seen = mask[:, None].expand_as(x) if shown.dim() == 3 else mask
    assert torch.equal(shown | asked, seen)
    assert asked.sum() / seen.sum() == pytest.approx(0.3, abs=0.08)


def test_a_rank_is_chosen_by_its_rule():
    errors = torch.tensor([[0.5, 0.5], [0.4, 0.4], [0.3, 0.3]])
    similarity = torch.tensor([[1.0], [0.95], [0.5]])
    # What the other restarts predict does not count.
    held_out = torch.tensor([[0.6, 0.1], [0.5, 0.9], [0.4, 0.4]])
    selection = RankSelection((1, 2, 4), errors, similarity, held_out, ())
    assert (selection.choose(), selection.choose(0.4), selection.choose(0.99)) == (2, 4, 1)
    assert replace(selection, held_out_errors=None).choose() == 2
    assert replace(selection, similarity=similarity - 0.3).choose() == 1
    assert (
        replace(selection, similarity=torch.ones(3, 0), errors=errors[:, :1], held_out_errors=held_out[:, :1]).choose()
        == 4
    )


def test_pictures_are_drawn():
    selection = select_rank(_planted(), [1, 2], method=NonNegativeCP(1, restarts=2, max_sweeps=3), hold_out=Speckled())
    assert len(plot_ranks(selection).axes) == 3
    assert len(plot_ranks(replace(selection, held_out_errors=None)).axes) == 2
    pairs = torch.triu_indices(7, 7, 1)
    figure = plot_motifs(selection.fits[1], pairs, time=torch.arange(16.0), order=torch.randperm(7))
    assert len(figure.axes) == 6
    figure.canvas.draw()
    with pytest.raises(
        ValueError, match=r"fit must be of pairs, windows and animals with 3 pairs, got .*\[21, 16, 6\]"
    ):
        plot_motifs(selection.fits[0], pairs[:, :3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: select_rank(_planted(), []), "ranks must name at least one rank"),
        (lambda: Speckled(0.0), "fraction must be strictly between 0 and 1, got 0"),
        (lambda: WholeCourses(1.0), "fraction must be strictly between 0 and 1, got 1"),
        (lambda: ensemble_similarity([_fit(2, 1), _fit(3, 1)]), "fits must be of one tensor at one rank"),
        (
            lambda: select_rank(_planted(), [1], torch.ones(21, 16, 6, dtype=torch.bool), hold_out=WholeCourses()),
            r"mask must have shape \[21, 6\] to hold out whole courses, got \[21, 16, 6\]",
        ),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
