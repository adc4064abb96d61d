"""Graph Mamba (Behrouz & Hashemi 2024; Wang et al. 2024): selective state spaces over a graph's nodes in an order."""

from graphseq.graph_mamba.encoder import BiMambaEncoder, MambaEncoder
from graphseq.graph_mamba.layer import GraphMambaLayer
from graphseq.graph_mamba.model import GraphMamba
from graphseq.graph_mamba.order_keys import CoreNumberKey, DegreeKey, EigenvectorKey, PageRankKey
from graphseq.graph_mamba.ordering import AveragedTies, CanonicalTies, RandomTies, TieBreak, canonical_colour
from graphseq.graph_mamba.presets import gps_mamba, graph_mamba_wang

__all__ = [
    "AveragedTies",
    "BiMambaEncoder",
    "CanonicalTies",
    "CoreNumberKey",
    "DegreeKey",
    "EigenvectorKey",
    "GraphMamba",
    "GraphMambaLayer",
    "MambaEncoder",
    "PageRankKey",
    "RandomTies",
    "TieBreak",
    "canonical_colour",
    "gps_mamba",
    "graph_mamba_wang",
]
