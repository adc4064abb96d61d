"""Which neurons act together, and when: affinities, factors, communities, and hidden states of the network."""

from graphseq.connectome.hmm import Path, Posterior, forward_backward, log_evidence, viterbi
from graphseq.connectome.hmm_glm.concrete import concrete_log_density, relaxed_sample
from graphseq.connectome.hmm_glm.connections import Connections, FreeConnections, OneHotConnections
from graphseq.connectome.hmm_glm.emission import Bernoulli, Emission, Gaussian, Poisson
from graphseq.connectome.hmm_glm.history import ExponentialFilter, FiniteFilter
from graphseq.connectome.hmm_glm.matching import match_states, sign_recall
from graphseq.connectome.hmm_glm.model import HMMGLM
from graphseq.connectome.hmm_glm.occupancy import plot_occupancy
from graphseq.connectome.hmm_glm.prior import (
    AdjacencyDensity,
    CategoricalDensity,
    ConcreteDensity,
    GaussianPrior,
    NoPrior,
    OneHotPrior,
    Prior,
    connectome_prior,
)
from graphseq.connectome.hmm_glm.start import RandomStart, SmoothedClusters, Start
from graphseq.connectome.hmm_glm.training import AdamSteps, EvidenceAscent, GeneralisedEM, LBFGSSteps, Maximiser

__all__ = [
    "HMMGLM",
    "AdamSteps",
    "AdjacencyDensity",
    "Bernoulli",
    "CategoricalDensity",
    "ConcreteDensity",
    "Connections",
    "Emission",
    "EvidenceAscent",
    "ExponentialFilter",
    "FiniteFilter",
    "FreeConnections",
    "Gaussian",
    "GaussianPrior",
    "GeneralisedEM",
    "LBFGSSteps",
    "Maximiser",
    "NoPrior",
    "OneHotConnections",
    "OneHotPrior",
    "Path",
    "Poisson",
    "Posterior",
    "Prior",
    "RandomStart",
    "SmoothedClusters",
    "Start",
    "concrete_log_density",
    "connectome_prior",
    "forward_backward",
    "log_evidence",
    "match_states",
    "plot_occupancy",
    "relaxed_sample",
    "sign_recall",
    "viterbi",
]
