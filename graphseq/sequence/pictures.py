"""What a layer's dynamics look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from graphseq.extras import needed_by
from graphseq.sequence.dynamical_system import DynamicalSystem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_eigenvalues(system: DynamicalSystem, *, axes: Axes | None = None) -> Figure:
    """The eigenvalues of all heads at all tokens, in the complex plane beside the unit circle.

    On the circle a state is kept, inside it forgotten; a negative one turns it over (parity), a complex one turns it
    (counting).

    Args:
        system: of a layer on a sequence, from :func:`~graphseq.sequence.to_dsf`.
        axes: where to draw; a new figure if not given.
    """
    with needed_by("plot_eigenvalues"):
        from matplotlib.figure import Figure
        from matplotlib.patches import Circle

    axes = Figure(figsize=(4.5, 4), layout="constrained").subplots() if axes is None else axes
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes must stand in a figure, got axes without one")
    values = system.eigenvalues().detach().cpu()
    place = torch.arange(values.shape[0])[:, None, None].expand(values.shape).flatten()
    values = values.flatten().to(torch.complex128)
    axes.add_patch(Circle((0, 0), 1, fill=False, color="0.7"))
    axes.axhline(0, color="0.9", zorder=0)
    axes.axvline(0, color="0.9", zorder=0)
    dots = axes.scatter(values.real, values.imag, c=place, s=9, alpha=0.6, linewidths=0)
    figure.colorbar(dots, ax=axes, label="token", shrink=0.8)
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xlabel="real part", ylabel="imaginary part")
    return figure
