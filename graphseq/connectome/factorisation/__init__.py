"""Non-negative tensor factorisation: what has to be explained, how the error is lowered, and what comes of it."""

from graphseq.connectome.factorisation.ensemble import (
    HoldOut,
    RankSelection,
    Speckled,
    WholeCourses,
    ensemble_similarity,
    select_rank,
)
from graphseq.connectome.factorisation.fit import CPFit
from graphseq.connectome.factorisation.gradient import BoundedLBFGS
from graphseq.connectome.factorisation.hals import HALS
from graphseq.connectome.factorisation.model import NonNegativeCP
from graphseq.connectome.factorisation.multiplicative import MultiplicativeUpdates
from graphseq.connectome.factorisation.pictures import plot_motifs, plot_ranks
from graphseq.connectome.factorisation.solver import Solver

__all__ = [
    "HALS",
    "BoundedLBFGS",
    "CPFit",
    "HoldOut",
    "MultiplicativeUpdates",
    "NonNegativeCP",
    "RankSelection",
    "Solver",
    "Speckled",
    "WholeCourses",
    "ensemble_similarity",
    "plot_motifs",
    "plot_ranks",
    "select_rank",
]
