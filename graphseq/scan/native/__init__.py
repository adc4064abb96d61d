"""The C++ CPU kernels.

They have a plain C interface, so the library needs neither torch nor Python to be built, and one build serves every
version of both. An installation without a compiler has none; :data:`AVAILABLE` tells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphseq.scan.native import _library
from graphseq.scan.native._conv import causal_conv
from graphseq.scan.native._dag import dag_scan
from graphseq.scan.native._delta import delta_scan
from graphseq.scan.native._gated import gated_dag_scan, gated_grid_scan
from graphseq.scan.native._grid import grid_scan
from graphseq.scan.native._grid_selective import grid_selective_scan
from graphseq.scan.native._linear import linear_scan
from graphseq.scan.native._selective import selective_scan

AVAILABLE = _library.AVAILABLE


def accepts(tensor: Tensor) -> bool:
    """Whether the kernels can run on such a tensor."""
    # torch.func's transforms wrap tensors that have no memory of their own.
    return tensor.is_cpu and tensor.dtype in _library.DTYPES and not torch._C._are_functorch_transforms_active()
