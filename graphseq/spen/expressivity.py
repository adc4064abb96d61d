"""What a network can tell apart: standard pairs of graphs that look alike, and the question put to a model."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import networkx as nx
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.inits import reset
from torch_geometric.utils import from_networkx

from graphseq.extras import needed_by

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Graph: TypeAlias = nx.Graph | Data

SEPARATED = 1e-6
"""A relative gap between two outputs above which graphs count as told apart; rounding in float64 stays below 1e-10."""


def separates(model: nn.Module, G: Graph, H: Graph, *, draws: int = 1) -> bool:
    """Whether a network gives two graphs different answers, by more than a millionth of their size.

    A network with random weights answers for its architecture, almost surely: what it cannot tell apart, training will
    not. How large the gap is depends on the draw, by a factor of ten where only the curvature of the nonlinearity makes
    it. To be asked without normalisation layers, which on graphs whose nodes all look alike remove all there is to
    see, and with few layers and :class:`SumInjection`: deep networks of means shrink differences until they are hard to
    tell from rounding.

    Args:
        model: called as ``model(x, edge_index)``, with one row as its answer; its weights are taken in float64.
        G: a graph, of networkx or of PyG. Without features ``x`` every node gets a one.
        H: the other.
        draws: networks that are asked, the model as it is and others with new weights from its ``reset_parameters``;
            the largest gap counts.

    Raises:
        ValueError: if ``draws`` is below 1.

    Example:
        >>> model = SPEN(1, 8, layers=3, inject="sum", norm=False)
        >>> triangles, ring = standard_pairs()["2 C3 / C6"]
        >>> separates(model, triangles, ring)
        True
        >>> rook, shrikhande = standard_pairs()["Rook / Shrikhande"]
        >>> separates(model, rook, shrikhande)
        False
    """
    return output_gap(model, G, H, draws=draws) > SEPARATED


def output_gap(model: nn.Module, G: Graph, H: Graph, *, draws: int = 1) -> float:
    """Largest difference between a network's answers to two graphs, over their largest entry; see :func:`separates`."""
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    gaps, drawn = [], copy.deepcopy(model)
    for draw in range(draws):
        if draw:
            reset(drawn)
        one, other = answers(drawn, [G, H])
        scale = torch.maximum(one.abs().max(), other.abs().max())
        gaps.append(float((one - other).abs().max() / scale) if scale > 0 else 0.0)
    return max(gaps)


def count_classes(model: nn.Module, graphs: Sequence[Graph]) -> int:
    """How many classes of graphs a network tells apart in a list of them, see :func:`separates`.

    Example:
        >>> model = SPEN(1, 8, layers=3, hops=2, inject="sum", norm=False)
        >>> count_classes(model, [csl_graph(41, skip) for skip in (2, 3, 2)])
        2
    """
    found: list[Tensor] = []
    for answer in answers(model, graphs):
        scales = [torch.maximum(answer.abs().max(), other.abs().max()) for other in found]
        gaps = [(answer - other).abs().max() / scale for other, scale in zip(found, scales, strict=True)]
        if all(gap > SEPARATED for gap in gaps):
            found.append(answer)
    return len(found)


def answers(model: nn.Module, graphs: Sequence[Graph]) -> Float[Tensor, "graphs out"]:
    """The answers of a network to graphs, one at a time, in float64 and without dropout."""
    exact = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        rows = [exact(data.x, data.edge_index) for data in map(_data, graphs)]
    if any(row.shape[0] != 1 for row in rows):
        raise ValueError(f"model must answer with one row a graph, got {[list(row.shape) for row in rows]}")
    return torch.cat(rows)


def expressivity_table(
    models: Mapping[str, nn.Module], pairs: Mapping[str, tuple[Graph, Graph]]
) -> dict[str, dict[str, float]]:
    """The gap of each pair of graphs (rows) under each network (columns), see :func:`output_gap`."""
    return {
        pair: {name: output_gap(model, *graphs) for name, model in models.items()} for pair, graphs in pairs.items()
    }


def standard_pairs() -> dict[str, tuple[nx.Graph, nx.Graph]]:
    """Pairs of graphs that 1-WL, and with it message passing, cannot tell apart, by name.

    Rings and unions of shorter ones; decalin and bicyclopentyl; regular graphs of degree 3; circulant graphs with
    skip links (CSL, Murphy et al. 2019); and the Rook and Shrikhande graphs, strongly regular of equal parameters,
    which 3-WL cannot tell apart either.

    Example:
        >>> len(standard_pairs())
        13
    """
    return {
        **{f"2 C{n} / C{2 * n}": (_twice(nx.cycle_graph(n)), nx.cycle_graph(2 * n)) for n in (3, 4, 5, 7)},
        "decalin / bicyclopentyl": (_decalin(), _bicyclopentyl()),
        "prism / K33": (nx.circular_ladder_graph(3), nx.complete_bipartite_graph(3, 3)),
        "cube / Wagner": (nx.convert_node_labels_to_integers(nx.hypercube_graph(3)), nx.circulant_graph(8, [1, 4])),
        "dodecahedron / Desargues": (nx.dodecahedral_graph(), nx.desargues_graph()),
        **{
            f"CSL({n},{a}) / CSL({n},{b})": (csl_graph(n, a), csl_graph(n, b))
            for n, a, b in ((41, 2, 3), (41, 5, 6), (41, 9, 11), (8, 2, 3))
        },
        "Rook / Shrikhande": (_rook(), _shrikhande()),
    }


def csl_graph(nodes: int, skip: int) -> nx.Graph:
    """A ring with skip links: node i is joined to i ± 1 and i ± ``skip``."""
    return nx.circulant_graph(nodes, [1, skip])


def plot_pairs(pairs: Mapping[str, tuple[Graph, Graph]], columns: int = 4) -> Figure:
    """Draw pairs of graphs side by side.

    Args:
        pairs: by name.
        columns: pairs in a row.
    """
    with needed_by("plot_pairs"):
        from matplotlib.figure import Figure

    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(1.8 * columns, 1.3 * rows), layout="constrained")
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for place, (name, graphs) in enumerate(pairs.items()):
        row, column = divmod(place, columns)
        for side, graph in enumerate(graphs):
            axis = axes[row, 2 * column + side]
            network = _networkx(graph)
            nx.draw_networkx(
                network,
                _layout(network),
                ax=axis,
                with_labels=False,
                node_size=14,
                width=0.6,
                node_color="C0",
                edge_color="0.5",
            )
        axes[row, 2 * column].set_title(name, fontsize=7, loc="left")
    return figure


def _data(graph: Graph) -> Data:
    data = from_networkx(nx.convert_node_labels_to_integers(graph)) if isinstance(graph, nx.Graph) else copy.copy(graph)
    if not isinstance(data.x, Tensor):
        data.x = torch.ones(int(data.num_nodes or 0), 1)
    data.x = data.x.double() if data.x.is_floating_point() else data.x
    return data


def _layout(network: nx.Graph) -> dict:
    """Components one below the other."""
    place: dict = {}
    for number, nodes in enumerate(nx.connected_components(network)):
        place |= nx.kamada_kawai_layout(network.subgraph(nodes), center=(0, -2.2 * number))
    return place


def _networkx(graph: Graph) -> nx.Graph:
    if isinstance(graph, nx.Graph):
        return graph
    network = nx.Graph()
    network.add_nodes_from(range(int(graph.num_nodes or 0)))
    network.add_edges_from(graph.edge_index.T.tolist())
    return network


def _twice(graph: nx.Graph) -> nx.Graph:
    return nx.disjoint_union(graph, graph)


def _decalin() -> nx.Graph:
    """Two rings of six that share an edge."""
    graph = nx.cycle_graph(10)
    graph.add_edge(0, 5)
    return graph


def _bicyclopentyl() -> nx.Graph:
    """Two rings of five joined by an edge."""
    graph = _twice(nx.cycle_graph(5))
    graph.add_edge(0, 5)
    return graph


def _rook() -> nx.Graph:
    return nx.convert_node_labels_to_integers(nx.line_graph(nx.complete_bipartite_graph(4, 4)))


def _shrikhande() -> nx.Graph:
    steps = [(0, 1), (1, 0), (1, 1)]
    cells = [(a, b) for a in range(4) for b in range(4)]
    graph = nx.Graph(((a, b), ((a + da) % 4, (b + db) % 4)) for a, b in cells for da, db in steps)
    return nx.convert_node_labels_to_integers(graph)
