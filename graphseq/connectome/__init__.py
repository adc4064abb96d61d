"""The dynamic connectome: from traces of many neurons to groups that act together, and when."""

from graphseq.connectome.affinity import RBF, Affinity, GeometricMean, Minimum, Opposed, Product, affinity
from graphseq.connectome.derivative import gaussian_derivative, min_max, rate_of_change
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
from graphseq.connectome.windows import ExponentialWindow, MeanWindow, Window

__all__ = [
    "HALS",
    "RBF",
    "Affinity",
    "BoundedLBFGS",
    "CPFit",
    "ExponentialWindow",
    "GeometricMean",
    "HoldOut",
    "MeanWindow",
    "Minimum",
    "MultiplicativeUpdates",
    "NonNegativeCP",
    "Opposed",
    "Product",
    "RankSelection",
    "Solver",
    "Speckled",
    "WholeCourses",
    "Window",
    "affinity",
    "ensemble_similarity",
    "gaussian_derivative",
    "min_max",
    "pair_tensor",
    "plot_motifs",
    "plot_ranks",
    "rate_of_change",
    "select_rank",
]
