"""The ten families of random graphs of Corso et al. (2020), each on a given number of nodes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import networkx as nx
import numpy as np


def draw_base_graph(size: int, rng: np.random.Generator) -> np.ndarray:
    """Adjacency matrix of a graph from a family drawn by weight."""
    weights, families = zip(*FAMILIES.values(), strict=True)
    family = families[rng.choice(len(families), p=weights)]
    return nx.to_numpy_array(family(size, rng), nodelist=range(size), dtype=bool)


def _erdos_renyi(size: int, rng: np.random.Generator) -> nx.Graph:
    # Sparser graphs than this are hardly ever connected.
    return nx.gnp_random_graph(size, rng.uniform(2 / size, 1), seed=_seed(rng))


def _barabasi_albert(size: int, rng: np.random.Generator) -> nx.Graph:
    return nx.barabasi_albert_graph(size, int(rng.integers(1, size)), seed=_seed(rng))


def _grid(size: int, rng: np.random.Generator) -> nx.Graph:
    # As square as can be; the last row may be short.
    columns = int(np.sqrt(size))
    sideways = [(i, i + 1) for i in range(size - 1) if (i + 1) % columns]
    return nx.Graph(sideways + [(i, i + columns) for i in range(size - columns)])


def _caveman(size: int, rng: np.random.Generator) -> nx.Graph:
    caves = np.array_split(np.arange(size), int(np.sqrt(size)))
    graph = nx.Graph([edge for cave in caves for edge in combinations(cave.tolist(), 2)])
    graph.add_edges_from(
        (int(cave[-1]), int(other[0])) for cave, other in zip(caves, caves[1:] + caves[:1], strict=True)
    )
    return graph


def _power_law_tree(size: int, rng: np.random.Generator) -> nx.Graph:
    # networkx has one too, but it mends a single sequence entry by entry until the sum fits: up to a second a tree.
    while True:
        degrees = rng.zipf(3, (300, size))
        if (fitting := degrees[degrees.sum(1) == 2 * (size - 1)]).size:
            # Node i occurs (degree - 1) times in a tree's Prüfer sequence.
            occurrences = np.repeat(np.arange(size), fitting[0] - 1)
            return nx.from_prufer_sequence(rng.permutation(occurrences).tolist())


def _ladder(size: int, rng: np.random.Generator) -> nx.Graph:
    # An odd node hangs on the last rung.
    graph = nx.ladder_graph(size // 2)
    if size % 2:
        graph.add_edge(size - 2, size - 1)
    return graph


def _line(size: int, rng: np.random.Generator) -> nx.Graph:
    return nx.path_graph(size)


def _star(size: int, rng: np.random.Generator) -> nx.Graph:
    return nx.star_graph(size - 1)


def _caterpillar(size: int, rng: np.random.Generator) -> nx.Graph:
    return _hang(nx.path_graph(int(rng.integers(2, size))), size, rng)


def _lobster(size: int, rng: np.random.Generator) -> nx.Graph:
    spine = int(rng.integers(2, size - 1))
    legs = int(rng.integers(spine + 1, size))
    near = _hang(nx.path_graph(spine), legs, rng)
    return _hang(near, size, rng, to=range(spine, legs))


def _hang(graph: nx.Graph, size: int, rng: np.random.Generator, to: range | None = None) -> nx.Graph:
    """Hang further nodes on randomly chosen ones until there are ``size``."""
    places = np.array(to if to is not None else range(len(graph)))
    leaves = range(len(graph), size)
    graph.add_edges_from(zip(rng.choice(places, len(leaves)).tolist(), leaves, strict=True))
    return graph


def _seed(rng: np.random.Generator) -> int:
    # networkx also takes the generator itself, but then draws from it ten times slower than from its own.
    return int(rng.integers(2**32))


FAMILIES: dict[str, tuple[float, Callable[[int, np.random.Generator], nx.Graph]]] = {
    "Erdős–Rényi": (0.2, _erdos_renyi),
    "Barabási–Albert": (0.2, _barabasi_albert),
    "grid": (0.05, _grid),
    "caveman": (0.05, _caveman),
    "power-law tree": (0.15, _power_law_tree),
    "ladder": (0.05, _ladder),
    "line": (0.05, _line),
    "star": (0.05, _star),
    "caterpillar": (0.1, _caterpillar),
    "lobster": (0.1, _lobster),
}
