"""Published variants on node tokens, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphseq.graph_mamba.model import GraphMamba
from graphseq.graph_mamba.ordering import AveragedTies, RandomTies


def gps_mamba(in_channels: int | Sequence[int], out_channels: int, **sizes: Any) -> GraphMamba:
    """GraphGPS with attention replaced by bidirectional Mamba, the "GPS + Mamba" row of Behrouz & Hashemi 2024.

    Ours are all widths, the depth and the normalisation, which the paper does not give.
    """
    return GraphMamba(in_channels, out_channels, **{"expand": 1, "bidirectional": True, **sizes})


def graph_mamba_wang(in_channels: int | Sequence[int], out_channels: int, **sizes: Any) -> GraphMamba:
    """The layer of Graph-Mamba (Wang et al. 2024) as its published code runs it.

    One Mamba in one direction over nodes in ascending order of degree, ties random; in evaluation five random orders,
    averaged inside each layer, here drawn from a fixed seed so that a result repeats. ``state_size`` 16, ``conv_size``
    4, ``expand`` 1 and batch norm are its settings, as is a width of 96 with 4 layers on Peptides-struct.
    """
    published = {
        "channels": 96,
        "layers": 4,
        "state_size": 16,
        "conv_size": 4,
        "expand": 1,
        "bidirectional": False,
        "norm": "batch_norm",
        "ties": RandomTies(),
        "evaluation_ties": AveragedTies(5),
    }
    return GraphMamba(in_channels, out_channels, **{**published, **sizes})
