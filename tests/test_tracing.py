"""Models under torch.export, torch.compile and torch.jit.trace."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def traced():
    """What traced.py prints, in a process where no annotation is checked: the tracers would trace the checks."""
    script = Path(__file__).with_name("traced.py")
    run = subprocess.run([sys.executable, "-W", "ignore", script], capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_every_layer_and_model_is_exported_with_sizes_left_open(traced):
    assert len(traced["exported"]) > 20
    failed = {name: error for name, error in traced["exported"].items() if isinstance(error, str)}
    assert not failed
    # The same operations on the same values.
    assert max(traced["exported"].values()) == 0


def test_a_model_compiles_as_one_graph_where_the_number_of_graphs_is_given(traced):
    assert traced["compiled"].keys() >= {"GraphMamba, graph", "GraphMamba, node", "SequenceModel", "PLSTMImage"}
    # Single precision; the compiler may sum in another order.
    assert max(traced["compiled"].values()) < 1e-4


def test_what_cannot_be_traced_is_refused_by_a_sentence(traced):
    for name in ("jit", "jit, sequence", "jit, image"):
        assert "torch.jit.trace would keep the segments and sizes of its example" in traced["refusals"][name]
    assert (
        "a directed acyclic graph cannot be ordered inside torch.export" in traced["refusals"]["export, acyclic graph"]
    )
