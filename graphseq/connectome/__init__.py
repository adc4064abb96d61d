"""The dynamic connectome: from traces of many neurons to groups that act together, and when."""

from graphseq.connectome.affinity import RBF, Affinity, GeometricMean, Minimum, Opposed, Product, affinity
from graphseq.connectome.atlas import atlas
from graphseq.connectome.derivative import gaussian_derivative, min_max, rate_of_change
from graphseq.connectome.dynamic import DynamicCommunities, DynamicConnectome
from graphseq.connectome.export import affinity_events, functional_and_anatomical, window_graphs
from graphseq.connectome.factorisation import (
    HALS,
    BoundedLBFGS,
    CPFit,
    HoldOut,
    MultiplicativeUpdates,
    NonNegativeCP,
    RankSelection,
    Solver,
    Speckled,
    WholeCourses,
    ensemble_similarity,
    plot_motifs,
    plot_ranks,
    select_rank,
)
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
from graphseq.connectome.modularity import Leiden, Louvain, modularity
from graphseq.connectome.pairs import pair_tensor
from graphseq.connectome.pictures import plot_communities, plot_neurons, plot_recording
from graphseq.connectome.sbm import BlockFit, WeightedSBM
from graphseq.connectome.selection import SelectedCommunities, Selection, select_communities, standard_methods
from graphseq.connectome.threshold import permutation_null, top_quantile
from graphseq.connectome.windows import ExponentialWindow, MeanWindow, Window

__all__ = [
    "HALS",
    "HMMGLM",
    "RBF",
    "AdamSteps",
    "AdjacencyDensity",
    "Affinity",
    "Bernoulli",
    "BlockFit",
    "BoundedLBFGS",
    "CPFit",
    "CategoricalDensity",
    "ConcreteDensity",
    "Connections",
    "DynamicCommunities",
    "DynamicConnectome",
    "Emission",
    "EvidenceAscent",
    "ExponentialFilter",
    "ExponentialWindow",
    "FiniteFilter",
    "FreeConnections",
    "Gaussian",
    "GaussianPrior",
    "GeneralisedEM",
    "GeometricMean",
    "HoldOut",
    "LBFGSSteps",
    "Leiden",
    "Louvain",
    "Maximiser",
    "MeanWindow",
    "Minimum",
    "MultiplicativeUpdates",
    "NoPrior",
    "NonNegativeCP",
    "OneHotConnections",
    "OneHotPrior",
    "Opposed",
    "Path",
    "Poisson",
    "Posterior",
    "Prior",
    "Product",
    "RandomStart",
    "RankSelection",
    "SelectedCommunities",
    "Selection",
    "SmoothedClusters",
    "Solver",
    "Speckled",
    "Start",
    "WeightedSBM",
    "WholeCourses",
    "Window",
    "affinity",
    "affinity_events",
    "atlas",
    "concrete_log_density",
    "connectome_prior",
    "ensemble_similarity",
    "forward_backward",
    "functional_and_anatomical",
    "gaussian_derivative",
    "log_evidence",
    "match_states",
    "min_max",
    "modularity",
    "pair_tensor",
    "permutation_null",
    "plot_communities",
    "plot_motifs",
    "plot_neurons",
    "plot_occupancy",
    "plot_ranks",
    "plot_recording",
    "rate_of_change",
    "relaxed_sample",
    "select_communities",
    "select_rank",
    "sign_recall",
    "standard_methods",
    "top_quantile",
    "viterbi",
    "window_graphs",
]
