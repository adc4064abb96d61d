"""How the scans are written in PyTorch without this package: what it is timed against.

Two come from PyPI (``pip install '.[bench]'``), the others are the forms that public model code uses.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.associative_scan import associative_scan

from graphseq.scan import Dag


def installed(module: str) -> ModuleType | None:
    """The module, or None."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def unbound_loop(decay: Tensor, source: Tensor) -> Tensor:
    """Step by step, ``[B, L, D]``; time is unbound at once, since indexing it would make backward quadratic."""
    state, states = torch.zeros_like(source[:, 0]), []
    for a, b in zip(decay.unbind(1), source.unbind(1), strict=True):
        state = a * state + b
        states.append(state)
    return torch.stack(states, 1)


def associative(decay: Tensor, source: Tensor) -> Tensor:
    """PyTorch's own parallel scan, ``[B, L, D]``."""

    def combine(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return right[0] * left[0], right[0] * left[1] + right[1]

    return associative_scan(combine, (decay, source), dim=1, combine_mode="generic")[1]


class LevelWise:
    """A directed acyclic graph by its levels, a gather and an ``index_add`` for each, differentiated by autograd."""

    def __init__(self, topology: Dag) -> None:
        level = topology.level[topology.edge_index[1]]
        self.levels = [(level == depth).nonzero().squeeze(1) for depth in range(1, topology.depth)]
        self.sender, self.receiver = topology.edge_index

    def __call__(self, decay: Tensor, source: Tensor) -> Tensor:
        states = source
        for links in self.levels:
            arriving = decay[links] * states[self.sender[links]]
            states = states.index_add(0, self.receiver[links], arriving)
        return states


def mamba_py_selective(pscan: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The selective scan as mamba.py runs it: all decays and states in memory; ``[B, L, …]``."""
    decay = torch.exp(delta[..., None] * A)
    source = (delta * u)[..., None] * B[:, :, None, :]
    return (pscan.pscan(decay, source) @ C[..., None]).squeeze(-1)


def chunked_delta_rule(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, chunk: int = 32) -> Tensor:
    """The delta rule in its chunked WY form (Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule
    over Sequence Length", section 3), ``[batch, heads, length, dv]``, from a state of zeros and without a gate.

    Inside a chunk the rows that a token writes are found by forward substitution, one row at a time.

    q and k are ``[batch, heads, length, dk]``, beta ``[batch, heads, length]``; ``chunk`` divides the length.
    """
    batch, heads, length, key_size = q.shape
    cut = (batch, heads, length // chunk, chunk)
    q, k, v, beta = q.view(*cut, -1), k.view(*cut, -1), v.view(*cut, -1), beta.view(*cut, 1)
    weighted = beta * k
    # Row i of the inverse of I + A, A strictly lower, follows from the rows above it.
    below = (weighted @ k.transpose(-1, -2)).tril(-1)
    inverse = -below
    for i in range(1, chunk):
        row = inverse[..., i, :i].clone()
        inverse[..., i, :i] = row + (row[..., None] * inverse[..., :i, :i].clone()).sum(-2)
    inverse = inverse + torch.eye(chunk, dtype=q.dtype, device=q.device)
    written, undone = inverse @ (beta * v), inverse @ weighted
    scores = (q @ k.transpose(-1, -2)).tril()
    state = v.new_zeros(batch, heads, key_size, v.shape[-1])
    outputs = []
    for index in range(cut[2]):
        new = written[:, :, index] - undone[:, :, index] @ state
        outputs.append(q[:, :, index] @ state + scores[:, :, index] @ new)
        state = state + k[:, :, index].transpose(-1, -2) @ new
    return torch.stack(outputs, 2).flatten(2, 3)
