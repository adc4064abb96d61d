"""The compiled library itself: every instruction set, a stale build, processes that are forked."""

import ctypes
import shutil

import pytest
import torch
from torch.utils.data import DataLoader

from graphseq.scan import Grid, Ragged, native
from graphseq.scan.native import _library
from tests.scan import test_grid_selective, test_native_delta, test_native_grid, test_native_selective
from tests.scan.native import needs_kernels, threads, with_gradients
from tests.scan.test_dag import random_dag

pytestmark = needs_kernels
TOPOLOGY = Ragged(torch.tensor([0, 5, 5, 83]), reversed=True)


def outcomes():
    torch.manual_seed(0)
    inputs = test_native_selective.problem(TOPOLOGY, 21, 5)
    yield from with_gradients(lambda *x: native.selective_scan(*x[:8], True, TOPOLOGY, x[8]), *inputs)
    for dtype in (torch.float64, torch.complex128):
        for shape in ((83, 27), (83, 1)):
            decay, source = 0.5 * torch.randn(shape, dtype=dtype), torch.randn(83, 27, dtype=dtype)
            yield from with_gradients(lambda a, b: native.linear_scan(a, b, TOPOLOGY, None), decay, source)
    # Columns that fill whole blocks of any instruction set, and some beyond them.
    inputs = test_native_delta.problem(TOPOLOGY, 2, 2, 5, 70)
    yield from with_gradients(lambda *x: native.delta_scan(*x[:5], TOPOLOGY, x[5]), *inputs)
    grid, graph = Grid(3, 4, 2, reversed=True), random_dag(12, 25)
    for dtype in (torch.float64, torch.float32):
        for complex in (False, True):
            inputs = test_grid_selective.problem(Grid(10, 11), 21, 3, complex=complex, dtype=dtype)
            found = test_grid_selective.outcome("native", Grid(10, 11), inputs)
            # Single precision is told apart by its own rounding: what it is near is enough.
            yield from found if dtype == torch.float64 else (x.to(torch.bfloat16) for x in found)
    for channels in (27, 1):
        decay, source = test_native_grid.problem(grid, (channels,), (27,))
        yield from with_gradients(lambda a, b: native.grid_scan(a, b, grid), decay, source)
        decay, source = torch.randn(graph.num_links, channels).double(), torch.randn(12, 27).double()
        yield from with_gradients(lambda a, b: native.dag_scan(a, b, graph), decay, source)


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_every_instruction_set_gives_the_same_numbers(isa, tmp_path, monkeypatch):
    expected = list(outcomes())
    # A copy under another name is another library, and chooses anew.
    monkeypatch.setenv("GRAPHSEQ_NATIVE_ISA", isa)
    copy = shutil.copy(_library.find(), tmp_path / f"{isa}.so")
    monkeypatch.setattr(_library, "_functions", _library.load(copy))
    chosen = ctypes.CDLL(str(copy)).graphseq_isa
    chosen.restype = ctypes.c_char_p
    if chosen().decode() != isa:
        pytest.skip(f"this processor has no {isa}")
    # Widths and fused operations differ, so rounding does.
    for a, b in zip(outcomes(), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_checkpoints_lie_as_far_apart_as_the_kernels_take_them():
    library = ctypes.CDLL(str(_library.find()))
    assert library.graphseq_checkpoint_steps() == _library.CHECKPOINT_STEPS
    assert library.graphseq_tile_rows() == _library.TILE_ROWS
    assert library.graphseq_tile_columns() == _library.TILE_COLUMNS


@pytest.mark.parametrize("function", ["graphseq_linear_scan", "graphseq_of_a_later_version"])
def test_a_library_from_other_sources_is_refused(function, monkeypatch):
    Longer = type("Longer", (_library.LinearScan,), {"_fields_": [("surplus", ctypes.c_int64)]})
    monkeypatch.setattr(_library, "_FUNCTIONS", {Longer: function})
    with pytest.raises(ImportError, match="other sources"):
        _library.load(_library.find())


def test_a_forked_worker_scans_after_its_parent_did():
    """OpenMP's threads do not survive a fork; a worker that waited for them would hang."""
    source = torch.randn(64, 2048)
    topology = Ragged(torch.tensor([0, 64]))

    def scan(batch):
        return native.linear_scan(torch.full((64, 1), 0.5), source * batch[0], topology, None)

    with threads(2):
        expected = [scan([factor]) for factor in (1.0, 2.0)]
        loader = DataLoader([1.0, 2.0], collate_fn=scan, num_workers=1, multiprocessing_context="fork", timeout=60)
        for a, b in zip(loader, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
