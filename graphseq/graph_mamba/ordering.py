"""Node ordering: ascending by a key of importance, with a rule for ties that never falls back on the node's number."""

from __future__ import annotations

import abc

import torch
from jaxtyping import Int, Num
from torch import Tensor
from torch_geometric.utils import lexsort

from graphseq.scan import Ragged


class TieBreak(abc.ABC):
    """How nodes of one graph that have the same key are put in order."""

    needs_colour: bool = False
    """Whether the rule reads the colour of the nodes."""

    @abc.abstractmethod
    def orders(
        self, key: Num[Tensor, " nodes"], segments: Ragged, colour: Int[Tensor, " nodes"] | None = None
    ) -> list[Int[Tensor, " nodes"]]:
        """One order or several, over which the caller averages.

        Args:
            key: importance of each node.
            segments: the graphs.
            colour: see :func:`canonical_colour`.

        Returns:
            Permutations: place ``p`` belongs to node ``order[p]``; graphs keep their places.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RandomTies(TieBreak):
    """Uniformly random among equal keys, anew on every call, from torch's global generator."""

    def orders(self, key: Tensor, segments: Ragged, colour: Tensor | None = None) -> list[Tensor]:
        noise = torch.rand(key.shape[0], dtype=torch.float64, device=key.device)
        return [lexsort([noise, key, segments.segment])]


class AveragedTies(TieBreak):
    """Several random orders, the same on every call.

    Args:
        num_orders: how many.
        seed: of the orders.
    """

    def __init__(self, num_orders: int = 5, seed: int = 0) -> None:
        if num_orders < 1:
            raise ValueError(f"num_orders must be at least 1, got {num_orders}")
        self.num_orders, self.seed = num_orders, seed

    def orders(self, key: Tensor, segments: Ragged, colour: Tensor | None = None) -> list[Tensor]:
        noise = _seeded_noise(self.num_orders, segments, self.seed)
        return [lexsort([row, key, segments.segment]) for row in noise]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_orders={self.num_orders}, seed={self.seed})"


class CanonicalTies(TieBreak):
    """By colour, which depends on the graph and its features alone, not on how nodes are numbered.

    Nodes that the colour cannot tell apart (automorphic ones among them) are put in a random order that is the same on
    every call; for them alone a result may change with the numbering.

    Args:
        seed: of the order of nodes of equal colour.
    """

    needs_colour = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def orders(self, key: Tensor, segments: Ragged, colour: Tensor | None = None) -> list[Tensor]:
        if colour is None:
            raise ValueError("colour must be given for CanonicalTies (see canonical_colour), got None")
        noise = _seeded_noise(1, segments, self.seed)[0]
        return [lexsort([noise, colour, key, segments.segment])]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(seed={self.seed})"


def _seeded_noise(rows: int, segments: Ragged, seed: int) -> Tensor:
    """A hash of the place in the graph, so that a graph's orders do not depend on what it is batched with."""
    row = _hash(torch.arange(rows, device=segments.device) + seed)
    return _hash(row[:, None] + segments.position)


_MIX = (-0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)


def canonical_colour(x: Tensor, edge_index: Int[Tensor, "2 edges"], *, rounds: int = 16) -> Int[Tensor, " nodes"]:
    r"""A hash of each node's features and surroundings that does not depend on how nodes are numbered.

    Colour refinement (Weisfeiler & Leman 1968): :math:`c_v \leftarrow \operatorname{hash}(c_v, \sum_{u \to v}
    \operatorname{hash}(c_u))`, ``rounds`` times, from a hash of the bits of ``x``. The sums are of integers, hence
    exact, and equal under any numbering.

    Args:
        x: node features, real or integer.
        edge_index: edges.
        rounds: how far a node sees.
    """
    rows = x.detach()
    # Adding zero makes -0.0 and 0.0, which are equal numbers, equal bits.
    bits = (rows.double() + 0.0).view(torch.int64) if rows.is_floating_point() else rows.long()
    colour = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
    for column in (bits[:, None] if bits.dim() == 1 else bits.flatten(1)).unbind(1):
        colour = _hash(colour * 31 + column)
    for _ in range(rounds):
        arriving = torch.zeros_like(colour).index_add_(0, edge_index[1], _hash(colour)[edge_index[0]])
        colour = _hash(colour * 31 + arriving)
    return colour


def _hash(value: Tensor) -> Tensor:
    """SplitMix64's finaliser, in wrapping integers (Steele, Lea & Flood 2014)."""
    value = value + _MIX[0]
    value = (value ^ _logical_shift(value, 30)) * _MIX[1]
    value = (value ^ _logical_shift(value, 27)) * _MIX[2]
    return value ^ _logical_shift(value, 31)


def _logical_shift(value: Tensor, by: int) -> Tensor:
    return (value >> by) & ((1 << (64 - by)) - 1)
