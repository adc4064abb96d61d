"""Published variants, by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from graphseq.graph_mamba.model import GraphMamba
from graphseq.graph_mamba.neighbourhood import NeighbourhoodEncoder
from graphseq.graph_mamba.ordering import AveragedTies, RandomTies
from graphseq.graph_mamba.token_encoder import SubgraphEncoder


def gmn(
    in_channels: int | Sequence[int], out_channels: int, *, m: int = 4, s: int = 2, token_layers: int = 1, **sizes: Any
) -> GraphMamba:
    """Graph Mamba Network (Behrouz & Hashemi 2024): neighbourhood tokens, then nodes by degree beside message passing.

    Data come with their tokens, from :class:`AddNeighbourhoodTokens` with these ``m`` and ``s``. With ``m`` = 0 a node
    is its own token: that is :func:`gps_mamba`, and no tokens are read.

    From the paper are tokens and their order, the gated convolution on them, scans both ways, ascending degree and the
    parallel branch; ``m`` and ``s`` lie within its grid. Ours are their defaults, all widths and depths, the split of
    the depth between tokens (``token_layers``) and nodes (``layers``), the readout of a token (its mean), residuals and
    normalisation.
    """
    if m < 0:
        raise ValueError(f"m must be at least 0, got {m}")
    shared = {name: sizes[name] for name in ("dropout", "state_size", "conv_size", "expand", "block") if name in sizes}
    encoder = partial(SubgraphEncoder, dropout=sizes.get("dropout", 0.0))
    tokens = partial(NeighbourhoodEncoder, s=s, encoder=encoder, layers=token_layers, **shared) if m else None
    return gps_mamba(in_channels, out_channels, **{"tokens": tokens, **sizes})


def gmn_minus(
    in_channels: int | Sequence[int], out_channels: int, *, m: int = 4, s: int = 2, token_layers: int = 1, **sizes: Any
) -> GraphMamba:
    """The "GMN-" row of Behrouz & Hashemi 2024: :func:`gmn` without positional encodings and message passing.

    The convolution inside tokens stays. What is ours is the same as there.

    Raises:
        ValueError: if ``positional`` or ``local`` asks for what is left out.
    """
    for name in ("positional", "local"):
        if sizes.get(name):
            raise ValueError(f"{name} must not be set, since gmn_minus has none, got {sizes[name]}")
    return gmn(in_channels, out_channels, m=m, s=s, token_layers=token_layers, **{**sizes, "local": False})


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
        "norm_first": False,
        "ties": RandomTies(),
        "evaluation_ties": AveragedTies(5),
    }
    return GraphMamba(in_channels, out_channels, **{**published, **sizes})
