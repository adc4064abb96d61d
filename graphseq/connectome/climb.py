"""Search for the best partition from a given one: node moves, merges, splits, and merges that are split again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphseq.connectome.partition import Partition

#: Gains below this are rounding.
LEAST_GAIN = 1e-8

#: Passes over the nodes of a proposal. What has not settled by then seldom gains.
SETTLING = 3


def climb(partition: Partition, rng: np.random.Generator, rounds: int) -> list[float]:
    """Raise the score until no kind of step does, or for as many rounds; the scores at the start and after each round.

    A round takes the first of merges, splits and merge-splits that gains, and then moves single nodes. Labels are
    left as they were where a proposal does not gain, so the score never falls.
    """
    scores = [partition.score]
    move_nodes(partition, rng)
    scores.append(partition.score)
    for _ in range(rounds):
        if not any(step(partition, rng) for step in (merge, split, merge_and_split)):
            break
        move_nodes(partition, rng)
        scores.append(partition.score)
    return scores


def move_nodes(partition: Partition, rng: np.random.Generator) -> None:
    """Move nodes to their best blocks, one by one in random order, until none gains."""
    moved = True
    while moved:
        moved = False
        for node in rng.permutation(partition.num_nodes).tolist():
            gains = partition.gains(node)
            best = int(gains.argmax())
            if gains[best] > gains[partition.labels[node]] + LEAST_GAIN:
                partition.move(node, best)
                moved = True


def settle(partition: Partition, rng: np.random.Generator, nodes: np.ndarray, blocks: list[int]) -> None:
    """The same among two blocks for a few passes; neither is emptied."""
    for _ in range(SETTLING):
        moved = False
        for node in rng.permutation(nodes).tolist():
            own = int(partition.labels[node] == blocks[1])
            if partition.size[blocks[own]] == 1:
                continue
            gains = partition.gains(node, blocks)
            if gains[1 - own] > gains[own] + LEAST_GAIN:
                partition.move(node, blocks[1 - own])
                moved = True
        if not moved:
            break


def merge(partition: Partition, rng: np.random.Generator) -> bool:
    """Make one of the two blocks that gain most from it; whether any do."""
    if partition.num_blocks < 2:
        return False
    gains = partition.merge_gains()
    one, two = np.unravel_index(gains.argmax(), gains.shape)
    if gains[one, two] <= LEAST_GAIN:
        return False
    partition.assign(np.where(partition.labels == two, one, partition.labels))
    return True


def split(partition: Partition, rng: np.random.Generator) -> bool:
    """Split the first block that gains, at random or along its own contrasts, and settle its nodes."""
    return any(
        _divide(partition, np.array([block]), halves, rng)
        for block in rng.permutation(partition.num_blocks)
        for halves in (_at_random, _by_contrast)
    )


def merge_and_split(partition: Partition, rng: np.random.Generator) -> bool:
    """Divide the first pair of blocks anew that gains."""
    pairs = np.stack(np.triu_indices(partition.num_blocks, 1), 1)
    return any(
        _divide(partition, pair, halves, rng)
        for pair in rng.permutation(pairs)
        for halves in (_at_random, _by_contrast)
    )


Halves = Callable[[Partition, np.ndarray, np.random.Generator], np.ndarray]


def _divide(partition: Partition, blocks: np.ndarray, halves: Halves, rng: np.random.Generator) -> bool:
    nodes = np.flatnonzero(np.isin(partition.labels, blocks))
    if len(nodes) < 2:
        return False
    before, labels = partition.score, partition.labels.copy()
    upper = halves(partition, nodes, rng)
    proposal = labels.copy()
    one = int(blocks[0])
    two = int(blocks[1]) if len(blocks) == 2 else partition.num_blocks
    proposal[nodes] = np.where(upper, two, one)
    partition.assign(proposal)
    settle(partition, rng, nodes, [one, two])
    if partition.score > before + LEAST_GAIN:
        return True
    partition.assign(labels)
    return False


def _at_random(partition: Partition, nodes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(len(nodes)) < len(nodes) / 2


def _by_contrast(partition: Partition, nodes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By the sign of an eigenvector of links or weights, centred, that is drawn from those of largest magnitude."""
    channel = rng.integers(1, len(partition.pairs))
    values = partition.pairs[channel][np.ix_(nodes, nodes)]
    centre = values.mean(0)
    _, vectors = np.linalg.eigh(values - centre - centre[:, None] + centre.mean())
    vector = vectors[:, rng.choice([0, -1])]
    upper = vector > np.median(vector)
    # All entries may be equal, as in a block without links.
    return upper if upper.any() else _at_random(partition, nodes, rng)
