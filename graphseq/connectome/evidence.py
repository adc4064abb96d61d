"""How well a pair of blocks explains the links between them, its unknown rates integrated out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import betaln, gammaln

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

    def per_link(self, exposure: np.ndarray) -> np.ndarray:
        """The part of the log-likelihood of a link that no partition changes."""
        return np.zeros_like(exposure)


class PoissonEdges:
    r"""Links in proportion to the degrees of both ends (Karrer & Newman 2011): :math:`\theta_i \theta_j \omega`.

    With :math:`\theta_i = k_i / \sqrt{2M}` and :math:`\omega \sim \Gamma(1, 1)`, :math:`m` links in pairs with
    :math:`n = \sum \theta_i \theta_j` have the evidence :math:`m!\,(1 + n)^{-(m+1)} \prod \theta_i \theta_j`. The number
    of links of a pair counts as Poisson, although it is at most one; that is what makes the rate integrable.
    """

    def exposure(self, linked: Bool[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> Float[np.ndarray, "N N"]:
        # A node some of whose pairs are hidden has lost links in proportion.
        share = observed.sum(1) / max(len(observed) - 1, 1)
        degree = linked.sum(1) / np.maximum(share, 1e-12)
        return np.outer(degree, degree) / max(degree.sum(), 1.0)

    def evidence(self, n: np.ndarray, m: np.ndarray) -> np.ndarray:
        return gammaln(m + 1) - (m + 1) * np.log1p(n)

    def per_link(self, exposure: np.ndarray) -> np.ndarray:
        return np.log(np.where(exposure > 0, exposure, 1.0))


class ExponentialWeights:
    r"""Weights of links are exponential with an unknown rate, :math:`\Gamma(1, b)` a priori.

    :math:`m` weights of sum :math:`s` have the evidence :math:`b\,m!\,(b + s)^{-(m+1)}`; :math:`b` is the mean weight.
    """

    def __init__(self, weights: Float[np.ndarray, " links"]) -> None:
        self.scale = float(weights.mean()) if weights.size else 1.0

    def statistics(self, weights: Float[np.ndarray, "N N"]) -> Float[np.ndarray, "C N N"]:
        return weights[None]

    def evidence(self, m: np.ndarray, sums: np.ndarray) -> np.ndarray:
        return np.log(self.scale) - (1 + m) * np.log(self.scale + sums[0]) + gammaln(1 + m)


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
    weights: ExponentialWeights
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
            mean = np.where(linked, weights, 0).sum(1) / np.maximum(linked.sum(1), 1)
            mean[mean == 0] = 1
            unit = np.sqrt(np.outer(mean, mean))
        edges = PoissonEdges() if degree_corrected else BernoulliEdges()
        return cls(edges, ExponentialWeights((weights / unit)[linked]), edges.exposure(linked, observed), unit)

    def statistics(self, weights: Float[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> Pairs:
        """What each observed pair adds to the sums of its two blocks: exposure, links, and sums over weights."""
        linked = (weights > 0) & observed
        sums = self.weights.statistics(np.where(linked, weights / self.unit, 0))
        return np.concatenate([[np.where(observed, self.exposure, 0)], [linked.astype(float)], sums])

    def evidence(self, sums: Float[np.ndarray, "channels *blocks"]) -> Float[np.ndarray, "*blocks"]:
        """Log-likelihood of the links between two blocks, rates integrated out, but for :meth:`constant`."""
        return self.edges.evidence(sums[0], sums[1]) + self.weights.evidence(sums[1], sums[2:])

    def constant(self, weights: Float[np.ndarray, "N N"], observed: Bool[np.ndarray, "N N"]) -> float:
        """What all partitions share; with it, models of the same data can be compared."""
        linked = np.triu((weights > 0) & observed, 1)
        return float((self.edges.per_link(self.exposure) - np.log(self.unit))[linked].sum())
