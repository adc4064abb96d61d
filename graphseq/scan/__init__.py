"""The scan backend: linear recurrences over the links of a topology. Imports torch only."""

from graphseq.scan._dispatch import available_backends, use_backend
from graphseq.scan.linear import last_states, linear_scan
from graphseq.scan.selective import selective_scan
from graphseq.scan.topology import Ragged

__all__ = ["Ragged", "available_backends", "last_states", "linear_scan", "selective_scan", "use_backend"]
