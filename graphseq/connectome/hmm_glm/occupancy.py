"""A picture of which hidden state was on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from graphseq.extras import needed_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_occupancy(
    gamma: Float[Tensor, "T S"], reference: Int[Tensor, " T"] | None = None, *, bin_width: float = 1.0
) -> Figure:
    """Posterior of the states over one sequence, and how much of it each state takes.

    Args:
        gamma: posterior at each time, as :func:`forward_backward` gives it.
        reference: true states, drawn above.
        bin_width: time between rows.

    Returns:
        The figure.

    Example:
        >>> plot_occupancy(torch.eye(3)).axes[0].get_ylabel()
        'state'
    """
    with needed_by("plot_occupancy"):
        from matplotlib.figure import Figure

    length, states = gamma.shape
    if reference is not None and tuple(reference.shape) != (length,):
        raise ValueError(f"reference must have shape [{length}], got {list(reference.shape)}")
    figure = Figure(figsize=(8.0, 1.2 + 0.35 * states), layout="constrained")
    main, side = figure.subplots(1, 2, width_ratios=[5, 1], sharey=True)
    extent = (0.0, length * bin_width, states - 0.5, -0.5)
    main.imshow(
        gamma.detach().cpu().mT, aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1, extent=extent
    )
    if reference is not None:
        times = torch.arange(length) * bin_width
        main.plot(times, reference.cpu(), drawstyle="steps-post", color="C3", linewidth=0.8, label="true state")
        main.legend(loc="upper right", fontsize="small")
    main.set(xlabel="time", ylabel="state", yticks=range(states))
    side.barh(range(states), gamma.detach().mean(0).cpu(), color="0.4")
    if reference is not None:
        shares = torch.bincount(reference.cpu(), minlength=states) / max(length, 1)
        side.plot(shares, torch.arange(states), "o", color="C3", markersize=4)
    side.set(xlabel="share of the time")
    return figure
