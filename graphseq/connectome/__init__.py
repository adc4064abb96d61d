"""The dynamic connectome: from traces of many neurons to groups that act together, and when."""

from graphseq.connectome.affinity import RBF, Affinity, GeometricMean, Minimum, Opposed, Product, affinity
from graphseq.connectome.derivative import gaussian_derivative, min_max, rate_of_change
from graphseq.connectome.factorisation import HALS, BoundedLBFGS, CPFit, MultiplicativeUpdates, NonNegativeCP, Solver
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
    "MeanWindow",
    "Minimum",
    "MultiplicativeUpdates",
    "NonNegativeCP",
    "Opposed",
    "Product",
    "Solver",
    "Window",
    "affinity",
    "gaussian_derivative",
    "min_max",
    "pair_tensor",
    "rate_of_change",
]
