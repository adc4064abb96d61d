"""Dynamic connectomes: which neurons act together, and when."""

from graphseq.connectome.modularity import Leiden, Louvain, modularity
from graphseq.connectome.sbm import BlockFit, WeightedSBM

__all__ = [
    "BlockFit",
    "Leiden",
    "Louvain",
    "WeightedSBM",
    "modularity",
]
