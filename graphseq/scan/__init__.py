"""The scan backend: linear recurrences over the links of a topology. Imports torch, NumPy and SciPy."""

from graphseq.scan._dispatch import available_backends, use_backend
from graphseq.scan.conv import causal_conv
from graphseq.scan.dag import Dag
from graphseq.scan.delta import delta_scan
from graphseq.scan.edges import IncidenceGraph, LineGraph, incidence_graph, line_graph
from graphseq.scan.gated import gated_scan
from graphseq.scan.grid import Grid
from graphseq.scan.grid_selective import grid_selective_scan
from graphseq.scan.linear import last_states, linear_scan
from graphseq.scan.matrix import matrix_scan, two_way_matrix_scan
from graphseq.scan.product_tree import Scaled
from graphseq.scan.schedule import DagOrder
from graphseq.scan.selective import selective_scan
from graphseq.scan.semiring import LogSumExp, MaxPlus, Semiring, SumProduct
from graphseq.scan.topology import Ragged

__all__ = [
    "Dag",
    "DagOrder",
    "Grid",
    "IncidenceGraph",
    "LineGraph",
    "LogSumExp",
    "MaxPlus",
    "Ragged",
    "Scaled",
    "Semiring",
    "SumProduct",
    "available_backends",
    "causal_conv",
    "delta_scan",
    "gated_scan",
    "grid_selective_scan",
    "incidence_graph",
    "last_states",
    "line_graph",
    "linear_scan",
    "matrix_scan",
    "selective_scan",
    "two_way_matrix_scan",
    "use_backend",
]
