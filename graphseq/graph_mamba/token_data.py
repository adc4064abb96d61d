"""Neighbourhood tokens stored with their graph, so that PyG batches them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from graphseq.data.structure import StructureData, carrying
from graphseq.data.validate import edges_of
from graphseq.graph_mamba.tokens import TokenBatch, TokenEdges, neighbourhood_tokens, walk_visits

TOKEN_KEYS = ("token_member", "token_size", "token_link_index", "token_link_id")
"""The keys of a graph's tokens: node of each member, members of each token, edges between members, their columns."""

SAMPLES_KEY = "token_samples"
"""The key of the number of samplings, one entry a graph; not there if it is 1."""

WALK_KEY = "token_walk"
"""The key of the walks of each node's tokens, one row a node, from the longest walk down."""


def stored_tokens(stored: Mapping[str, Any] | Data, num_nodes: int) -> TokenBatch:
    """The tokens that :class:`AddNeighbourhoodTokens` stored, of one graph or a batch.

    Raises:
        ValueError: if they are not there, or graphs were sampled more often than others.
    """
    if missing := [key for key in TOKEN_KEYS if key not in stored or stored[key] is None]:
        raise ValueError(f"{missing[0]} must be given (see AddNeighbourhoodTokens), got None")
    member, size, edge_index, edge_id = (stored[key] for key in TOKEN_KEYS)
    ptr = torch.cat([size.new_zeros(1), size.cumsum(0)])
    counts = stored.get(SAMPLES_KEY, None)
    each = [1] if counts is None else counts.unique().tolist()
    if len(each) > 1:
        raise ValueError(f"{SAMPLES_KEY} must be the same for all graphs of a batch, got {each}")
    return TokenBatch(member, ptr, edge_index, edge_id, torch.arange(num_nodes, device=member.device), *each)


@functional_transform("graphseq_neighbourhood_tokens")
class AddNeighbourhoodTokens(BaseTransform):
    """Sample the tokens of every node and store them, under the keys that begin with ``token_``.

    As a ``pre_transform`` a graph keeps its tokens, as in the paper. As a ``transform`` it gets new ones each time it
    is used, thus in each epoch.

    Args:
        m: the longest walk.
        M: walks in a token.
        s: tokens of each length.
        include_root: see :func:`neighbourhood_tokens`.
        edges: see :func:`neighbourhood_tokens`.
        nested: see :func:`neighbourhood_tokens`.
        samples: how many samplings to store. A model trains on one of them at random in each step, and averages its
            predictions over all of them in evaluation.
        seed: makes tokens a function of the graph, equal on every call; without one, torch's global generator draws.

    Raises:
        TypeError: if the graph is of another subclass of ``Data``, whose way of batching would be lost, or its edges
            are no dense tensor.
        ValueError: if it has no edges between nodes that are there.

    Example:
        >>> from torch_geometric.data import Data
        >>> path = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
        >>> AddNeighbourhoodTokens(m=2, M=2, s=1, seed=0)(path).token_size
        tensor([2, 2, 1, 2, 2, 1, 1, 1, 1])
    """

    def __init__(
        self,
        m: int,
        M: int,
        s: int,
        *,
        include_root: bool = True,
        edges: TokenEdges = "induced",
        nested: bool = False,
        samples: int = 1,
        seed: int | None = None,
    ) -> None:
        self.m, self.M, self.s, self.samples = m, M, s, samples
        self.include_root, self.edges, self.nested, self.seed = include_root, edges, nested, seed
        # Wrong numbers are found here, not at the first graph.
        none = torch.zeros(2, 0, dtype=torch.int64)
        neighbourhood_tokens(none, 0, m, M, s, generator=torch.Generator(), edges=edges, samples=samples)

    def forward(self, data: Data) -> StructureData:
        tokens = neighbourhood_tokens(
            edges_of(data),
            data.num_nodes,
            self.m,
            self.M,
            self.s,
            generator=_generator(data, self.seed),
            include_root=self.include_root,
            edges=self.edges,
            nested=self.nested,
            samples=self.samples,
        )
        values = (tokens.member, tokens.size, tokens.edge_index, tokens.edge_id)
        stored = dict(zip(TOKEN_KEYS, values, strict=True))
        if self.samples > 1:
            stored[SAMPLES_KEY] = torch.tensor([self.samples])
        return _with(data, stored)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(m={self.m}, M={self.M}, s={self.s}, samples={self.samples})"


@functional_transform("graphseq_token_walks")
class AddTokenWalks(BaseTransform):
    """Store the walks behind the tokens, which is all that :class:`WalkEncoder` reads.

    Args:
        m: the longest walk.
        M: walks in a token.
        s: tokens of each length.
        nested: see :func:`neighbourhood_tokens`.
        samples: see :class:`AddNeighbourhoodTokens`.
        seed: see :class:`AddNeighbourhoodTokens`.

    Raises:
        TypeError: if the graph is of another subclass of ``Data``, whose way of batching would be lost, or its edges
            are no dense tensor.
        ValueError: if it has no edges between nodes that are there.
    """

    def __init__(
        self, m: int, M: int, s: int, *, nested: bool = False, samples: int = 1, seed: int | None = None
    ) -> None:
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        self.m, self.M, self.s, self.nested, self.samples, self.seed = m, M, s, nested, samples, seed
        walk_visits(torch.zeros(2, 0, dtype=torch.int64), 0, m, M, s, generator=torch.Generator())

    def forward(self, data: Data) -> StructureData:
        edge_index = edges_of(data)
        generator = _generator(data, self.seed)
        walks = [
            walk
            for _ in range(self.samples)
            for walk in walk_visits(
                edge_index, data.num_nodes, self.m, self.M, self.s, generator=generator, nested=self.nested
            )
        ]
        none = edge_index.new_zeros(data.num_nodes, 0)
        return _with(data, {WALK_KEY: torch.cat([none, *(walk.flatten(1) for walk in walks)], dim=1)})

    def __repr__(self) -> str:
        return f"{type(self).__name__}(m={self.m}, M={self.M}, s={self.s}, samples={self.samples})"


def _generator(data: Data, seed: int | None) -> torch.Generator:
    if seed is None:
        return torch.default_generator
    # One seed for graphs that differ would give all of them the same turns.
    checksum = zlib.crc32(data.edge_index.cpu().numpy().tobytes())
    if isinstance(data.x, Tensor):
        checksum = zlib.crc32(data.x.detach().cpu().numpy().tobytes(), checksum)
    return torch.Generator(data.edge_index.device).manual_seed(seed + (checksum << 20))


def _with(data: Data, stored: dict[str, Tensor]) -> StructureData:
    data = carrying(data, StructureData)
    for key, value in stored.items():
        data[key] = value
    return data
