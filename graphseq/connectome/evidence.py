"""How well a pair of blocks explains the links between them, its unknown rates integrated out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import brentq
from scipy.special import betaln, digamma, gammaln

#: Steps of the fixed-point iterations for what nodes contribute to degrees and to strengths.
FITTING = 100

#: A node linked to all others would have no finite fitness.
FULL = 0.999

TINY = 1e-12

#: Of logarithms of weights; equal weights would have an infinite shape.
LEAST_SPREAD = 1e-3

Pairs = Float[np.ndarray, "channels nodes nodes"]


class BernoulliEdges:
    r"""Every pair of nodes is linked with the same unknown probability, uniform a priori.

    :math:`m` links among :math:`n` pairs have the evidence :math:`B(m + 1, n - m + 1)`.
    """

    def exposure(self, linked: Bool[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> Float[np.ndarray, "N N"]:
        """What each pair adds to :math:`n`."""
        return np.ones(linked.shape)

    def evidence(self, n: np.ndarray, m: np.ndarray) -> np.ndarray:
        return betaln(m + 1, n - m + 1)

    def probability(self, exposure: np.ndarray, n: np.ndarray, m: np.ndarray) -> np.ndarray:
        """Of one more pair being linked."""
        return (m + 1) / (n + 2)

    def per_link(self, exposure: np.ndarray) -> np.ndarray:
        """The part of the log-likelihood of a link that no partition changes."""
        return np.zeros_like(exposure)


class PoissonEdges:
    r"""Links in proportion to what the degrees of both ends lead to expect (after Karrer & Newman 2011).

    Pair :math:`ij` has :math:`p_{ij} \omega` expected links, with :math:`p_{ij} = x_i x_j / (1 + x_i x_j)` the
    probability of a link in the random simple graph whose expected degrees are those found, and
    :math:`\omega \sim \Gamma(1, 1)`. Then :math:`m` links in pairs with :math:`n = \sum p_{ij}` have the evidence
    :math:`m!\,(1 + n)^{-(m+1)} \prod p_{ij}`. Plain products of degrees would expect more than one link between the
    hubs of a dense graph, and find communities where there are only hubs. The number of links of a pair counts as
    Poisson, although it is at most one; that is what makes the rate integrable.
    """

    def exposure(self, linked: Bool[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> Float[np.ndarray, "N N"]:
        # A node some of whose pairs are hidden has lost links in proportion.
        others = max(len(observed) - 1, 1)
        share = np.maximum(observed.sum(1), 1) / others
        degree = np.minimum(linked.sum(1) / share, others * FULL)
        fitness = degree / np.sqrt(max(degree.sum(), 1.0))
        apart = ~np.eye(len(degree), dtype=bool)
        for _ in range(FITTING):
            products = np.outer(fitness, fitness)
            fitness = degree / np.maximum((fitness / (1 + products) * apart).sum(1), TINY)
        products = np.outer(fitness, fitness)
        return products / (1 + products)

    def evidence(self, n: np.ndarray, m: np.ndarray) -> np.ndarray:
        return gammaln(m + 1) - (m + 1) * np.log1p(n)

    def probability(self, exposure: np.ndarray, n: np.ndarray, m: np.ndarray) -> np.ndarray:
        """Of one more pair being linked; the expected number of links, cut off below 1."""
        return np.clip(exposure * (m + 1) / (n + 1), TINY, FULL)

    def per_link(self, exposure: np.ndarray) -> np.ndarray:
        return np.log(np.where(exposure > 0, exposure, 1.0))


class GammaWeights:
    r"""Weights of links follow a Gamma distribution of known shape :math:`a`, its rate :math:`\Gamma(1, b)` a priori.

    :math:`m` weights of sum :math:`s` have the evidence
    :math:`b\,\Gamma(1 + am)\,(b + s)^{-(1 + am)} \prod w^{a-1} / \Gamma(a)^m`; :math:`b` is the mean weight.
    With :math:`a = 1`, the default, weights are exponential.
    """

    def __init__(self, weights: Float[np.ndarray, " links"], shape: float = 1.0) -> None:
        self.scale = float(weights.mean()) if weights.size else 1.0
        self.shape = shape

    @classmethod
    def fitted(cls, weights: Float[np.ndarray, " links"]) -> GammaWeights:
        """With the shape of highest likelihood for all weights together."""
        if not weights.size:
            return cls(weights)
        spread = np.log(weights.mean()) - np.log(weights).mean()
        if spread < LEAST_SPREAD:
            return cls(weights, 1 / (2 * LEAST_SPREAD))
        # Between the bounds 1 / 2 and 1 of the asymptotic forms of log(a) - digamma(a) times a.
        shape = brentq(lambda a: np.log(a) - digamma(a) - spread, 0.4 / spread, 1.1 / spread)
        return cls(weights, float(shape))

    def evidence(self, m: np.ndarray, sums: np.ndarray) -> np.ndarray:
        order = 1 + self.shape * m
        return np.log(self.scale) - order * np.log(self.scale + sums) + gammaln(order)

    def per_link(self, weights: np.ndarray) -> np.ndarray:
        """The part of the log-likelihood of a link that no partition changes."""
        return (self.shape - 1) * np.log(np.where(weights > 0, weights, 1.0)) - gammaln(self.shape)


@dataclass(frozen=True)
class PairModel:
    """What is assumed of links and weights, with the constants that were taken from some of the pairs.

    Args:
        edges: the model of links.
        weights: the model of weights.
        exposure: of each pair, for ``edges``.
        unit: of each pair; weights are measured in it.
    """

    edges: BernoulliEdges | PoissonEdges
    weights: GammaWeights
    exposure: Float[np.ndarray, "N N"]
    unit: Float[np.ndarray, "N N"]

    @classmethod
    def of(
        cls,
        weights: Float[np.ndarray, "N N"],
        observed: Bool[np.ndarray, "N N"],
        *,
        degree_corrected: bool,
        strength_normalise: bool,
    ) -> PairModel:
        """The model whose constants come from the observed pairs."""
        linked = (weights > 0) & observed
        unit = np.ones(weights.shape)
        if strength_normalise:
            unit = _expected_weights(np.where(linked, weights, 0))
        edges = PoissonEdges() if degree_corrected else BernoulliEdges()
        # What strengths leave unexplained is broader or narrower than an exponential distribution.
        kind = GammaWeights.fitted if strength_normalise else GammaWeights
        return cls(edges, kind((weights / unit)[linked]), edges.exposure(linked, observed), unit)

    def statistics(self, weights: Float[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> Pairs:
        """What each observed pair adds to the sums of its two blocks: exposure, links, and weight."""
        linked = (weights > 0) & observed
        return np.stack([np.where(observed, self.exposure, 0), linked, np.where(linked, weights / self.unit, 0)])

    def evidence(self, sums: Float[np.ndarray, "channels *blocks"]) -> Float[np.ndarray, "*blocks"]:
        """Log-likelihood of the links between two blocks, rates integrated out, but for :meth:`constant`."""
        return self.edges.evidence(sums[0], sums[1]) + self.weights.evidence(sums[1], sums[2])

    def constant(self, weights: Float[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> float:
        """What all partitions share; with it, models of the same data can be compared."""
        linked = np.triu((weights > 0) & observed, 1)
        return float((self.edges.per_link(self.exposure) + self.of_weights(weights))[linked].sum())

    def of_weights(self, weights: Float[np.ndarray, "N N"]) -> Float[np.ndarray, "N N"]:
        """Of that, what the weight of each link adds; for those of no link, anything."""
        return self.weights.per_link(weights / self.unit) - np.log(self.unit)


def _expected_weights(weights: Float[np.ndarray, "N N"]) -> Float[np.ndarray, "N N"]:
    r"""Products :math:`g_i g_j` that give each node the strength it has, :math:`g_i \sum_{j \sim i} g_j = s_i`."""
    linked = (weights > 0).astype(float)
    strength = weights.sum(1)
    factor = np.sqrt(strength / np.maximum(linked.sum(1), 1))
    for _ in range(FITTING):
        # Steps of plain division would alternate between two solutions.
        factor = np.sqrt(factor * strength / np.maximum(linked @ factor, TINY))
    factor[strength == 0] = 1
    return np.outer(factor, factor)
