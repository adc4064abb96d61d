"""Normalisation of node and edge vectors."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn import BatchNorm


def node_norm(name: str, channels: int) -> nn.Module:
    """A normalisation whose result, in evaluation, does not depend on how graphs are batched.

    Args:
        name: ``"batch_norm"`` (a lone row in training is normalised as in evaluation), ``"layer_norm"`` (each row by
            itself; PyG's layer of that name takes whole batches together) or ``"rms_norm"`` (each row by its root mean
            square).
        channels: width.

    Raises:
        ValueError: if there is no such normalisation.
    """
    if name == "batch_norm":
        return BatchNorm(channels, allow_single_element=True)
    if name == "layer_norm":
        return nn.LayerNorm(channels)
    if name == "rms_norm":
        return nn.RMSNorm(channels, eps=1e-5)
    raise ValueError(f"norm must be 'batch_norm', 'layer_norm' or 'rms_norm', got {name!r}")
