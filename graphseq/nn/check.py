"""Checks of what reaches a layer or a head: which argument, what was expected, what came."""

from __future__ import annotations

import torch
from torch import Tensor


def check_vectors(argument: str, vectors: Tensor, channels: int, weight: Tensor | None = None) -> None:
    """Whether these are rows of ``channels`` numbers, as the weights of a layer take them.

    Nothing is read from a device: values, NaN among them, are looked for by a model under ``validate`` alone.

    Args:
        argument: what they are called when they are refused.
        vectors: ``[rows, channels]``.
        channels: width of the layer.
        weight: a parameter of the layer, which has its dtype and device.

    Raises:
        TypeError: if they are no dense tensor, or have another dtype than the weights.
        ValueError: if they have another shape, or are on another device.
    """
    _check_dense(argument, vectors)
    if vectors.dim() != 2 or vectors.shape[1] != channels:
        raise ValueError(f"{argument} must have shape [rows, {channels}], got {list(vectors.shape)}")
    if weight is not None:
        check_like_weights(argument, vectors, weight)


def check_like_weights(argument: str, tensor: Tensor, weight: Tensor) -> None:
    """Whether a tensor has the dtype of the weights, or any floating one under autocast, and their device.

    Raises:
        TypeError: if it has another dtype.
        ValueError: if it is on another device.
    """
    if tensor.device != weight.device:
        raise ValueError(f"{argument} must be on the device of the weights ({weight.device}), got {tensor.device}")
    if tensor.dtype is weight.dtype:
        return
    # Under autocast a product takes any precision, but no integers.
    if not (tensor.is_floating_point() and torch.is_autocast_enabled(tensor.device.type)):
        own = weight.dtype
        raise TypeError(f"{argument} must have the dtype of the model's weights ({own}), got {tensor.dtype}")


def check_rows(argument: str, tensor: Tensor, count: int, of: str) -> None:
    """Whether the first axis has ``count`` entries, one for each of what ``of`` names.

    Raises:
        ValueError: if it has another number.
    """
    # A compiler may have left either size open: to compare them would make them one.
    if not torch.compiler.is_compiling() and tensor.shape[0] != count:
        raise ValueError(f"{argument} must have one row for each of the {count} {of}, got shape {list(tensor.shape)}")


def check_pairs(
    argument: str,
    pairs: Tensor,
    x: Tensor,
    *,
    dtypes: tuple[torch.dtype, ...] = (torch.int64,),
    read: bool = False,
) -> None:
    """Whether these are pairs of nodes ``[2, pairs]``, beside the nodes' vectors ``x``.

    Args:
        argument: what they are called when they are refused.
        pairs: numbers of nodes.
        x: ``[nodes, ...]``.
        dtypes: of integers that are taken.
        read: also look whether each is a node, which reads from the device.

    Raises:
        TypeError: if they are no dense tensor, or have another dtype.
        ValueError: if they have another shape, are on another device, or under ``read`` name a node that is not there.
    """
    _check_dense(argument, pairs)
    if pairs.dim() != 2 or pairs.shape[0] != 2:
        raise ValueError(f"{argument} must have shape [2, pairs], got {list(pairs.shape)}")
    if pairs.dtype not in dtypes:
        raise TypeError(f"{argument} must have dtype {' or '.join(map(str, dtypes))}, got {pairs.dtype}")
    if pairs.device != x.device:
        raise ValueError(f"{argument} must be on the device of x ({x.device}), got {pairs.device}")
    # What a compiler traces has no values to look at.
    if not read or torch.compiler.is_compiling() or pairs.numel() == 0:
        return
    low, high = map(int, pairs.aminmax())
    if low < 0 or high >= x.shape[0]:
        raise ValueError(
            f"{argument} must hold nodes in 0..{x.shape[0] - 1} (x has {x.shape[0]} rows), "
            f"got values from {low} to {high}"
        )


def _check_dense(argument: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{argument} must be a dense tensor, got {type(tensor).__name__}")
    if tensor.layout is not torch.strided:
        raise TypeError(f"{argument} must be a dense tensor, got a tensor in the layout {tensor.layout}")
