"""Which backend runs an operation."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import ModuleType

from torch import Tensor

from graphseq.scan import native, reference, torch_backend

# Best first. A backend is a module with AVAILABLE, accepts(*tensors) and one function for each operation that it has.
_BACKENDS: dict[str, ModuleType] = {"native": native, "torch": torch_backend, "reference": reference}
_chosen: ContextVar[str | None] = ContextVar("graphseq_backend", default=None)


def available_backends(operation: str | None = None) -> tuple[str, ...]:
    """Names of the backends that work here, best first.

    Args:
        operation: only those that have it: ``"linear_scan"`` (on segments), ``"grid_scan"``, ``"dag_scan"``,
            ``"selective_scan"`` or ``"delta_scan"``.

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
        name: ``"reference"`` (readable loops), ``"torch"`` (vectorised, any device) or ``"native"`` (C++, CPU).
            Outside the block the best backend that accepts the tensors is taken.

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


def operation(name: str, *tensors: Tensor | None) -> Callable:
    """The function that runs operation ``name`` on these tensors."""
    given = [tensor for tensor in tensors if tensor is not None]
    chosen = _chosen.get()
    if chosen is not None:
        if not hasattr(_BACKENDS[chosen], name):
            raise NotImplementedError(f"backend {chosen!r} has no {name}")
        if not _BACKENDS[chosen].accepts(*given):
            raise NotImplementedError(f"backend {chosen!r} does not run on {given[0].device} in {given[0].dtype}")
        return getattr(_BACKENDS[chosen], name)
    if not native.AVAILABLE and given[0].device.type == "cpu":
        _tell_once()
    for backend in _BACKENDS.values():
        if backend.AVAILABLE and hasattr(backend, name) and backend.accepts(*given):
            return getattr(backend, name)
    raise NotImplementedError(f"no backend runs {name} on {given[0].device} in {given[0].dtype}")


@functools.cache
def _tell_once() -> None:
    warnings.warn(
        "graphseq's C++ kernels are not built in this installation, so scans on the CPU run in PyTorch, several times "
        "slower: install a C++ compiler, then graphseq again (pip install --force-reinstall --no-deps …)",
        stacklevel=4,
    )
