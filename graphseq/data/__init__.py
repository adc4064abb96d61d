"""Data sets by name, real and generated, behind one interface."""

from graphseq.data.benchmark import Benchmark, Task
from graphseq.data.catalogue import load
from graphseq.data.dag import AddDag, AddLineGraph, DagData
from graphseq.data.generated import (
    ArrowPointing,
    CliquePathTransfer,
    CrossedRingTransfer,
    GraphProperties,
    MarkedParity,
    RingTransfer,
    TreeNeighborsMatch,
    TreeTransfer,
    WalkRecall,
)
from graphseq.data.loaders import PeptidesFunc, WikipediaPages
from graphseq.data.manifest import File, Manifest, describe, names
from graphseq.data.mirror import fetch
from graphseq.data.orient import BreadthFirstOrder, DegreeOrder, GivenOrder, NodeOrder, OrientEdges, RandomOrder
from graphseq.data.trusted import trusted_pyg_classes
from graphseq.data.validate import validate_graph

__all__ = [
    "AddDag",
    "AddLineGraph",
    "ArrowPointing",
    "Benchmark",
    "BreadthFirstOrder",
    "CliquePathTransfer",
    "CrossedRingTransfer",
    "DagData",
    "DegreeOrder",
    "File",
    "GivenOrder",
    "GraphProperties",
    "Manifest",
    "MarkedParity",
    "NodeOrder",
    "OrientEdges",
    "PeptidesFunc",
    "RandomOrder",
    "RingTransfer",
    "Task",
    "TreeNeighborsMatch",
    "TreeTransfer",
    "WalkRecall",
    "WikipediaPages",
    "describe",
    "fetch",
    "load",
    "names",
    "trusted_pyg_classes",
    "validate_graph",
]
