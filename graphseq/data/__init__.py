"""Data sets by name, real and generated, behind one interface."""

from graphseq.data.benchmark import Benchmark, Task
from graphseq.data.catalogue import load
from graphseq.data.dag import AddDag, AddLineGraph, DagData
from graphseq.data.generated import (
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
from graphseq.data.trusted import trusted_pyg_classes
from graphseq.data.validate import validate_graph

__all__ = [
    "AddDag",
    "AddLineGraph",
    "Benchmark",
    "CliquePathTransfer",
    "CrossedRingTransfer",
    "DagData",
    "EventTask",
    "ExistenceTask",
    "File",
    "GraphProperties",
    "JointTask",
    "Manifest",
    "MarkedParity",
    "PeptidesFunc",
    "RingTransfer",
    "SignTask",
    "SignedNetwork",
    "SignedStream",
    "Task",
    "TreeNeighborsMatch",
    "TreeTransfer",
    "WalkRecall",
    "WeightTask",
    "WikipediaPages",
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
    "signed_benchmark",
    "signed_events",
    "trusted_pyg_classes",
    "validate_graph",
]
