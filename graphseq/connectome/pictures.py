"""Pictures of motifs: when they are on, whom they join, and where those neurons sit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.connectome.derivative import min_max
from graphseq.connectome.dynamic import BACKGROUND, DynamicCommunities
from graphseq.extras import needed_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_recording(
    found: DynamicCommunities, traces: Float[Tensor, "animals neurons time"], *, dt: float, animal: int = 0
) -> Figure:
    """The traces of an animal as a raster, neurons ordered by the communities of its first motif, and its motifs' rise.

    Args:
        found: what :meth:`DynamicConnectome.fit` returned.
        traces: what it was fitted on.
        dt: seconds a frame.
        animal: its number.
    """
    with needed_by("plot_recording"):
        from matplotlib.figure import Figure

    shown = traces[animal]
    seen = ~shown.isnan().any(-1)
    rise = found.rise(animal)
    order = _by_community(found.labels[int(found.activity(animal).sum(0).argmax())])
    order = order[seen[order]]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    raster, courses = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    raster.imshow(
        min_max(shown[order]), aspect="auto", cmap="magma", interpolation="nearest",
        extent=(0, shown.shape[-1] * dt, len(order), 0),
    )  # fmt: skip
    raster.set(ylabel="neuron, by community", title=f"Animal {animal}")
    for motif in range(rise.shape[1]):
        courses.plot(found.starts, rise[:, motif], label=f"motif {motif}")
    courses.set(xlabel="seconds", ylabel="rise")
    courses.legend(frameon=False, ncols=4, fontsize=8)
    return figure


def plot_communities(found: DynamicCommunities, *, columns: int = 4) -> Figure:
    """The pair weights of each motif, neurons ordered by its communities, which lines set apart."""
    with needed_by("plot_communities"):
        from matplotlib.figure import Figure

    count = found.motifs.rank
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in every[count:]:
        axes.axis("off")
    for motif, axes in enumerate(every[:count]):
        labels = found.labels[motif]
        order = _by_community(labels)
        matrix = found.motif_graph(motif)[order][:, order]
        # A few pairs that were seen in one animal alone may stand out so far that nothing else would show.
        brightest = float(matrix.flatten().quantile(0.99)) or None
        axes.imshow(matrix, cmap="magma", interpolation="nearest", vmin=0, vmax=brightest)
        for border in labels[order].diff().nonzero().flatten().tolist():
            axes.axhline(border + 0.5, color="white", linewidth=0.6)
            axes.axvline(border + 0.5, color="white", linewidth=0.6)
        axes.set(xticks=[], yticks=[], title=f"motif {motif}")
    return figure


def plot_neurons(
    found: DynamicCommunities,
    position: Float[Tensor, "neurons axes"],
    motif: int,
    *,
    names: Sequence[str] | None = None,
) -> Figure:
    """Neurons in place, coloured by their community in a motif; those that take no part are grey.

    Args:
        found: what :meth:`DynamicConnectome.fit` returned.
        position: the two axes along which neurons lie farthest apart are drawn; those without a place (NaN) are not.
        motif: its number.
        names: written beside neurons that take part.

    Raises:
        ValueError: if there is no such motif.
    """
    with needed_by("plot_neurons"):
        from matplotlib.figure import Figure

    if not 0 <= motif < found.motifs.rank:
        raise ValueError(f"motif must be one of 0..{found.motifs.rank - 1}, got {motif}")
    labels = found.labels[motif]
    spread = position.nan_to_num(0).amax(0) - position.nan_to_num(0).amin(0)
    place = position[:, spread.argsort(descending=True)[:2]]
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(*place[labels == BACKGROUND].t(), "o", color="0.85", markersize=4)
    for community in range(int(labels.max()) + 1):
        members = (labels == community).nonzero().flatten()
        axes.plot(*place[members].t(), "o", markersize=6, label=f"community {community}")
        for number in members.tolist() if names is not None else []:
            x, y = place[number].tolist()
            axes.annotate(names[number], (x, y), fontsize=5, rotation=45)  # type: ignore[index]
    axes.set(title=f"motif {motif}", xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _by_community(labels: Tensor) -> Tensor:
    """Neurons by community, largest number first, so that those that take no part come last."""
    return torch.argsort(labels, descending=True, stable=True)
