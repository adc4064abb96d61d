"""Weights for the links of a graph with communities, so that nodes have given strengths within and without."""

from __future__ import annotations

import numpy as np


def spread_strengths(links: np.ndarray, community: np.ndarray, strength: np.ndarray, mixing: int | float) -> np.ndarray:
    """Weights of the links, so that each node has its strength, and this share of it on links between communities.

    All weights start at 0. One node after another spreads what its strength lacks over its links, and then moves what
    its links within have too much to those without. Weights are only changed to what is positive. That is repeated
    until the squares of what is amiss add up to less than 1e-9 of the squared total, or shrink by less than a
    hundredth (Lancichinetti & Fortunato 2009).
    """
    nodes = len(links)
    weights = np.zeros((nodes, nodes))
    same = community[:, None] == community
    neighbours = [np.flatnonzero(row) for row in links]
    within = [same[node, others] for node, others in enumerate(neighbours)]
    amiss = np.inf
    while True:
        for node, (others, inside) in enumerate(zip(neighbours, within, strict=True)):
            if not len(others):
                continue
            row = weights[node, others]
            row = _where_positive(row, (strength[node] - row.sum()) / len(others))
            if inside.any() and not inside.all():
                surplus = row[inside].sum() - (1 - mixing) * strength[node]
                change = np.where(inside, -surplus / inside.sum(), surplus / (~inside).sum())
                row = _where_positive(row, change)
            weights[node, others] = weights[others, node] = row
        actual, actual_within = weights.sum(1), (weights * same).sum(1)
        wrong = (
            (actual - strength) ** 2
            + (actual_within - (1 - mixing) * strength) ** 2
            + (actual - actual_within - mixing * strength) ** 2
        ).sum()
        if wrong < 1e-9 * strength.sum() ** 2 or wrong > 0.99 * amiss:
            return weights
        amiss = wrong


def _where_positive(row: np.ndarray, change: np.ndarray | float) -> np.ndarray:
    return np.where(row + change > 0, row + change, row)
