"""Scans inside PyTorch's own machinery: its compiler, autocast, recomputation, and workers of a DataLoader."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

from graphseq.scan import Ragged, linear_scan, use_backend

TOPOLOGY = Ragged(torch.tensor([0, 4, 4, 9]))
_SCANS = ["sequence", "reversed", "initial", "graph", "grid", "conv", "selective", "delta"]


@pytest.fixture(scope="module")
def compiled():
    """What compiled.py prints, in a process where no annotation is checked: the compiler would trace the checks."""
    script = Path(__file__).with_name("compiled.py")
    run = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", [*_SCANS, "gated on a graph", "gated on a grid"])
def test_compiles_as_one_graph(compiled, name):
    assert compiled["errors"][name] < 1e-12


def test_one_compilation_serves_batches_of_other_sizes(compiled):
    assert compiled["compilations of five batches"] <= 2


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


def test_recomputation_changes_no_gradient():
    decay, source = randn(9, 3), randn(9, 3)

    def scan(decay, source):
        return linear_scan(decay.sigmoid(), source, TOPOLOGY)

    expected = torch.autograd.grad(scan(decay, source).sin().sum(), (decay, source))
    again = checkpoint(scan, decay, source, use_reentrant=False)
    for a, b in zip(torch.autograd.grad(again.sin().sum(), (decay, source)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_autocast_keeps_the_state_in_single_precision():
    linear, decay, x = nn.Linear(8, 8), torch.full((400, 8), 0.99), torch.rand(400, 8)
    topology = Ragged.equal(1, 400)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        source = linear(x)
        states = linear_scan(decay, source, topology)
    assert states.dtype is torch.bfloat16
    exact = linear_scan(decay.double(), source.double(), topology)
    # One rounding to 8 bits at the end; a state in bfloat16 would be off by tens of per cent.
    torch.testing.assert_close(states.double(), exact, rtol=2**-8, atol=1e-4)


def collate(items):
    with use_backend("torch"):
        return linear_scan(torch.full((9, 1), 0.5), torch.stack(items).sum(0), TOPOLOGY)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_scan(context):
    items = list(torch.randn(4, 9, 3))
    loader = DataLoader(
        items, batch_size=2, collate_fn=collate, num_workers=1, multiprocessing_context=context, timeout=120
    )
    for found, expected in zip(loader, (collate(items[:2]), collate(items[2:])), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
