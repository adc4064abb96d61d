"""An order of the variates for the scan, from a graph of sensors or from the data."""

from __future__ import annotations

import networkx
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx


def variate_order(data: Data) -> Int[Tensor, " variates"]:
    """Variates in the order of the Fiedler vector of their graph: neighbours come near each other.

    Components follow one another, each in its own spectral order (:func:`networkx.spectral_ordering`).

    Args:
        data: a graph whose nodes are the variates; a one-dimensional ``edge_weight`` counts where it has one.

    Raises:
        ValueError: if an edge weight is negative or not finite.

    Example:
        >>> path = Data(edge_index=torch.tensor([[2, 0, 3], [0, 3, 1]]), num_nodes=4)
        >>> sorted([variate_order(path).tolist(), variate_order(path).flip(0).tolist()])[0]
        [1, 3, 0, 2]
    """
    weighted = "edge_weight" in data
    if weighted and not bool((finite := data.edge_weight.isfinite()).all()):
        edge = int((~finite).nonzero()[0, 0])
        raise ValueError(f"data.edge_weight must be finite, got {float(data.edge_weight[edge])} at edge {edge}")
    if weighted and bool((data.edge_weight < 0).any()):
        raise ValueError(f"data.edge_weight must not be negative, got {float(data.edge_weight.min())}")
    graph = to_networkx(data, edge_attrs=["edge_weight"] if weighted else None, to_undirected=True)
    return _ordered(graph, "edge_weight" if weighted else None)


def correlation_order(values: Float[Tensor, "rows variates"]) -> Int[Tensor, " variates"]:
    """The same for the graph of absolute correlations between variates; give it the training rows only.

    Raises:
        ValueError: if ``values`` has another shape, or is not finite: one NaN would take all correlations of its
            variate.
    """
    if values.dim() != 2:
        raise ValueError(f"values must have shape [rows, variates], got {list(values.shape)}")
    if not bool((finite := values.isfinite()).all()):
        row, variate = (~finite).nonzero()[0].tolist()
        raise ValueError(f"values must be finite, got {values[row, variate].item()} at row {row} of variate {variate}")
    with np.errstate(invalid="ignore"):
        weights = np.abs(np.nan_to_num(np.corrcoef(values.double().numpy(), rowvar=False)))
    weights = np.atleast_2d(weights)
    np.fill_diagonal(weights, 0)
    return _ordered(networkx.from_numpy_array(weights), "weight")


def _ordered(graph: networkx.Graph, weight: str | None) -> Tensor:
    order: list[int] = []
    for component in sorted(networkx.connected_components(graph), key=min):
        part = graph.subgraph(sorted(component))
        # The Fiedler vector of fewer than three nodes says nothing.
        order += networkx.spectral_ordering(part, weight=weight, seed=0) if len(part) > 2 else list(part)
    return torch.tensor(order, dtype=torch.long)
