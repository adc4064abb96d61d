"""What doctests and tests share."""

import os
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

# Without a GPU, Triton's kernels run in its interpreter. It must know before anything imports it, as torch may.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Every shape annotation of the package is checked while the tests run.
_hook = jaxtyping.install_import_hook("graphseq", "beartype.beartype")

import graphseq.chimera  # noqa: E402
import graphseq.connectome  # noqa: E402
import graphseq.graph_mamba  # noqa: E402
import graphseq.plstm  # noqa: E402
import graphseq.scan  # noqa: E402
import graphseq.semba  # noqa: E402
import graphseq.sequence  # noqa: E402
import graphseq.spen  # noqa: E402

# They hold no doctest, and need Triton to be imported.
collect_ignore_glob = ["graphseq/scan/triton/*_kernel.py"]

GOLDEN = Path(__file__).parent / "tests" / "golden"


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace["torch"] = torch
    packages = ("chimera", "connectome", "graph_mamba", "plstm", "scan", "semba", "sequence", "spen")
    for package in (getattr(graphseq, name) for name in packages):
        for name in package.__all__:
            doctest_namespace[name] = getattr(package, name)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=[name for name in graphseq.scan.available_backends() if name != "triton"])
def backend(request):
    """Runs the test once on each CPU backend that is installed and has the module's OPERATION, if it states one."""
    operation = getattr(request.module, "OPERATION", None)
    if request.param not in graphseq.scan.available_backends(operation):
        pytest.skip(f"backend {request.param} has no {operation}")
    with graphseq.scan.use_backend(request.param):
        yield request.param


@pytest.fixture
def unchecked():
    """Lets wrong input reach the library's own checks instead of the annotations'."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def mirror():
    """The folder with raw files; without one the test is skipped."""
    folder = os.environ.get("GRAPHSEQ_MIRROR")
    if not folder:
        pytest.skip("GRAPHSEQ_MIRROR is not set: no raw files to test with")
    return folder


@pytest.fixture
def golden():
    """Load reference numbers as tensors: ``golden("mamba/ssd_1")``."""

    def load(name):
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files}

    return load
