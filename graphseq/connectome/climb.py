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
    while len(ready := _ready(partition, np.arange(partition.num_nodes))):
        _move_each(partition, rng.permutation(ready))


def settle(partition: Partition, rng: np.random.Generator, nodes: np.ndarray, blocks: list[int]) -> None:
    """The same among two blocks for a few passes; neither is emptied.

    At first a random half of the nodes that would gain move at once, which costs no more than one move.
    """
    for _ in range(SETTLING):
        ready = _ready(partition, nodes, blocks)
        labels = partition.labels.copy()
        moved = ready[rng.random(len(ready)) < 0.5]
        labels[moved] = blocks[0] + blocks[1] - labels[moved]
        if not len(moved) or not np.isin(blocks, labels).all():
            break
        partition.assign(labels)
    for _ in range(SETTLING):
        ready = _ready(partition, nodes, blocks)
        if not _move_each(partition, rng.permutation(ready), blocks):
            break


def _ready(partition: Partition, nodes: np.ndarray, among: list[int] | None = None) -> np.ndarray:
    """Which of the nodes would each gain by a move."""
    return nodes[_better(partition, nodes, among)[1]]


def _better(partition: Partition, nodes: np.ndarray, among: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The best block for each node, and whether it gains there."""
    blocks = np.arange(len(partition.size)) if among is None else np.array(among)
    gains = partition.gains(nodes, slice(None) if among is None else among)
    now = gains[partition.labels[nodes][:, None] == blocks]
    return blocks[gains.argmax(1)], gains.max(1) > now + LEAST_GAIN


def _move_each(partition: Partition, nodes: np.ndarray, among: list[int] | None = None) -> bool:
    """Move those that gain when their turn comes; among given blocks none is emptied. Whether any did."""
    moved = False
    for node in nodes:
        if among is not None and partition.size[partition.labels[node]] == 1:
            continue
        block, gains = _better(partition, node[None], among)
        if gains[0]:
            partition.move(int(node), int(block[0]))
            moved = True
    return moved


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
