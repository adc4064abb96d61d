"""Random simple graphs with given degrees, by swaps of the ends of two links, which keep all degrees."""

from __future__ import annotations

import numpy as np


def random_graph(rng: np.random.Generator, degrees: np.ndarray, forbidden: np.ndarray | None = None) -> np.ndarray:
    """A symmetric Boolean matrix with these degrees, or as near as they can be met, none of its links forbidden.

    Starts from a graph that links the nodes that lack most, largest first, and swaps ten times as often as there are
    links.
    """
    nodes = len(degrees)
    links = np.zeros((nodes, nodes), bool)
    taken = np.eye(nodes, dtype=bool) if forbidden is None else forbidden | np.eye(nodes, dtype=bool)
    lack = np.asarray(degrees).copy()
    for _ in range(nodes):
        node = int(lack.argmax())
        if lack[node] <= 0:
            break
        # Ties in random order, and full nodes never.
        order = np.lexsort((rng.random(nodes), -lack))
        partners = [other for other in order if lack[other] > 0 and not taken[node, other]][: lack[node]]
        links[node, partners] = links[partners, node] = True
        taken[node, partners] = taken[partners, node] = True
        lack[partners] -= 1
        lack[node] = 0
    _swap_at_random(rng, links, taken, 10)
    return links


def separate(
    rng: np.random.Generator, links: np.ndarray, community: np.ndarray, forbidden: np.ndarray, rounds: int = 20
) -> np.ndarray:
    """Swap links that lie within a community with others, as long as that leaves fewer of them within."""
    links = links.copy()
    taken = links | forbidden | np.eye(len(links), dtype=bool)
    edges = np.argwhere(np.triu(links))
    for _ in range(rounds):
        inside = np.flatnonzero(community[edges[:, 0]] == community[edges[:, 1]])
        swapped = False
        for place in rng.permutation(inside).tolist():
            a, b = edges[place]
            if community[a] != community[b]:
                continue
            for flip in (False, True):
                c, d = (edges[:, ::-1] if flip else edges).T
                fewer = (community[a] != community[c]) & (community[b] != community[d])
                free = ~taken[a, c] & ~taken[b, d]
                if len(others := np.flatnonzero(fewer & free)):
                    _swap(links, taken, edges, place, int(rng.choice(others)), flip)
                    swapped = True
                    break
        if not swapped:
            break
    return links


def _swap_at_random(rng: np.random.Generator, links: np.ndarray, taken: np.ndarray, times: int) -> None:
    edges = np.argwhere(np.triu(links))
    if len(edges) < 2:
        return
    for one, other in rng.integers(len(edges), size=(times * len(edges), 2)).tolist():
        flip = bool(one & 1) ^ bool(other & 1)
        (a, b), (c, d) = edges[one], edges[other][::-1] if flip else edges[other]
        if one != other and not taken[a, c] and not taken[b, d]:
            _swap(links, taken, edges, one, other, flip)


def _swap(links: np.ndarray, taken: np.ndarray, edges: np.ndarray, one: int, other: int, flip: bool) -> None:
    """Links (a, b) and (c, d) become (a, c) and (b, d)."""
    a, b = edges[one]
    c, d = edges[other][::-1] if flip else edges[other]
    for matrix in (links, taken):
        matrix[a, b] = matrix[b, a] = matrix[c, d] = matrix[d, c] = False
        matrix[a, c] = matrix[c, a] = matrix[b, d] = matrix[d, b] = True
    edges[one], edges[other] = (a, c), (b, d)
