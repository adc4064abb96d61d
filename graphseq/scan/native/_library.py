"""The compiled library: where it lies, and the arguments of its functions, which kernels.h describes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import torch  # before the library, so that both use the OpenMP runtime that torch brings
from torch import Tensor

DTYPES = {torch.float32: 0, torch.float64: 1, torch.complex64: 2, torch.complex128: 3}


def _fields(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


_SEGMENTS = [
    *_fields(ctypes.c_void_p, "ptr"),
    *_fields(ctypes.c_int64, "num_segments"),
    *_fields(ctypes.c_int32, "reversed threads"),
]
_SELECTIVE_INPUTS = [
    *_fields(ctypes.c_void_p, "u delta A B C D z delta_bias initial"),
    *_fields(ctypes.c_int64, "channels size groups u_stride delta_stride z_stride B_stride C_stride"),
    *_SEGMENTS,
    *_fields(ctypes.c_int32, "dtype softplus"),
]

_DELTA_INPUTS = [
    *_fields(ctypes.c_void_p, "q k v beta log_decay initial"),
    *_fields(ctypes.c_int64, "heads steps key_size value_size"),
    *_fields(ctypes.c_int64, "q_stride k_stride v_stride beta_stride log_decay_stride"),
    *_SEGMENTS,
    *_fields(ctypes.c_int32, "dtype"),
]

_GATED_INPUTS = _fields(ctypes.c_void_p, "query key value source transition mark direct")
_GATED_GRADS = _fields(
    ctypes.c_void_p, "grad_read grad_query grad_key grad_value grad_source grad_transition grad_mark grad_direct"
)


_CAUSAL_CONV_INPUTS = [
    *_fields(ctypes.c_void_p, "x taps bias"),
    *_fields(ctypes.c_int64, "channels width x_stride"),
    *_SEGMENTS,
    *_fields(ctypes.c_int32, "dtype silu"),
]


class CausalConv(ctypes.Structure):
    _fields_ = [*_CAUSAL_CONV_INPUTS, *_fields(ctypes.c_void_p, "out")]


class CausalConvBackward(ctypes.Structure):
    _fields_ = [
        *_CAUSAL_CONV_INPUTS,
        *_fields(ctypes.c_void_p, "grad"),
        *_fields(ctypes.c_int64, "grad_stride"),
        *_fields(ctypes.c_void_p, "grad_x grad_taps"),
    ]


class LinearScan(ctypes.Structure):
    _fields_ = [
        *_fields(ctypes.c_void_p, "decay source initial states"),
        *_fields(ctypes.c_int64, "heads width decay_stride source_stride"),
        *_SEGMENTS,
        *_fields(ctypes.c_int32, "dtype"),
    ]


class LinearScanBackward(ctypes.Structure):
    _fields_ = [
        *_fields(ctypes.c_void_p, "decay states initial grad grad_decay grad_source grad_initial"),
        *_fields(ctypes.c_int64, "heads width decay_stride grad_stride"),
        *_SEGMENTS,
        *_fields(ctypes.c_int32, "dtype"),
    ]


class SelectiveScan(ctypes.Structure):
    _fields_ = [*_SELECTIVE_INPUTS, *_fields(ctypes.c_void_p, "out last checkpoints")]


class SelectiveScanBackward(ctypes.Structure):
    _fields_ = [
        *_SELECTIVE_INPUTS,
        *_fields(ctypes.c_void_p, "checkpoints grad_out grad_last"),
        *_fields(ctypes.c_void_p, "grad_u grad_delta grad_A grad_B grad_C grad_D grad_z grad_delta_bias grad_initial"),
    ]


class DeltaScan(ctypes.Structure):
    _fields_ = [*_DELTA_INPUTS, *_fields(ctypes.c_void_p, "o last residuals checkpoints")]


class DeltaScanBackward(ctypes.Structure):
    _fields_ = [
        *_DELTA_INPUTS,
        *_fields(ctypes.c_void_p, "residuals checkpoints grad_o grad_last"),
        *_fields(ctypes.c_void_p, "grad_q grad_k grad_v grad_beta grad_log_decay grad_initial"),
    ]


class DagLinks(ctypes.Structure):
    _fields_ = [
        *_fields(ctypes.c_void_p, "order begin link sender part"),
        *_fields(ctypes.c_int64, "states count parts"),
        *_fields(ctypes.c_int32, "reversed"),
    ]


class DagScan(ctypes.Structure):
    _fields_ = [
        *_fields(ctypes.c_void_p, "decay source seen states grad_decay"),
        *_fields(ctypes.c_int64, "heads width decay_stride source_stride"),
        ("links", DagLinks),
        *_fields(ctypes.c_int32, "threads dtype"),
    ]


class GridCells(ctypes.Structure):
    _fields_ = [
        *_fields(ctypes.c_int64, "batch rows columns"),
        *_fields(ctypes.c_int32, "reversed threads"),
    ]


class GridScan(ctypes.Structure):
    _fields_ = [
        *_fields(ctypes.c_void_p, "decay source states"),
        *_fields(ctypes.c_int64, "heads width"),
        *_fields(ctypes.c_int64 * 5, "decay_strides"),
        *_fields(ctypes.c_int64 * 4, "source_strides"),
        ("cells", GridCells),
        *_fields(ctypes.c_int32, "dtype"),
    ]


class GridScanBackward(ctypes.Structure):
    _fields_ = [
        *_fields(ctypes.c_void_p, "decay states grad grad_decay grad_source"),
        *_fields(ctypes.c_int64, "heads width"),
        *_fields(ctypes.c_int64 * 5, "decay_strides"),
        *_fields(ctypes.c_int64 * 4, "grad_strides"),
        ("cells", GridCells),
        *_fields(ctypes.c_int32, "dtype"),
    ]


class CellArray(ctypes.Structure):
    _fields_ = [*_fields(ctypes.c_void_p, "data"), *_fields(ctypes.c_int64 * 4, "strides")]


_GRID_SELECTIVE_INPUTS = [
    *_fields(CellArray, "u delta exchange B C"),
    *_fields(ctypes.c_void_p, "A D"),
    *_fields(ctypes.c_int64, "channels size groups"),
    ("cells", GridCells),
    *_fields(ctypes.c_int32, "dtype"),
]


class GridSelectiveScan(ctypes.Structure):
    _fields_ = [*_GRID_SELECTIVE_INPUTS, *_fields(ctypes.c_void_p, "out upper left")]


class GridSelectiveScanBackward(ctypes.Structure):
    _fields_ = [
        *_GRID_SELECTIVE_INPUTS,
        *_fields(ctypes.c_void_p, "upper left"),
        *_fields(CellArray, "grad_out grad_u grad_delta grad_exchange"),
        *_fields(ctypes.c_void_p, "grad_A grad_B grad_C grad_D"),
    ]


class GatedGridScan(ctypes.Structure):
    _fields_ = [
        *_GATED_INPUTS,
        *_fields(ctypes.c_int64 * 4, "query_strides key_strides value_strides direct_strides"),
        *_fields(ctypes.c_int64 * 6, "source_strides"),
        *_fields(ctypes.c_int64 * 7, "transition_strides"),
        *_fields(ctypes.c_int64 * 6, "mark_strides"),
        *_fields(ctypes.c_int64, "ways heads key_size value_size"),
        ("cells", GridCells),
        *_fields(ctypes.c_int32, "dtype"),
        *_fields(ctypes.c_void_p, "read"),
    ]


class GatedGridScanBackward(ctypes.Structure):
    _fields_ = [*GatedGridScan._fields_[:-1], *_GATED_GRADS]


class DagNodes(ctypes.Structure):
    _fields_ = [
        *_fields(ctypes.c_void_p, "node out_begin out_edge in_begin in_slot link_begin link part"),
        *_fields(ctypes.c_int64, "nodes edges links parts"),
        *_fields(ctypes.c_int32, "reversed"),
    ]


class GatedDagScan(ctypes.Structure):
    _fields_ = [
        *_GATED_INPUTS,
        *_fields(ctypes.c_int64 * 2, "query_strides key_strides value_strides direct_strides"),
        *_fields(ctypes.c_int64 * 2, "source_strides transition_strides mark_strides"),
        *_fields(ctypes.c_int64, "heads key_size value_size"),
        ("nodes", DagNodes),
        *_fields(ctypes.c_int32, "threads dtype"),
        *_fields(ctypes.c_void_p, "read"),
    ]


class GatedDagScanBackward(ctypes.Structure):
    _fields_ = [*GatedDagScan._fields_[:-1], *_GATED_GRADS]


_FUNCTIONS = {
    CausalConv: "graphseq_causal_conv",
    CausalConvBackward: "graphseq_causal_conv_backward",
    LinearScan: "graphseq_linear_scan",
    LinearScanBackward: "graphseq_linear_scan_backward",
    SelectiveScan: "graphseq_selective_scan",
    SelectiveScanBackward: "graphseq_selective_scan_backward",
    DeltaScan: "graphseq_delta_scan",
    DeltaScanBackward: "graphseq_delta_scan_backward",
    DagScan: "graphseq_dag_scan",
    GridScan: "graphseq_grid_scan",
    GridScanBackward: "graphseq_grid_scan_backward",
    GridSelectiveScan: "graphseq_grid_selective_scan",
    GridSelectiveScanBackward: "graphseq_grid_selective_scan_backward",
    GatedGridScan: "graphseq_gated_grid_scan",
    GatedGridScanBackward: "graphseq_gated_grid_scan_backward",
    GatedDagScan: "graphseq_gated_dag_scan",
    GatedDagScanBackward: "graphseq_gated_dag_scan_backward",
}

_NAME = "_kernels.so"


def find() -> Path | None:
    """``GRAPHSEQ_NATIVE_LIBRARY`` if set (a build under test; empty for none), else the file that was installed."""
    if (chosen := os.environ.get("GRAPHSEQ_NATIVE_LIBRARY")) is not None:
        return Path(chosen) if chosen else None
    places = [Path(folder, _NAME) for folder in sys.modules[__package__].__path__]
    # An editable install keeps compiled files away from the sources, and not every import hook puts both on the path.
    with contextlib.suppress(metadata.PackageNotFoundError):
        places.append(Path(str(metadata.distribution("graphseq").locate_file(f"graphseq/scan/native/{_NAME}"))))
    return next((place for place in places if place.exists()), None)


def load(path: Path) -> dict[type, Any]:
    library = ctypes.CDLL(str(path))
    functions: dict[type, Any] = {}
    for arguments, name in _FUNCTIONS.items():
        size_of = getattr(library, f"{name}_arguments", None)
        if size_of is None or size_of() != ctypes.sizeof(arguments):
            raise ImportError(f"{path} was built from other sources than this package; install the package again")
        function = functions[arguments] = getattr(library, name)
        function.argtypes = [ctypes.POINTER(arguments)]
    return functions


_path = find()
_functions = load(_path) if _path else {}

AVAILABLE: bool = bool(_functions)
# The C++ constants of these names: steps between the states that forward keeps for backward, cells of a tile.
CHECKPOINT_STEPS = 32
DELTA_CHECKPOINT_TOKENS = 16
TILE_ROWS = TILE_COLUMNS = 8


def call(arguments: ctypes.Structure) -> None:
    """Run the function that takes these arguments; the interpreter's lock is released meanwhile."""
    if _functions[type(arguments)](arguments):
        raise MemoryError(f"no memory for the scratch of {_FUNCTIONS[type(arguments)]}")


def address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def like(tensor: Tensor) -> Tensor:
    """Uninitialised, contiguous; a third of the time of giving shape and dtype."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


Given = TypeVar("Given", Tensor, Tensor | None)


def dense(tensor: Given) -> Given:
    """The tensor, copied if its elements are not one after another or wait for a conjugation."""
    return None if tensor is None else _resolved(tensor).contiguous()


def rows(tensor: Tensor) -> tuple[Tensor, int]:
    """The tensor, copied if the elements of a row are not one after another, and the distance between rows."""
    tensor = _resolved(tensor)
    if tensor.is_contiguous() or not tensor.shape[0] or tensor[0].is_contiguous():
        return tensor, tensor.stride(0)
    tensor = tensor.contiguous()
    return tensor, tensor.stride(0)


def strided(tensor: Tensor, axes: int) -> tuple[Tensor, tuple[int, ...]]:
    """The tensor, copied if the elements behind its first axes are not one after another, and the axes' strides."""
    tensor = _resolved(tensor)
    if not tensor.is_contiguous() and tensor.numel() and not tensor[(0,) * axes].is_contiguous():
        tensor = tensor.contiguous()
    return tensor, tensor.stride()[:axes]


def _resolved(tensor: Tensor) -> Tensor:
    return tensor.resolve_conj().resolve_neg() if tensor.is_conj() or tensor.is_neg() else tensor


def segments(ptr: Tensor, reversed: bool) -> dict[str, int]:
    return {
        "ptr": ptr.data_ptr(),
        "num_segments": ptr.shape[0] - 1,
        "reversed": reversed,
        "threads": torch.get_num_threads(),
    }


def reaches(tensor: Tensor) -> bool:
    """Whether a call may go straight to the library: nothing traces, fakes or records what the dispatcher sees."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    return AVAILABLE and tensor.is_cpu
