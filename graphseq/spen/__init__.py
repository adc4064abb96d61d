"""Subgraph permutation equivariant networks (Mitton & Murray-Smith 2023): second order on every ego network."""

from graphseq.spen.blocks import Blocks
from graphseq.spen.ego import AddEgoNetworks, ego_networks
from graphseq.spen.expressivity import (
    count_classes,
    csl_graph,
    expressivity_table,
    output_gap,
    plot_pairs,
    separates,
    standard_pairs,
)
from graphseq.spen.features import PairFeatures
from graphseq.spen.group import Group, MarkedRoot, RootStabiliser, Symmetric
from graphseq.spen.injection import Injection, MeanInjection, SumInjection
from graphseq.spen.layer import NetworkMaps, SPENLayer
from graphseq.spen.maps import EquivariantMap
from graphseq.spen.model import SPEN, size_bounds
from graphseq.spen.nets import EgoNetworks
from graphseq.spen.presets import published_spen
from graphseq.spen.readout import InvariantReadout

__all__ = [
    "SPEN",
    "AddEgoNetworks",
    "Blocks",
    "EgoNetworks",
    "EquivariantMap",
    "Group",
    "Injection",
    "InvariantReadout",
    "MarkedRoot",
    "MeanInjection",
    "NetworkMaps",
    "PairFeatures",
    "RootStabiliser",
    "SPENLayer",
    "SumInjection",
    "Symmetric",
    "count_classes",
    "csl_graph",
    "ego_networks",
    "expressivity_table",
    "output_gap",
    "plot_pairs",
    "published_spen",
    "separates",
    "size_bounds",
    "standard_pairs",
]
