"""The published model, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphseq.spen.model import SPEN


def published_spen(in_channels: int | Sequence[int], out_channels: int, **sizes: Any) -> SPEN:
    """The model as the authors' code runs it (Mitton & Murray-Smith 2023).

    One hop, tensors of order 2 and then of orders 2 and 1, concatenated; all permutations of a network, whose root is
    not told apart; means in networks and over them; ELU and GraphNorm after each layer; five equivariant layers, the
    last one to order 0; an MLP of widths 256 and 128 with dropout 0.5. Widths differ from one data set to another
    there, from 16 to 64.

    It is not the model of the published numbers to the letter: in that code, results of order 1 were put back with
    channels and nodes mixed up, which no permutation of nodes survives. Size buckets stand for its tables of sizes.
    """
    published = {
        "channels": 16,
        "layers": 5,
        "hops": 1,
        "buckets": (1, 2, 3, 4, 5),
        "root": "none",
        "inject": "mean",
        "aggr": "mean",
        "inner": 1,
        "combine": "concat",
        "norm": True,
        "pool": "mean",
        "head_channels": (256, 128),
        "dropout": 0.5,
    }
    return SPEN(in_channels, out_channels, **{**published, **sizes})
