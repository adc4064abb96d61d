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

#: Least and most of the mean shape of weights; those that are as expected would have an infinite one.
SHAPES = 1e-4, 500.0

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
    r"""Weights follow Gamma distributions of known shapes, in known units, at a rate of each group of links.

    In units :math:`u_e`, weights :math:`w_e = u_e v_e` of shapes :math:`a_e` and a rate that is :math:`\Gamma(1, b)` a
    priori have the evidence :math:`b\,\Gamma(1 + a)\,(b + s)^{-(1 + a)} \prod v_e^{a_e - 1} / (\Gamma(a_e) u_e)`, with
    :math:`s = \sum v_e` and :math:`a = \sum a_e`. By :math:`b = s / a` over all links, the rate that is expected is
    that of all links together.

    Args:
        weights: of each pair.
        linked: which pairs are.
        shapes: of each pair, if linked.
        units: of each pair, if linked.
    """

    def __init__(
        self,
        weights: Float[np.ndarray, "N N"],
        linked: Bool[np.ndarray, "N N"],
        shapes: Float[np.ndarray, "N N"],
        units: Float[np.ndarray, "N N"],
    ) -> None:
        self.shapes, self.units = shapes, units
        self.scale = (weights / units)[linked].sum() / shapes[linked].sum() if linked.any() else 1.0

    @classmethod
    def exponential(cls, weights: Float[np.ndarray, "N N"], linked: Bool[np.ndarray, "N N"]) -> GammaWeights:
        """All alike, of shape 1 in units of 1."""
        return cls(weights, linked, np.ones(weights.shape), np.ones(weights.shape))

    @classmethod
    def expected(cls, weights: Float[np.ndarray, "N N"], linked: Bool[np.ndarray, "N N"], power: float) -> GammaWeights:
        r"""Of mean :math:`m_{ij} = g_i g_j` and variance in proportion to :math:`m_{ij}^{2 - p}`, were blocks alike.

        Shapes are :math:`c\,m^p` and units :math:`m^{1 - p}`. The factors :math:`g` and :math:`c` are those of highest
        likelihood for all links together; that of :math:`c` is where its derivative
        :math:`\sum_e m_e^p (\log c + \log v_e - \psi(c\,m_e^p))` is 0.
        """
        mean = _expected_weights(np.where(linked, weights, 0), power)
        shapes, units = mean**power, mean ** (1 - power)
        if linked.any():
            shape, log_weight = shapes[linked], np.log((weights / units)[linked])

            def slope(log_factor: float) -> float:
                return float(shape @ (log_factor + log_weight - digamma(np.exp(log_factor) * shape)))

            least, most = (float(np.log(bound / shape.mean())) for bound in SHAPES)
            shapes = shapes * np.exp(most if slope(most) > 0 else brentq(slope, least, most))
        return cls(weights, linked, shapes, units)

    def evidence(self, shape: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.log(self.scale) - (1 + shape) * np.log(self.scale + weight) + gammaln(1 + shape)

    def per_link(self, weights: np.ndarray) -> np.ndarray:
        """The part of the log-likelihood of a link that no partition changes."""
        values = np.log(np.where(weights > 0, weights / self.units, 1.0))
        return (self.shapes - 1) * values - gammaln(self.shapes) - np.log(self.units)


@dataclass(frozen=True)
class PairModel:
    """What is assumed of links and weights, with the constants that were taken from some of the pairs.

    Args:
        edges: the model of links.
        weights: the model of weights.
        exposure: of each pair, for ``edges``.
    """

    edges: BernoulliEdges | PoissonEdges
    weights: GammaWeights
    exposure: Float[np.ndarray, "N N"]

    @classmethod
    def of(
        cls,
        weights: Float[np.ndarray, "N N"],
        observed: Bool[np.ndarray, "N N"],
        *,
        degree_corrected: bool,
        strength_power: float | None,
    ) -> PairModel:
        """The model whose constants come from the observed pairs.

        Weights follow :meth:`GammaWeights.expected` if a power is given, otherwise an exponential distribution.
        """
        linked = (weights > 0) & observed
        edges = PoissonEdges() if degree_corrected else BernoulliEdges()
        if strength_power is None:
            law = GammaWeights.exponential(weights, linked)
        else:
            law = GammaWeights.expected(weights, linked, strength_power)
        return cls(edges, law, edges.exposure(linked, observed))

    def statistics(self, weights: Float[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> Pairs:
        """What each observed pair adds to the sums of its two blocks: exposure, links, shape, and weight."""
        linked = (weights > 0) & observed
        return np.stack(
            [
                np.where(observed, self.exposure, 0),
                linked,
                np.where(linked, self.weights.shapes, 0),
                np.where(linked, weights / self.weights.units, 0),
            ]
        )

    def evidence(self, sums: Float[np.ndarray, "channels *blocks"]) -> Float[np.ndarray, "*blocks"]:
        """Log-likelihood of the links between two blocks, rates integrated out, but for :meth:`constant`."""
        return self.edges.evidence(sums[0], sums[1]) + self.weights.evidence(sums[2], sums[3])

    def constant(self, weights: Float[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> float:
        """What all partitions share; with it, models of the same data can be compared."""
        linked = np.triu((weights > 0) & observed, 1)
        return float((self.edges.per_link(self.exposure) + self.weights.per_link(weights))[linked].sum())


def _expected_weights(weights: Float[np.ndarray, "N N"], power: float) -> Float[np.ndarray, "N N"]:
    r"""Products :math:`m_{ij} = g_i g_j` with :math:`\sum_{j \sim i} m_{ij}^{p - 1} (w_{ij} - m_{ij}) = 0` at a node.

    With :math:`p = 1` they have the strengths of the nodes; with :math:`p = 0`, relative deviations cancel.
    """
    linked = weights > 0
    some = linked.any(1)
    factor = np.sqrt(weights.sum(1) / np.maximum(linked.sum(1), 1))
    # Of a node without links nothing is known.
    factor[~some] = factor[some].mean() if some.any() else 1.0
    for _ in range(FITTING):
        mean = np.outer(factor, factor)
        importance = np.where(linked, mean ** (power - 1), 0)
        found, wanted = (importance * mean).sum(1)[some], (importance * weights).sum(1)[some]
        # Full steps would alternate between two solutions.
        factor[some] *= np.sqrt(wanted / found)
    return np.outer(factor, factor)
