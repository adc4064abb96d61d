"""Data sets by name, real and generated, behind one interface."""

from graphseq.data.benchmark import Benchmark, Task
from graphseq.data.catalogue import load
from graphseq.data.dag import AddDag, AddLineGraph, DagData
from graphseq.data.generated import (
    ArrowPointing,
    AssociativeRecall,
    CliquePathTransfer,
    CrossedRingTransfer,
    GraphProperties,
    MarkedParity,
    RingTransfer,
    TreeNeighborsMatch,
    TreeTransfer,
    WalkRecall,
    WordProblem,
)
from graphseq.data.laplacian import AddLaplacianPE
from graphseq.data.loaders import PeptidesFunc, WikipediaPages
from graphseq.data.manifest import File, Manifest, describe, names
from graphseq.data.mirror import fetch
from graphseq.data.orient import BreadthFirstOrder, DegreeOrder, GivenOrder, NodeOrder, OrientEdges, RandomOrder
from graphseq.data.structure import StructureData, register_key
from graphseq.data.trusted import trusted_pyg_classes
from graphseq.data.validate import validate_graph

__all__ = [
    "AddDag",
    "AddLaplacianPE",
    "AddLineGraph",
    "ArrowPointing",
    "AssociativeRecall",
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
    "StructureData",
    "Task",
    "TreeNeighborsMatch",
    "TreeTransfer",
    "WalkRecall",
    "WikipediaPages",
    "WordProblem",
    "describe",
    "fetch",
    "load",
    "names",
    "register_key",
    "trusted_pyg_classes",
    "validate_graph",
]
