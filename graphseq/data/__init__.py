"""Data sets by name, real and generated, behind one interface."""

from graphseq.data.benchmark import Benchmark, Task
from graphseq.data.catalogue import load
from graphseq.data.dag import AddDag, AddLineGraph, DagData
from graphseq.data.generated import (
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
from graphseq.data.loaders import PeptidesFunc, WikipediaPages
from graphseq.data.manifest import File, Manifest, describe, names
from graphseq.data.mirror import fetch
from graphseq.data.trusted import trusted_pyg_classes
from graphseq.data.validate import validate_graph

__all__ = [
    "AddDag",
    "AddLineGraph",
    "AssociativeRecall",
    "Benchmark",
    "CliquePathTransfer",
    "CrossedRingTransfer",
    "DagData",
    "File",
    "GraphProperties",
    "Manifest",
    "MarkedParity",
    "PeptidesFunc",
    "RingTransfer",
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
    "trusted_pyg_classes",
    "validate_graph",
]
