"""The collapsed weighted stochastic block model (Peixoto 2017, 2018), all rates integrated out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from graphseq.connectome.climb import climb
from graphseq.connectome.evidence import PairModel
from graphseq.connectome.matrix import by_size, checked, observed_pairs
from graphseq.connectome.modularity import louvain_labels
from graphseq.connectome.partition import Partition, PlantedPartition, SharedBetweenPartition

#: Of an expected weight, to which a Gamma distribution's shape is proportional: the standard deviation is in proportion
#: to the expected weight by 0, its root by 1.
POWERS = 0.5, 0.0, 1.0


@dataclass(frozen=True)
class BlockFit:
    """Communities found by :class:`WeightedSBM`.

    Args:
        labels: community of each node, the largest first.
        score: ``log_likelihood`` plus ``log_prior``.
        log_likelihood: of links and weights, rates integrated out.
        log_prior: of the partition.
        history: score of the winning start, round by round; it never falls.
        levels: coarser and coarser labels of the nodes, from ``labels`` to a single block.
    """

    labels: Int[Tensor, " nodes"]
    score: float
    log_likelihood: float
    log_prior: float
    history: tuple[float, ...]
    levels: tuple[Int[Tensor, " nodes"], ...]


class WeightedSBM:
    r"""Communities as the blocks of a weighted stochastic block model, at the highest posterior found.

    Between blocks :math:`r \le s` with :math:`n_{rs}` pairs of nodes, links are drawn with an unknown probability,
    uniform a priori, and their weights from an exponential distribution of unknown rate, :math:`\Gamma(1, b)` a
    priori. Integrated out, :math:`m_{rs}` links of total weight :math:`s_{rs}` have

    .. math::
        \log L = \sum_{r \le s} \log B(m_{rs} + 1, n_{rs} - m_{rs} + 1)
            + \log b - (1 + m_{rs}) \log(b + s_{rs}) + \log \Gamma(1 + m_{rs}),

    with :math:`b` the mean weight of a link. The partition has the prior :math:`-\log N - \log \binom{N-1}{B-1}
    - \log \frac{N!}{\prod_r n_r!}`. So the number of blocks need not be given, and a block is any group of nodes that
    link alike, whether to one another or to others.

    The search starts from one block, from the Louvain communities at several resolutions, and from random partitions;
    each start is raised by moves of single nodes, merges, splits, and merges that are split again, until none gains.

    Nodes without links share a community, as they link alike.

    Args:
        degree_corrected: links in proportion to the degrees of both ends, see :class:`PoissonEdges`. Otherwise nodes of
            high and of low degree tend to be told apart.
        strength_normalise: measure a weight against :math:`m_{ij} = g_i g_j`, products that are fitted to the weights
            of each node's links, and let it follow a Gamma distribution whose shape is in proportion to
            :math:`m_{ij}^p`. Of :math:`p = 0` (a standard deviation in proportion to the mean), 1/2 and 1 (a variance
            in proportion to the mean, which fits each node's strength exactly), that is taken under which links,
            weights and communities are most probable. Otherwise nodes of strong and of weak links tend to be told
            apart.
        shared_between: each community has rates of its own within, and all pairs of them the same between (the
            non-uniform planted partition model; Zhang & Peixoto 2020). Then blocks that differ only in how they link to
            one another, such as hubs and others of one community, are no communities.
        alike: all communities have the same rates within, and all pairs of them the same between (the planted partition
            model; Zhang & Peixoto 2020). Then nothing but more, or less, within than between makes a community.
        resolutions: of the Louvain starts.
        random_starts: number of random partitions to start from, the first into two blocks, the next into three, ….
        rounds: at most as many rounds of a search.
        seed: the same seed gives the same communities.

    Example:
        >>> weights = torch.block_diag(torch.ones(3, 3), torch.ones(4, 4)).fill_diagonal_(0)
        >>> WeightedSBM()(weights)
        tensor([1, 1, 1, 0, 0, 0, 0])

    Source: the microcanonical and weighted block models of Peixoto (2017, 2018), in the form of conjugate priors; the
    reference method of the dynamic connectome uses them through graph-tool.
    """

    def __init__(
        self,
        *,
        degree_corrected: bool = False,
        strength_normalise: bool = False,
        shared_between: bool = False,
        alike: bool = False,
        resolutions: Sequence[float] = (0.7, 1.0),
        random_starts: int = 4,
        rounds: int = 20,
        seed: int = 0,
    ) -> None:
        self.degree_corrected = degree_corrected
        self.strength_normalise = strength_normalise
        self.alike = alike
        self.shared_between = shared_between
        self._partition = PlantedPartition if alike else SharedBetweenPartition if shared_between else Partition
        self.resolutions = tuple(resolutions)
        self.random_starts = random_starts
        self.rounds = rounds
        self.seed = seed

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(degree_corrected={self.degree_corrected}, "
            f"strength_normalise={self.strength_normalise}, shared_between={self.shared_between}, "
            f"alike={self.alike}, seed={self.seed})"
        )

    def __call__(self, weights: Float[Tensor, "nodes nodes"]) -> Int[Tensor, " nodes"]:
        """Community of each node, numbered from 0 in order of size."""
        return self._best(*self._matrices(weights, None)).labels

    def fit(
        self, weights: Float[Tensor, "nodes nodes"], observed: Bool[Tensor, "nodes nodes"] | None = None
    ) -> BlockFit:
        """Communities with their score and the coarser levels above them.

        The blocks of a level are the nodes of the next, linked by the sums of the weights between them.

        Args:
            weights: symmetric and non-negative; 0 where there is no link. The diagonal does not count.
            observed: which pairs were seen at all; the others say nothing.

        Raises:
            ValueError: if ``weights`` or ``observed`` is not such a matrix.
        """
        matrix, mask = self._matrices(weights, observed)
        found = self._best(matrix, mask)
        prior = found.partition.log_prior
        return BlockFit(
            found.labels,
            found.score,
            found.score - prior,
            prior,
            tuple(score + found.constant for score in found.history),
            tuple(self._levels(matrix, found.labels)),
        )

    def log_likelihood(
        self,
        weights: Float[Tensor, "nodes nodes"],
        labels: Int[Tensor, " nodes"],
        observed: Bool[Tensor, "nodes nodes"] | None = None,
    ) -> float:
        """Of links and weights, given communities."""
        matrix, mask = self._matrices(weights, observed)
        blocks = _as_labels(labels, len(matrix))
        return max(self._log_likelihood(model, matrix, mask, blocks) for model in self._models(matrix, mask))

    def log_prior(self, labels: Int[Tensor, " nodes"]) -> float:
        """Of communities; it depends on their sizes alone."""
        nothing = np.zeros((1, len(labels), len(labels)))
        return Partition(nothing, lambda sums: sums[0], _as_labels(labels, len(labels))).log_prior

    def predictive(
        self,
        weights: Float[Tensor, "nodes nodes"],
        labels: Int[Tensor, " nodes"],
        observed: Bool[Tensor, "nodes nodes"],
    ) -> float:
        """Log-likelihood of the pairs that are not observed, given those that are and communities.

        Each pair is linked with its expected probability; the weights of all its links together are given the ratio of
        two evidences. All models are so densities of the same links and weights, and can be compared.
        """
        matrix, mask = self._matrices(weights, observed)
        blocks = _as_labels(labels, len(matrix))
        model = max(self._models(matrix, mask), key=lambda model: self._log_likelihood(model, matrix, mask, blocks))
        everything = observed_pairs(None, len(matrix))
        seen, whole = (
            self._partition(model.statistics(matrix, pairs), model.evidence, blocks) for pairs in (mask, everything)
        )
        n, m = seen.sums_of_pairs[:2]
        probability = model.edges.probability(model.exposure, n, m)
        linked = matrix > 0
        hidden = np.triu(everything & ~mask)
        links = np.where(linked, np.log(probability), np.log1p(-probability)) + linked * model.weights.per_link(matrix)
        evidence = model.weights.evidence(*whole.group_sums[2:]) - model.weights.evidence(*seen.group_sums[2:])
        return float(links[hidden].sum() + evidence.sum())

    def _matrices(self, weights: Tensor, observed: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        matrix = checked(weights)
        return matrix, observed_pairs(observed, len(matrix))

    def _models(self, weights: np.ndarray, observed: np.ndarray) -> list[PairModel]:
        return [
            PairModel.of(weights, observed, degree_corrected=self.degree_corrected, strength_power=power)
            for power in (POWERS if self.strength_normalise else (None,))
        ]

    def _log_likelihood(self, model: PairModel, weights: np.ndarray, observed: np.ndarray, labels: np.ndarray) -> float:
        partition = self._partition(model.statistics(weights, observed), model.evidence, labels)
        return partition.log_likelihood + model.constant(weights, observed)

    def _best(self, weights: np.ndarray, observed: np.ndarray) -> _Found:
        rng = np.random.default_rng(self.seed)
        starts = list(self._starts(np.where(observed, weights, 0), rng))
        every: list[_Found] = []
        for model in self._models(weights, observed):
            pairs, constant = model.statistics(weights, observed), model.constant(weights, observed)
            for labels in starts:
                partition = self._partition(pairs, model.evidence, labels)
                history = climb(partition, rng, self.rounds)
                every.append(_Found(partition, constant, history))
            # What one model finds the next can start from; laws of weights differ too little to search all anew.
            best = max(every, key=lambda found: found.score)
            starts = [best.partition.labels, starts[0]]
        return best

    def _starts(self, weights: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        nodes = len(weights)
        yield np.zeros(nodes, int)
        if not weights.any():
            return
        for resolution in self.resolutions:
            yield louvain_labels(weights, resolution, self.seed)
        for number in range(self.random_starts):
            yield rng.permutation(np.arange(nodes) % (number + 2))

    def _levels(self, weights: np.ndarray, labels: Tensor) -> Iterator[Tensor]:
        yield labels
        while (blocks := len(labels.unique())) > 1:
            member = np.eye(blocks)[labels]
            between = member.T @ weights @ member
            np.fill_diagonal(between, 0)
            everything = observed_pairs(None, blocks)
            coarse = self._best(between, everything).labels
            if len(coarse.unique()) == blocks:
                # Nothing can be joined at a gain: the top is one block.
                coarse = torch.zeros_like(coarse)
            labels = coarse[labels]
            yield labels


@dataclass(frozen=True)
class _Found:
    """Where a search ended, and what all partitions share under its model."""

    partition: Partition
    constant: float
    history: list[float]

    @property
    def labels(self) -> Tensor:
        return by_size(self.partition.labels)

    @property
    def score(self) -> float:
        return self.partition.score + self.constant


def _as_labels(labels: Tensor, nodes: int) -> np.ndarray:
    if labels.shape != (nodes,):
        raise ValueError(f"labels must hold one community for each of {nodes} nodes, got shape {tuple(labels.shape)}")
    return labels.cpu().numpy()
