"""Pictures of factorisations: what ranks achieve, and what the components are. They need matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from graphseq.connectome.factorisation.ensemble import RankSelection
from graphseq.connectome.factorisation.fit import CPFit
from graphseq.connectome.pairs import folded
from graphseq.extras import needed_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_ranks(selection: RankSelection) -> Figure:
    """Error, similarity of restarts and, where there is one, held-out error against rank; a dot for each restart."""
    with needed_by("plot_ranks"):
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

    panels = [
        ("relative error", selection.errors),
        ("similarity to the best restart", selection.similarity),
        ("held-out relative error", selection.held_out_errors),
    ]
    shown = [(title, values) for title, values in panels if values is not None and values.numel()]
    figure = Figure(figsize=(2.6 * len(shown), 2.4), layout="constrained")
    for axis, (title, values) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for rank, row in zip(selection.ranks, values.tolist(), strict=True):
            axis.plot([rank] * len(row), row, "o", ms=3, color="0.6")
        axis.plot(selection.ranks, values.median(1).values.tolist(), "-", color="C0")
        axis.set(xlabel="rank", title=title)
        axis.title.set_fontsize(8)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def plot_motifs(
    fit: CPFit,
    pairs: Int[Tensor, "2 pairs"],
    *,
    time: Float[Tensor, " windows"] | None = None,
    order: Int[Tensor, " neurons"] | None = None,
) -> Figure:
    """One row a component: its weights between neurons, its time course, and its loading on each animal.

    Args:
        fit: of a tensor of pairs, windows and animals.
        pairs: the neurons of each pair.
        time: of each window, in seconds; their numbers if not given.
        order: in which neurons are drawn, by community for example.

    Raises:
        ValueError: if the fit has not three modes, or ``pairs`` does not fit it.
    """
    with needed_by("plot_motifs"):
        from matplotlib.figure import Figure

    if len(fit.factors) != 3 or len(fit.factors[0]) != pairs.shape[1]:
        raise ValueError(
            f"fit must be of pairs, windows and animals with {pairs.shape[1]} pairs, "
            f"got modes of sizes {[len(f) for f in fit.factors]}"
        )
    neurons = int(pairs.max()) + 1
    order = torch.arange(neurons) if order is None else order.cpu()
    figure = Figure(figsize=(7.2, 1.6 * fit.rank), layout="constrained")
    axes = figure.subplots(fit.rank, 3, squeeze=False, width_ratios=(1, 3, 1))
    for r, (matrix_axis, course_axis, animal_axis) in enumerate(axes):
        weights, course, loading = (factor[:, r].detach().cpu() for factor in fit.factors)
        matrix = folded(weights, pairs.cpu(), neurons)
        matrix_axis.imshow(matrix[order][:, order].numpy(), cmap="magma", interpolation="nearest")
        matrix_axis.set(xticks=[], yticks=[], ylabel=f"{fit.weights[r].item():.3g}")
        at = torch.arange(len(course)) if time is None else time.cpu()
        course_axis.plot(at.numpy(), course.numpy(), lw=0.8)
        course_axis.set_ylim(bottom=0)
        animal_axis.bar(range(len(loading)), loading.numpy())
        animal_axis.set(ylim=(0, 1), xticks=[])
    axes[-1, 1].set_xlabel("window" if time is None else "time, s")
    axes[-1, 2].set_xlabel("animal")
    for axis, title in zip(axes[0], ("pairs of neurons", "time course", "animals"), strict=True):
        axis.set_title(title, fontsize=8)
    return figure
