"""Checks of what users pass in: which argument, what was expected, what came."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphseq.scan.dag import Dag
from graphseq.scan.grid import Grid
from graphseq.scan.topology import Ragged

_HALF = (torch.float16, torch.bfloat16)
_PLAIN = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def topology(value: Any, *kinds: type) -> None:
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"topology must be a {names}, got {type(value).__name__}")


def plain(decay: Any, source: Any, where: Any) -> bool:
    """Whether a scan over segments has nothing to refuse, widen or share: most calls, told from fewer checks."""
    return (
        type(where) is Ragged
        and isinstance(decay, Tensor)
        and isinstance(source, Tensor)
        and decay.dtype is source.dtype
        and source.dtype in _PLAIN
        and decay.shape == source.shape
        and source.dim() > 0
        and source.shape[0] == where.num_states
        and decay.device == source.device == where.device
        and decay.layout is source.layout is torch.strided
    )


def tensors(where: Any, **given: Any) -> None:
    """Dense, of a floating or complex dtype, and on the device of the topology."""
    device = where.device
    for name, tensor in given.items():
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if not (tensor.is_floating_point() or tensor.is_complex()):
            raise TypeError(f"{name} must have a floating or complex dtype, got {tensor.dtype}")
        if tensor.layout is not torch.strided:
            raise TypeError(f"{name} must be dense, got the layout {tensor.layout}")
        if tensor.device != device:
            raise ValueError(f"{name} must be on the device of topology ({device}), got {tensor.device}")


def rows(where: Any, **tensors: Tensor | None) -> None:
    """The first axis counts the states of the topology."""
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        count = tensor.shape[0] if tensor.dim() else None
        if count != where.num_states:
            raise ValueError(
                f"ptr must end at the number of rows of {name}: ptr ends at {where.num_states}, "
                f"{name} has shape {list(tensor.shape)}"
            )


def laid_out(where: Ragged | Grid | Dag, decay: Tensor, source: Tensor) -> tuple[int, int]:
    """The leading axes say which link or state a row belongs to; returns how many of both arrays' axes do."""
    if isinstance(where, Ragged):
        rows(where, source=source, decay=decay)
        return 1, 1
    if isinstance(where, Dag):
        for name, tensor, of, count in (
            ("source", source, "num_states", where.num_states),
            ("decay", decay, "num_links", where.num_links),
        ):
            if tensor.dim() == 0 or tensor.shape[0] != count:
                raise ValueError(f"{name} must have {of} = {count} rows, got shape {list(tensor.shape)}")
        return 1, 1
    cells = (where.batch, where.height, where.width)
    for name, tensor, lead in (("source", source, (2, *cells)), ("decay", decay, (2, 2, *cells))):
        if tuple(tensor.shape[: len(lead)]) != lead:
            raise ValueError(f"{name} must have shape {list(lead)} and channels, got {list(tensor.shape)}")
    return 5, 4


def shared_channels(decay: Tensor, source: Tensor, lead: tuple[int, int]) -> Tensor:
    """``decay`` with as many channel axes as ``source``, each of full size or of size 1."""
    own, channels = decay.shape[lead[0] :], source.shape[lead[1] :]
    if own == channels:
        return decay
    full = own + (1,) * (len(channels) - len(own))
    if len(full) != len(channels) or any(d not in (1, s) for d, s in zip(full, channels, strict=True)):
        raise ValueError(
            f"decay must have the channel axes of source {list(channels)}, each of full size, of size 1 or missing "
            f"at the end, got {list(own)}"
        )
    return decay if len(own) == len(channels) else decay.reshape(decay.shape + (1,) * (len(channels) - len(own)))


def shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != tuple(expected):
        raise ValueError(f"{name} must have shape {list(expected)}, got {list(tensor.shape)}")


def widened(**given: Tensor | None) -> list[Any]:
    """Half precision as float32 (the state needs it); beyond that all dtypes must agree.

    Raises:
        TypeError: naming the first tensor that differs from the first one given.
    """
    first_name, first = next((name, t) for name, t in given.items() if t is not None)
    wide = torch.float32 if first.dtype in _HALF else first.dtype
    found: list[Any] = []
    for name, tensor in given.items():
        if tensor is not None and tensor.dtype in _HALF:
            tensor = tensor.float()
        if tensor is not None and tensor.dtype is not wide:
            raise TypeError(f"{name} must have the dtype of {first_name} ({wide}), got {tensor.dtype}")
        found.append(tensor)
    return found
