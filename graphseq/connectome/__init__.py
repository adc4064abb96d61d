"""Dynamic connectomes: which neurons act together, and when."""

from graphseq.connectome.modularity import Leiden, Louvain, modularity
from graphseq.connectome.sbm import BlockFit, WeightedSBM
from graphseq.connectome.selection import SelectedCommunities, Selection, select_communities, standard_methods
from graphseq.connectome.threshold import permutation_null, top_quantile

__all__ = [
    "BlockFit",
    "Leiden",
    "Louvain",
    "SelectedCommunities",
    "Selection",
    "WeightedSBM",
    "modularity",
    "permutation_null",
    "select_communities",
    "standard_methods",
    "top_quantile",
]
