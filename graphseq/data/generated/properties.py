"""Distances in random graphs (Corso et al. 2020; Gravina et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.sparse.csgraph import shortest_path
from torch_geometric.data import Data

from graphseq.data.generated.dataset import GeneratedDataset, at_least, one_of, size_range

TARGETS = ("sssp", "eccentricity", "diameter")


class GraphProperties(GeneratedDataset):
    r"""Predict distances: from a source to each node, each node's eccentricity, or the graph's diameter.

    Base graphs come from ten families with the weights of Corso et al.; then each edge is kept with probability 0.9
    and each non-edge added with the probability that leaves the expected number of edges as it was. A draw that is
    not connected is rejected, so every distance is finite. Features are [1 at the source else 0, a number from
    :math:`U(0, 1)`].

    Targets are hops divided by ``scale``. ``load("graph-properties")`` takes for it the largest target in the
    training set. The papers report :math:`\log_{10}` of the mean squared error, which is twice :math:`\log_{10}` of
    the RMSE.

    Args:
        num_graphs: how many graphs.
        target: ``"sssp"`` and ``"eccentricity"`` give ``y`` as ``[nodes, 1]``, ``"diameter"`` as ``[1, 1]``.
        num_nodes: nodes of each graph, or the (smallest, largest) number to draw from: (25, 35) in Gravina et al.,
            (15, 24) in Corso et al.
        scale: what targets are divided by.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.
    """

    def __init__(
        self,
        num_graphs: int = 500,
        target: str = "sssp",
        *,
        num_nodes: int | tuple[int, int] = (25, 35),
        scale: float = 1.0,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("num_graphs", num_graphs, 1)
        one_of("target", target, TARGETS)
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale}")
        low, high = size_range("num_nodes", num_nodes, 6)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            for _ in range(num_graphs):
                adjacency, distances = _draw(rng, int(rng.integers(low, high + 1)))
                source = int(rng.integers(len(adjacency)))
                x = np.stack([np.arange(len(adjacency)) == source, rng.random(len(adjacency))], axis=1)
                hops = {"sssp": distances[source], "eccentricity": distances.max(1), "diameter": distances.max()}[
                    target
                ]
                yield Data(
                    x=torch.from_numpy(x).float(),
                    edge_index=torch.from_numpy(np.stack(adjacency.nonzero())),
                    y=torch.from_numpy(np.reshape(hops, (-1, 1)) / scale).float(),
                    source_index=torch.tensor([source]),
                )

        super().__init__(graphs(), transform, pre_transform)


def _draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    from graphseq.data.generated.families import draw_base_graph

    base = draw_base_graph(size, rng)
    while True:
        adjacency = _randomise(base, rng)
        # Most draws that are not connected show it by an isolated node; that is quicker to see than a distance.
        if adjacency.any(0).all():
            distances = shortest_path(adjacency, unweighted=True, directed=False)
            if np.isfinite(distances).all():
                return adjacency, distances


def _randomise(base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pairs = np.triu(np.ones_like(base), 1)
    edges, others = base & pairs, ~base & pairs
    replaced = 0.1 * edges.sum() / max(others.sum(), 1)
    chance = rng.random(base.shape)
    kept = (edges & (chance < 0.9)) | (others & (chance < replaced))
    return kept | kept.T
