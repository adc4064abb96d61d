"""graphseq: graph networks, grids and sequences on one scan backend, for PyTorch Geometric."""

__version__ = "0.1.0"
