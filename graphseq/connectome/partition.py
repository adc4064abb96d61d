"""A partition of the nodes with the sums of its blocks, kept up to date as nodes move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

from graphseq.connectome.evidence import Pairs

Evidence = Callable[[np.ndarray], np.ndarray]


class Partition:
    r"""Blocks of nodes under a block model; the score is log-likelihood plus log-prior.

    The prior draws the number of blocks :math:`B`, then their sizes, then the nodes of each, uniformly (Peixoto 2017):
    :math:`-\log N - \log \binom{N-1}{B-1} - \log \frac{N!}{\prod_r n_r!}`.

    Sums between blocks, ``[channels, B, B]``, and between each node and each block, ``[channels, N, B]``, follow every
    move at the cost of one column. There is always one empty block, the last, for a node to move to. An empty block
    explains nothing: the evidence of sums that are 0 is 0.

    Args:
        pairs: sums of each pair of nodes, symmetric, with a diagonal of 0.
        evidence: of sums between blocks.
        labels: block of each node.
    """

    def __init__(self, pairs: Pairs, evidence: Evidence, labels: Int[np.ndarray, " nodes"]) -> None:
        self.pairs, self.evidence = pairs, evidence
        self.num_nodes = len(labels)
        self._log_sizes = log_prior_of_sizes(self.num_nodes)
        self.assign(labels)

    def assign(self, labels: Int[np.ndarray, " nodes"]) -> None:
        """Start again from these labels; those of no node vanish."""
        self.labels = np.unique(labels, return_inverse=True)[1]
        blocks = int(self.labels.max(initial=-1)) + 2
        member = np.eye(blocks)[self.labels]
        self.size = member.sum(0)
        self.links = self.pairs @ member
        self.sums = member.T @ self.links
        diagonal = np.arange(blocks)
        self.sums[:, diagonal, diagonal] /= 2

    @property
    def num_blocks(self) -> int:
        return len(self.size) - 1

    @property
    def group_sums(self) -> Float[np.ndarray, "channels groups"]:
        """Sums of the groups of pairs that share their rates: the pairs of blocks."""
        rows, columns = np.triu_indices(self.num_blocks)
        return self.sums[:, rows, columns]

    @property
    def sums_of_pairs(self) -> Float[np.ndarray, "channels nodes nodes"]:
        """Of each pair of nodes, the sums of its group."""
        return self.sums[:, self.labels[:, None], self.labels]

    @property
    def log_likelihood(self) -> float:
        return float(self.evidence(self.group_sums).sum())

    @property
    def log_prior(self) -> float:
        return float(self._log_sizes[self.num_blocks] + gammaln(self.size + 1).sum())

    @property
    def score(self) -> float:
        return self.log_likelihood + self.log_prior

    def gains(self, nodes: Int[np.ndarray, " moved"], among: list[int] | slice = slice(None)) -> np.ndarray:
        """What the score gains if one of the nodes moves to each of some blocks, by default to all, the empty one too.

        One row for each node, each as if it alone moved.
        """
        blocks, links = self.labels[nodes], self.links[:, nodes]
        home = np.eye(len(self.size))[blocks]
        arrival = home[:, among]
        own = links[:, np.arange(len(nodes)), blocks]
        # Rows of the sums without the node: only row s changes where it arrives in block s.
        without = self.sums[:, None, among] - links[:, :, among, None] * home[:, None]
        without -= arrival[:, :, None] * (links - own[:, :, None] * home)[:, :, None]
        before, after = self.evidence(np.stack([without, without + links[:, :, None]], 1))
        return (after - before).sum(-1) + self._prior_gains(blocks, among)

    def _prior_gains(self, blocks: np.ndarray, among: list[int] | slice) -> np.ndarray:
        size = self.size - np.eye(len(self.size))[blocks]
        occupied = np.count_nonzero(size, 1)[:, None] + (size == 0)
        return self._log_sizes[occupied][:, among] + np.log(size[:, among] + 1)

    def move(self, node: int, block: int) -> None:
        """Put the node into the block."""
        old, links = self.labels[node], self.links[:, node].copy()
        self.sums[:, old] -= links
        self.sums[:, :, old] -= links
        self.sums[:, old, old] += links[:, old]
        self.sums[:, block] += links
        self.sums[:, :, block] += links
        self.sums[:, block, block] -= links[:, block]
        self.links[:, :, old] -= self.pairs[:, node]
        self.links[:, :, block] += self.pairs[:, node]
        self.size[old] -= 1
        self.size[block] += 1
        self.labels[node] = block
        if self.size[old] == 0 or block == self.num_blocks:
            self.assign(self.labels)

    def merge_gains(self) -> Float[np.ndarray, "blocks blocks"]:
        r"""What the score gains if two blocks become one; :math:`-\infty` on and below the diagonal."""
        blocks = self.num_blocks
        sums = self.sums[:, :blocks, :blocks]
        now = self.evidence(sums)
        own = np.diagonal(now)
        each = np.arange(blocks)
        within = np.diagonal(sums, axis1=1, axis2=2)
        joined = self.evidence(sums[:, :, None] + sums[:, None])
        joined[each, :, each] = joined[:, each, each] = 0
        others = now.sum(1) - own
        gain = joined.sum(2) - (others[:, None] + others - 2 * now)
        gain += self.evidence(within[:, :, None] + within[:, None] + sums) - own[:, None] - own - now
        gain += self._merge_prior_gains()
        gain[np.tril_indices(blocks)] = -np.inf
        return gain

    def _merge_prior_gains(self) -> np.ndarray:
        blocks = self.num_blocks
        size = self.size[:blocks]
        gain = gammaln(size[:, None] + size + 1) - gammaln(size + 1)[:, None] - gammaln(size + 1)
        return gain + self._log_sizes[blocks - 1] - self._log_sizes[blocks]


class SharedBetweenPartition(Partition):
    """A partition whose blocks have groups of pairs of their own within, and one together between them."""

    def assign(self, labels: Int[np.ndarray, " nodes"]) -> None:
        super().assign(labels)
        self.total = self.pairs.sum((1, 2)) / 2

    @property
    def group_sums(self) -> Float[np.ndarray, "channels groups"]:
        within = self._within
        return np.concatenate([within, self._between(within.sum(1))[:, None]], 1)

    @property
    def sums_of_pairs(self) -> Float[np.ndarray, "channels nodes nodes"]:
        within = self._within
        same = self.labels[:, None] == self.labels
        return np.where(same, within[:, self.labels, None], self._between(within.sum(1))[:, None, None])

    def gains(self, nodes: Int[np.ndarray, " moved"], among: list[int] | slice = slice(None)) -> np.ndarray:
        blocks, links = self.labels[nodes], self.links[:, nodes]
        home = np.eye(len(self.size))[blocks]
        without = self._within[:, None] - home * links
        arriving = links[:, :, among]
        before, after = self.evidence(np.stack([without[:, :, among], without[:, :, among] + arriving], 1))
        between = self.evidence(self._between(without.sum(2)[:, :, None] + arriving))
        return after - before + between + self._prior_gains(blocks, among)

    def merge_gains(self) -> Float[np.ndarray, "blocks blocks"]:
        blocks = self.num_blocks
        within, sums = self._within[:, :blocks], self.sums[:, :blocks, :blocks]
        now, total = self.evidence(within), within.sum(1)
        gain = self.evidence(within[:, :, None] + within[:, None] + sums) - now[:, None] - now
        gain += self.evidence(self._between(total[:, None, None] + sums)) - self.evidence(self._between(total[:, None]))
        gain += self._merge_prior_gains()
        gain[np.tril_indices(blocks)] = -np.inf
        return gain

    @property
    def _within(self) -> Float[np.ndarray, "channels blocks"]:
        return np.diagonal(self.sums, axis1=1, axis2=2)

    def _between(self, within: np.ndarray) -> np.ndarray:
        """All pairs but those within."""
        total = self.total.reshape(-1, *[1] * (within.ndim - 1))
        # Rounding must not leave less than nothing.
        return np.maximum(total - within, 0)


class PlantedPartition(SharedBetweenPartition):
    """A partition in which all blocks are alike: one group of pairs within blocks, and one between them."""

    @property
    def group_sums(self) -> Float[np.ndarray, "channels groups"]:
        return self._split(self._within.sum(1))

    @property
    def sums_of_pairs(self) -> Float[np.ndarray, "channels nodes nodes"]:
        within, between = self.group_sums.T
        same = self.labels[:, None] == self.labels
        return np.where(same, within[:, None, None], between[:, None, None])

    def gains(self, nodes: Int[np.ndarray, " moved"], among: list[int] | slice = slice(None)) -> np.ndarray:
        blocks, links = self.labels[nodes], self.links[:, nodes]
        own = links[:, np.arange(len(nodes)), blocks]
        within = self._within.sum(1)[:, None] - own
        likelihood = self.evidence(self._split(within[:, :, None] + links[:, :, among])).sum(-1)
        return likelihood + self._prior_gains(blocks, among)

    def merge_gains(self) -> Float[np.ndarray, "blocks blocks"]:
        blocks = self.num_blocks
        joined = self._split(self._within.sum(1)[:, None, None] + self.sums[:, :blocks, :blocks])
        gain = self.evidence(joined).sum(-1) - self.log_likelihood + self._merge_prior_gains()
        gain[np.tril_indices(blocks)] = -np.inf
        return gain

    def _split(self, within: np.ndarray) -> np.ndarray:
        """Of sums within, those within and between, along a new last axis."""
        return np.stack([within, self._between(within)], -1)


def log_prior_of_sizes(num_nodes: int) -> Float[np.ndarray, " blocks"]:
    """Of each number of blocks from 0: the part of the prior in which the sizes do not stand."""
    blocks = np.arange(1, num_nodes + 2)
    with np.errstate(invalid="ignore"):
        choices = gammaln(num_nodes) - gammaln(blocks) - gammaln(np.maximum(num_nodes - blocks + 1, 1))
    shares = -choices - gammaln(num_nodes + 1) - np.log(max(num_nodes, 1))
    return np.concatenate([[0.0], shares])
