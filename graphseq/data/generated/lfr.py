"""Weighted graphs with planted communities (Lancichinetti & Fortunato 2009), known as LFR."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.optimize import brentq
from torch_geometric.data import Data

from graphseq.data.generated.dataset import GeneratedDataset, at_least
from graphseq.data.generated.rewiring import random_graph, separate
from graphseq.data.generated.strengths import spread_strengths


class WeightedLFR(GeneratedDataset):
    r"""Graphs whose degrees, community sizes and strengths follow power laws; the label of a node is its community.

    Degrees :math:`k_i` are drawn from :math:`P(k) \propto k^{-\tau_1}` between a smallest one, which fits the mean, and
    ``max_degree``; community sizes likewise with :math:`\tau_2`. A share :math:`\mu_t` of the links of each node leads
    out of its community, at random otherwise. The weights then give each node the strength
    :math:`s_i = k_i^\beta`, of which the share :math:`\mu_w` lies on links that lead out. All are met as nearly as they
    can be at once: with few large communities there may be too few nodes outside of the largest, and some of its links
    then stay within.

    Each graph has ``edge_index`` with both directions of each link, ``edge_weight``, and ``y``. Graphs with a single
    community are drawn again. A few links may keep the weight 0, where the strengths of both ends are used up.

    Args:
        num_nodes: nodes of each graph.
        num_graphs: how many graphs.
        mean_degree: mean of the distribution of degrees, to the nearest smallest degree.
        max_degree: largest degree, and largest community that is drawn.
        mixing: :math:`\mu_t`, between 0 and 1.
        weight_mixing: :math:`\mu_w`, between 0 and 1.
        strength_exponent: :math:`\beta`.
        degree_exponent: :math:`\tau_1`.
        community_exponent: :math:`\tau_2`.
        seed: the same seed gives the same data.
        transform, pre_transform: as in PyG.

    Raises:
        ValueError: if a mixing is not between 0 and 1, or the degrees do not fit the nodes.

    Example:
        >>> data = WeightedLFR(num_graphs=1, mixing=0.25)[0]
        >>> data.num_nodes, bool((data.edge_weight >= 0).all())
        (125, True)

    Source: Lancichinetti & Fortunato (2009), without overlapping communities. Degrees and sizes are drawn as there;
    nodes take places in communities, largest first, uniformly among those that are large enough.
    """

    def __init__(
        self,
        num_nodes: int = 125,
        num_graphs: int = 10,
        *,
        mean_degree: int | float = 25,
        max_degree: int = 100,
        mixing: int | float = 0.5,
        weight_mixing: int | float = 0.5,
        strength_exponent: int | float = 2.0,
        degree_exponent: int | float = 2.0,
        community_exponent: int | float = 1.0,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
    ) -> None:
        at_least("num_graphs", num_graphs, 1)
        rng = np.random.default_rng(seed)

        def graphs() -> Iterator[Data]:
            made = 0
            while made < num_graphs:
                data = weighted_lfr(
                    rng,
                    num_nodes,
                    mean_degree=mean_degree,
                    max_degree=max_degree,
                    mixing=mixing,
                    weight_mixing=weight_mixing,
                    strength_exponent=strength_exponent,
                    degree_exponent=degree_exponent,
                    community_exponent=community_exponent,
                )
                if data.y.max() > 0:
                    made += 1
                    yield data

        super().__init__(graphs(), transform, pre_transform)


def weighted_lfr(
    rng: np.random.Generator,
    num_nodes: int = 125,
    *,
    mean_degree: int | float = 25,
    max_degree: int = 100,
    mixing: int | float = 0.5,
    weight_mixing: int | float = 0.5,
    strength_exponent: int | float = 2.0,
    degree_exponent: int | float = 2.0,
    community_exponent: int | float = 1.0,
) -> Data:
    """One graph as in :class:`WeightedLFR`; it may have a single community."""
    for name, share in (("mixing", mixing), ("weight_mixing", weight_mixing)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be between 0 and 1, got {share}")
    if not 1 <= mean_degree <= max_degree < num_nodes:
        raise ValueError(
            f"mean_degree and max_degree must be 1 <= mean_degree <= max_degree < {num_nodes} nodes, "
            f"got {mean_degree} and {max_degree}"
        )
    smallest = smallest_degree(mean_degree, max_degree, degree_exponent)
    degree = power_law(rng, smallest, max_degree, degree_exponent, num_nodes)
    if degree.sum() % 2:
        # A degree sum is even. The smallest can grow, unless all are as large as may be.
        degree[degree.argmin()] += 1 if degree.min() < max_degree else -1
    internal = _rounded(rng, (1 - mixing) * degree)
    sizes = community_sizes(rng, num_nodes, int(internal.max()), max(smallest, 3), max_degree, community_exponent)
    community = _assigned(rng, internal, sizes)
    internal = _made_even(rng, internal, degree, community)
    inside = np.zeros((num_nodes, num_nodes), bool)
    for label in range(community.max() + 1):
        nodes = np.flatnonzero(community == label)
        inside[np.ix_(nodes, nodes)] = random_graph(rng, internal[nodes])
    outside = random_graph(rng, degree - internal, forbidden=inside)
    links = inside | separate(rng, outside, community, forbidden=inside)
    weights = spread_strengths(links, community, degree.astype(float) ** strength_exponent, weight_mixing)
    edges = np.stack(np.nonzero(links))
    return Data(
        edge_index=torch.from_numpy(edges),
        edge_weight=torch.from_numpy(weights[tuple(edges)]),
        y=torch.from_numpy(community),
        num_nodes=num_nodes,
    )


def smallest_degree(mean: int | float, largest: int, exponent: int | float) -> int:
    """With which a power law up to the largest degree has about this mean."""

    def continuous(smallest: float) -> float:
        grid = np.geomspace(smallest, largest, 2001)
        return float(np.trapezoid(grid ** (1 - exponent), grid) / np.trapezoid(grid**-exponent, grid))

    if mean <= continuous(1.0):
        return 1
    floor = int(brentq(lambda smallest: continuous(smallest) - mean, 1.0, largest * (1 - 1e-9)))
    return min((floor, floor + 1), key=lambda smallest: abs(_mean(smallest, largest, exponent) - mean))


def power_law(rng: np.random.Generator, smallest: int, largest: int, exponent: int | float, count: int) -> np.ndarray:
    """Integers with probabilities that fall as a power."""
    values, odds = _law(smallest, largest, exponent)
    return rng.choice(values, count, p=odds)


def community_sizes(
    rng: np.random.Generator, num_nodes: int, internal: int, smallest: int, largest: int, exponent: int | float
) -> np.ndarray:
    """Sizes that add up to the nodes. The first holds the node with most links within; the smallest takes the rest."""
    sizes = [min(internal + 1, num_nodes)] if internal + 1 > smallest else []
    while True:
        size = int(power_law(rng, min(smallest, largest), largest, exponent, 1)[0])
        if sum(sizes) + size > num_nodes:
            break
        sizes.append(size)
    if not sizes:
        return np.array([num_nodes])
    sizes[int(np.argmin(sizes))] += num_nodes - sum(sizes)
    return np.array(sizes)


def _law(smallest: int, largest: int, exponent: int | float) -> tuple[np.ndarray, np.ndarray]:
    values = np.arange(smallest, largest + 1)
    odds = values.astype(float) ** -exponent
    return values, odds / odds.sum()


def _mean(smallest: int, largest: int, exponent: int | float) -> float:
    values, odds = _law(smallest, largest, exponent)
    return float(values @ odds)


def _rounded(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Up or down at random, so that the mean stays."""
    whole = np.floor(values)
    return (whole + (rng.random(len(values)) < values - whole)).astype(int)


def _assigned(rng: np.random.Generator, internal: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Places in communities with at least one member more than a node has links within."""
    while True:
        community = np.full(len(internal), -1)
        room = sizes.copy()
        for node in np.argsort(-internal, kind="stable"):
            odds = room * (sizes > internal[node])
            if not odds.any():
                break
            community[node] = rng.choice(len(sizes), p=odds / odds.sum())
            room[community[node]] -= 1
        else:
            return community
        # The two smallest become one, until every node finds a place.
        sizes = np.sort(sizes)
        sizes = np.append(sizes[2:], sizes[:2].sum())


def _made_even(rng: np.random.Generator, internal: np.ndarray, degree: np.ndarray, community: np.ndarray) -> np.ndarray:
    """Change one node by one in each community with an odd sum."""
    internal = internal.copy()
    for label in range(community.max() + 1):
        nodes = np.flatnonzero(community == label)
        if internal[nodes].sum() % 2:
            less = nodes[internal[nodes] > 0]
            more = nodes[(internal[nodes] < degree[nodes]) & (internal[nodes] < len(nodes) - 1)]
            if len(more) and rng.random() < 0.5:
                internal[rng.choice(more)] += 1
            else:
                internal[rng.choice(less)] -= 1
    return internal
