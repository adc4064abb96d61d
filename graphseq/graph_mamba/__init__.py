"""Graph Mamba (Behrouz & Hashemi 2024; Wang et al. 2024): selective state spaces over a graph's nodes in an order."""

from graphseq.graph_mamba.encoder import BiMambaEncoder, MambaEncoder
from graphseq.graph_mamba.layer import GraphMambaLayer
from graphseq.graph_mamba.model import GraphMamba
from graphseq.graph_mamba.neighbourhood import NeighbourhoodEncoder
from graphseq.graph_mamba.order_keys import (
    CoreNumberKey,
    DegreeKey,
    DepthFirstKey,
    EigenvectorKey,
    FiedlerKey,
    PageRankKey,
)
from graphseq.graph_mamba.ordering import AveragedTies, CanonicalTies, RandomTies, TieBreak, canonical_colour
from graphseq.graph_mamba.presets import gmn, gmn_minus, gps_mamba, graph_mamba_wang
from graphseq.graph_mamba.token_data import AddNeighbourhoodTokens, AddTokenWalks, stored_tokens
from graphseq.graph_mamba.token_encoder import SubgraphEncoder, TokenEncoder, WalkEncoder
from graphseq.graph_mamba.tokens import TokenBatch, neighbourhood_tokens
from graphseq.graph_mamba.walk_batch import WalkBatch
from graphseq.graph_mamba.walks import random_walks

__all__ = [
    "AddNeighbourhoodTokens",
    "AddTokenWalks",
    "AveragedTies",
    "BiMambaEncoder",
    "CanonicalTies",
    "CoreNumberKey",
    "DegreeKey",
    "DepthFirstKey",
    "EigenvectorKey",
    "FiedlerKey",
    "GraphMamba",
    "GraphMambaLayer",
    "MambaEncoder",
    "NeighbourhoodEncoder",
    "PageRankKey",
    "RandomTies",
    "SubgraphEncoder",
    "TieBreak",
    "TokenBatch",
    "TokenEncoder",
    "WalkBatch",
    "WalkEncoder",
    "canonical_colour",
    "gmn",
    "gmn_minus",
    "gps_mamba",
    "graph_mamba_wang",
    "neighbourhood_tokens",
    "random_walks",
    "stored_tokens",
]
