"""The scan backend: linear recurrences over the links of a topology. Imports torch only."""

from graphseq.scan._dispatch import available_backends, use_backend
from graphseq.scan.dag import Dag
from graphseq.scan.delta import delta_scan
from graphseq.scan.edges import IncidenceGraph, LineGraph, incidence_graph, line_graph
from graphseq.scan.grid import Grid
from graphseq.scan.linear import last_states, linear_scan
from graphseq.scan.schedule import DagOrder
from graphseq.scan.selective import selective_scan
from graphseq.scan.topology import Ragged

__all__ = [
    "Dag",
    "DagOrder",
    "Grid",
    "IncidenceGraph",
    "LineGraph",
    "Ragged",
    "available_backends",
    "delta_scan",
    "incidence_graph",
    "last_states",
    "line_graph",
    "linear_scan",
    "selective_scan",
    "use_backend",
]
