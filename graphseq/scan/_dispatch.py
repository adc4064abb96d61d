"""Which backend runs an operation."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import ModuleType

import torch
from torch import Tensor

from graphseq.scan import native, reference, torch_backend, triton
from graphseq.scan.topology import refuse_tracing

# Best first. A backend is a module with AVAILABLE, accepts(tensor) and one function for each operation that it has.
_BACKENDS: dict[str, ModuleType] = {
    "native": native,
    "triton": triton,
    "torch": torch_backend,
    "reference": reference,
}
# Their kernels read memory, which the tensors of torch.func's transforms do not have.
_COMPILED = ("native", "triton")
# Not timed on a GPU yet, so never taken unasked.
_ON_REQUEST = ("triton",)
_chosen: ContextVar[str | None] = ContextVar("graphseq_backend", default=None)


def available_backends(operation: str | None = None) -> tuple[str, ...]:
    """Names of the backends that work here, best first.

    Args:
        operation: only those that have it: ``"linear_scan"`` (on segments), ``"grid_scan"``, ``"dag_scan"``,
            ``"selective_scan"``, ``"grid_selective_scan"``, ``"delta_scan"``, ``"gated_grid_scan"``,
            ``"gated_dag_scan"``, ``"matrix_scan"`` or ``"causal_conv"``.

    Example:
        >>> "torch" in available_backends()
        True
    """
    return tuple(
        name
        for name, backend in _BACKENDS.items()
        if backend.AVAILABLE and (operation is None or hasattr(backend, operation))
    )


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run every scan inside the ``with`` block on one backend.

    Args:
        name: ``"reference"`` (readable loops), ``"torch"`` (vectorised, any device), ``"native"`` (C++, CPU) or
            ``"triton"`` (CUDA, experimental). Outside the block the best backend that accepts the tensors is taken,
            Triton excepted. What :func:`torch.compile` compiles keeps the choice that held then.

    Raises:
        ValueError: if there is no such backend, or it is not available here.

    Example:
        >>> with use_backend("reference"):
        ...     linear_scan(torch.ones(2), torch.ones(2), Ragged(torch.tensor([0, 2])))
        tensor([1., 2.])
    """
    if name not in available_backends():
        state = "not available here" if name in _BACKENDS else "unknown"
        raise ValueError(f"backend {name!r} is {state}; available: {', '.join(available_backends())}")
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def operation(name: str, tensor: Tensor) -> Callable:
    """The function that runs operation ``name`` on tensors like this one."""
    refuse_tracing()
    chosen = _choice()
    if chosen is not None:
        if not hasattr(_BACKENDS[chosen], name):
            raise NotImplementedError(f"backend {chosen!r} has no {name}")
        if chosen in _COMPILED and torch._C._are_functorch_transforms_active():
            raise NotImplementedError(
                f"backend {chosen!r} does not run {name} inside torch.func's transforms: choose 'torch', or none"
            )
        if not _BACKENDS[chosen].accepts(tensor):
            raise NotImplementedError(f"backend {chosen!r} does not run on {tensor.device} in {tensor.dtype}")
        return getattr(_BACKENDS[chosen], name)
    if torch.compiler.is_compiling():
        # Its operators run on any device; a schedule of the PyTorch backend is data, which a compiler does not have.
        return getattr(native, name, None) or getattr(torch_backend, name)
    if not native.AVAILABLE and tensor.is_cpu and hasattr(native, name):
        _tell_once()
    for key, backend in _BACKENDS.items():
        if key not in _ON_REQUEST and backend.AVAILABLE and hasattr(backend, name) and backend.accepts(tensor):
            return getattr(backend, name)
    raise NotImplementedError(f"no backend runs {name} on {tensor.device} in {tensor.dtype}")


@torch.compiler.assume_constant_result
def _choice() -> str | None:
    return _chosen.get()


@functools.cache
def _tell_once() -> None:
    warnings.warn(
        "graphseq's C++ kernels are not built in this installation, so scans on the CPU run in PyTorch, several times "
        "slower: install a C++ compiler, then graphseq again (pip install --force-reinstall --no-deps …)",
        stacklevel=4,
    )
