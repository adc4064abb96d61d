"""Data sets by name, real and generated, behind one interface."""

from graphseq.data.benchmark import Benchmark, Task
from graphseq.data.catalogue import load
from graphseq.data.dag import AddDag, AddLineGraph, DagData
from graphseq.data.generated import (
    ArrowPointing,
    AssociativeRecall,
    CalciumRecordings,
    CliquePathTransfer,
    CrossedRingTransfer,
    GraphProperties,
    MarkedParity,
    RingTransfer,
    SwitchingNetwork,
    TreeNeighborsMatch,
    TreeTransfer,
    WalkRecall,
    WeightedLFR,
    WordProblem,
)
from graphseq.data.laplacian import AddLaplacianPE
from graphseq.data.loaders import PeptidesFunc, WikipediaPages
from graphseq.data.manifest import File, Manifest, describe, names
from graphseq.data.mirror import fetch
from graphseq.data.orient import BreadthFirstOrder, DegreeOrder, GivenOrder, NodeOrder, OrientEdges, RandomOrder
from graphseq.data.signed import (
    EventTask,
    ExistenceTask,
    JointTask,
    SignedNetwork,
    SignedStream,
    SignTask,
    WeightTask,
    draw_negatives,
    events_from_table,
    load_events,
    read_bitcoin,
    read_konect,
    read_wiki_rfa,
    signed_benchmark,
    signed_events,
)
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
    "CalciumRecordings",
    "CliquePathTransfer",
    "CrossedRingTransfer",
    "DagData",
    "DegreeOrder",
    "EventTask",
    "ExistenceTask",
    "File",
    "GivenOrder",
    "GraphProperties",
    "JointTask",
    "Manifest",
    "MarkedParity",
    "NodeOrder",
    "OrientEdges",
    "PeptidesFunc",
    "RandomOrder",
    "RingTransfer",
    "SignTask",
    "SignedNetwork",
    "SignedStream",
    "StructureData",
    "SwitchingNetwork",
    "Task",
    "TreeNeighborsMatch",
    "TreeTransfer",
    "WalkRecall",
    "WeightTask",
    "WeightedLFR",
    "WikipediaPages",
    "WordProblem",
    "describe",
    "draw_negatives",
    "events_from_table",
    "fetch",
    "load",
    "load_events",
    "names",
    "read_bitcoin",
    "read_konect",
    "read_wiki_rfa",
    "register_key",
    "signed_benchmark",
    "signed_events",
    "trusted_pyg_classes",
    "validate_graph",
]
