"""Tokens kept as the walks that made them, for random-walk features."""

from __future__ import annotations

import dataclasses

from jaxtyping import Int
from torch import Tensor

from graphseq.graph_mamba.edge_set import EdgeSet


@dataclasses.dataclass(frozen=True, eq=False)
class WalkBatch:
    """The walks of some roots, in the order of their tokens: from the longest down, sampling by sampling.

    Args:
        walks: for each length the nodes that walks visit, by root, token, walk and step.
        edges: of the graph.
        num_roots: number of roots.
        samples: how many independent samplings there are.
    """

    walks: tuple[Int[Tensor, "roots _ _ _"], ...]
    edges: EdgeSet
    num_roots: int
    samples: int = 1

    @property
    def per_root(self) -> int:
        """Tokens of each root."""
        return sum(walk.shape[1] for walk in self.walks)

    def block(self, first: int, last: int) -> WalkBatch:
        """The walks of the roots ``first`` to ``last - 1``."""
        return WalkBatch(tuple(walk[first:last] for walk in self.walks), self.edges, last - first, self.samples)

    def sampling(self, sample: int) -> WalkBatch:
        """One of the samplings."""
        lengths = len(self.walks) // self.samples
        return WalkBatch(self.walks[sample * lengths : (sample + 1) * lengths], self.edges, self.num_roots)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(roots={self.num_roots}, per_root={self.per_root})"
