"""Pictures of tokens, reach and step sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx

from graphseq.extras import needed_by
from graphseq.graph_mamba.tokens import TokenBatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INSIDE, _ROOT, _OUTSIDE = "#56B4E9", "#D55E00", "0.85"


def plot_tokens(
    data: Data,
    tokens: TokenBatch,
    root: int,
    s: int,
    *,
    positions: Mapping[int, tuple[float, float]] | None = None,
    columns: int = 5,
) -> Figure:
    """A node's tokens in their order, each on the graph.

    Args:
        data: the graph.
        tokens: its tokens, of one sampling.
        root: the node.
        s: tokens of each length.
        positions: where nodes stand, as networkx's layouts say it; Kamada and Kawai's layout if not given.
        columns: pictures in a row.

    Raises:
        ValueError: if ``root`` is no node of the graph.
    """
    import networkx as nx

    with needed_by("plot_tokens"):
        from matplotlib.figure import Figure

    if not 0 <= root < tokens.num_roots:
        raise ValueError(f"root must be a node in 0..{tokens.num_roots - 1}, got {root}")
    graph = to_networkx(data, to_undirected=True, remove_self_loops=True)
    positions = nx.kamada_kawai_layout(graph) if positions is None else positions
    own, count = tokens.block(root, root + 1), tokens.per_root
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(1.7 * columns, 1.9 * rows), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in every[count:]:
        axes.axis("off")
    for place, axes in enumerate(every[:count]):
        low, high = own.ptr[place : place + 2].tolist()
        inside = set(own.member[low:high].tolist())
        here = (own.edge_index[0] >= low) & (own.edge_index[0] < high)
        joined = own.member[own.edge_index[:, here]].t().tolist()
        colours = [_INSIDE if node in inside else _OUTSIDE for node in graph]
        nx.draw_networkx_edges(graph, positions, ax=axes, edge_color=_OUTSIDE)
        nx.draw_networkx_edges(graph, positions, edgelist=joined, ax=axes, edge_color="0.2", width=1.6)
        nx.draw_networkx_nodes(graph, positions, ax=axes, node_color=colours, node_size=28)
        nx.draw_networkx_nodes(graph, positions, nodelist=[root], ax=axes, node_color=_ROOT, node_size=36)
        length = count // s - place // s
        axes.set_title(f"{place + 1}: {f'walks of {length}' if length else 'the node'}", fontsize=8)
        axes.set_aspect("equal")
        axes.axis("off")
    return figure


def plot_reach(
    shares: Mapping[str, Float[Tensor, " distances"]],
    *,
    reach: Mapping[str, float] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Influence against distance, one line a network, on a logarithmic scale.

    A distance from which nothing arrives has no point: there a line ends.

    Args:
        shares: by name of the network, what :func:`influence_by_distance` returns.
        reach: by name, what :func:`effective_reach` returns, for the legend.
        axes: where to draw; a new figure if not given.
    """
    with needed_by("plot_reach"):
        from matplotlib.ticker import MaxNLocator

    axes = _axes() if axes is None else axes
    for name, share in shares.items():
        values = torch.where(share > 0, share, torch.nan)
        label = name if reach is None else f"{name} (effective reach {reach[name]:.1f})"
        axes.plot(range(len(values)), values.cpu().numpy(), marker="o", markersize=3, label=label)
    axes.set(xlabel="distance, in edges", ylabel="share of influence, a node", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return _figure(axes)


def plot_step_sizes(
    steps: Mapping[str, Float[Tensor, "entries channels"]],
    *,
    length: int | None = None,
    labels: list[str] | None = None,
    axes: Axes | None = None,
) -> Figure:
    r"""Step sizes :math:`\Delta` along a sequence, each over the mean of its channel in the sequence.

    Channels differ by orders of magnitude, whatever they read; what tells which entries a scan takes in is how each
    varies about its mean. Lines are medians over channels and sequences, bands reach from quartile to quartile.

    Args:
        steps: by name, what :func:`step_sizes` returns, or some of it.
        length: of each sequence; all entries are one sequence if not given.
        labels: of the entries.
        axes: where to draw; a new figure if not given.

    Raises:
        ValueError: if ``length`` does not divide the number of entries, or there are not as many ``labels``.
    """
    axes = _axes() if axes is None else axes
    for name, step in steps.items():
        entries = len(step) if length is None else length
        if entries < 1 or len(step) % entries:
            raise ValueError(f"length must divide the number of entries ({len(step)}), got {entries}")
        if labels is not None and len(labels) != entries:
            raise ValueError(f"labels must be {entries}, got {len(labels)}")
        values = step.view(-1, entries, step.shape[1]).transpose(1, 2).flatten(0, 1).double()
        values = values / values.mean(1, keepdim=True)
        low, middle, high = torch.quantile(values, values.new_tensor([0.25, 0.5, 0.75]), dim=0).cpu().numpy()
        (line,) = axes.plot(range(entries), middle, marker="o" if entries < 40 else None, markersize=3, label=name)
        axes.fill_between(range(entries), low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="place in the sequence", ylabel=r"step size $\Delta$ over its mean")
    if labels is not None:
        axes.set_xticks(range(len(labels)), labels)
    axes.legend()
    return _figure(axes)


def _axes() -> Axes:
    with needed_by("a picture"):
        from matplotlib.figure import Figure

    return Figure(figsize=(5, 3), layout="constrained").subplots()


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes must stand in a figure, got axes without one")
    return figure
