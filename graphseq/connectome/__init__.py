"""The dynamic connectome: from traces of many neurons to groups that act together, and when."""

from graphseq.connectome.affinity import RBF, Affinity, GeometricMean, Minimum, Opposed, Product, affinity
from graphseq.connectome.atlas import atlas
from graphseq.connectome.derivative import gaussian_derivative, min_max, rate_of_change
from graphseq.connectome.dynamic import DynamicCommunities, DynamicConnectome
from graphseq.connectome.export import affinity_events, functional_and_anatomical, window_graphs
from graphseq.connectome.factorisation import HALS, BoundedLBFGS, CPFit, MultiplicativeUpdates, NonNegativeCP, Solver
from graphseq.connectome.modularity import Leiden, Louvain, modularity
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
from graphseq.connectome.pairs import pair_tensor
from graphseq.connectome.pictures import plot_communities, plot_neurons, plot_recording
from graphseq.connectome.sbm import BlockFit, WeightedSBM
from graphseq.connectome.threshold import permutation_null, top_quantile
from graphseq.connectome.windows import ExponentialWindow, MeanWindow, Window

__all__ = [
    "HALS",
    "RBF",
    "Affinity",
    "BlockFit",
    "BoundedLBFGS",
    "CPFit",
    "DynamicCommunities",
    "DynamicConnectome",
    "ExponentialWindow",
    "GeometricMean",
    "Leiden",
    "Louvain",
    "HoldOut",
    "MeanWindow",
    "Minimum",
    "MultiplicativeUpdates",
    "NonNegativeCP",
    "Opposed",
    "Product",
    "RankSelection",
    "Solver",
    "WeightedSBM",
    "Window",
    "affinity",
    "affinity_events",
    "atlas",
    "functional_and_anatomical",
    "Speckled",
    "WholeCourses",
    "ensemble_similarity",
    "gaussian_derivative",
    "min_max",
    "modularity",
    "pair_tensor",
    "permutation_null",
    "plot_communities",
    "plot_neurons",
    "plot_recording",
    "rate_of_change",
    "top_quantile",
    "window_graphs",
    "plot_motifs",
    "plot_ranks",
    "select_rank",
]
