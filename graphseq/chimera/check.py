"""What every model of series takes: windows, and which of their values were observed."""

from __future__ import annotations

import torch
from torch import Tensor


def check_series(
    argument: str,
    x: Tensor,
    observed: Tensor | None,
    *,
    variates: int | None = None,
    rows: int | None = None,
    weight: Tensor | None = None,
) -> None:
    """Check shapes, dtypes and devices; no value is read.

    Args:
        argument: what the windows are called when they are refused.
        x: the windows ``[batch, variates, rows]``.
        observed: which of their values count.
        variates: how many there must be.
        rows: how many there must be.
        weight: a parameter that they will be multiplied with.

    Raises:
        ValueError: if a shape or a device is another one; the message says which, what was expected and what came.
        TypeError: if the windows are not of the dtype of ``weight``, or ``observed`` is not boolean.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{argument} must be a tensor, got {type(x).__name__}")
    if x.dim() != 3:
        raise ValueError(f"{argument} must have shape [batch, variates, rows], got {list(x.shape)}")
    if rows is not None and x.shape[2] != rows:
        raise ValueError(f"{argument} must have {rows} rows, got {x.shape[2]}")
    if variates is not None and x.shape[1] != variates:
        raise ValueError(f"{argument} must have {variates} variates, got {x.shape[1]}")
    if not x.is_floating_point():
        raise TypeError(f"{argument} must have a floating dtype, got {x.dtype}")
    # Under autocast a product takes any precision.
    if weight is not None and x.dtype is not weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"{argument} must have the dtype of the model's weights ({weight.dtype}), got {x.dtype}")
    if observed is None:
        return
    if observed.shape != x.shape:
        raise ValueError(f"observed must have the shape of {argument}, {list(x.shape)}, got {list(observed.shape)}")
    if observed.dtype is not torch.bool:
        raise TypeError(f"observed must have dtype torch.bool, got {observed.dtype}")
    if observed.device != x.device:
        raise ValueError(f"observed must be on the device of {argument} ({x.device}), got {observed.device}")
