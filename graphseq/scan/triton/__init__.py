"""Triton kernels for CUDA tensors. Experimental: not yet timed on a GPU, and taken only when asked for by name.

Triton is optional; without it :data:`AVAILABLE` is false. With ``TRITON_INTERPRET=1`` in the environment before
anything imports Triton, its interpreter runs the kernels on CPU tensors, slowly: that is how their logic is tested.
"""

from __future__ import annotations

import importlib.util
import os

import torch
from torch import Tensor

# A handful of element-wise kernels on any device: a layer that scans with Triton needs it too.
from graphseq.scan.torch_backend import causal_conv
from graphseq.scan.triton._linear import linear_scan
from graphseq.scan.triton._selective import selective_scan

# Triton itself is imported by the first scan: torch's CUDA builds bring it along, and most programs never need it.
# Asking the driver for a GPU would spoil processes forked later, so a build of torch for CUDA is taken to have one.
AVAILABLE = importlib.util.find_spec("triton") is not None and (
    torch.version.cuda is not None or os.environ.get("TRITON_INTERPRET") == "1"
)

_DTYPES = (torch.float32, torch.float64)


def accepts(tensor: Tensor) -> bool:
    """Whether the kernels can run on such a tensor: real, on a CUDA device or, in the interpreter, on the CPU."""
    # torch.func's transforms wrap tensors that have no memory of their own.
    transformed = torch._C._are_functorch_transforms_active()
    return not transformed and tensor.dtype in _DTYPES and _runs_on(tensor.device)


def _runs_on(device: torch.device) -> bool:
    if device.type == "cuda":
        return True
    if device.type != "cpu" or not AVAILABLE:
        return False
    from triton import knobs

    return knobs.runtime.interpret
