"""Neighbourhood tokens (Behrouz & Hashemi 2024, "Graph Mamba", section on tokenization): unions of random walks."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Literal, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor
from torch_geometric.utils import cumsum

from graphseq.graph_mamba.edge_set import EdgeSet
from graphseq.graph_mamba.walks import check_nodes, random_walks

_BLOCK = 1 << 20  # visits
TokenEdges: TypeAlias = Literal["induced", "traversed"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class TokenBatch:
    """The tokens of some nodes, their roots: a disjoint union of small subgraphs, node by node, far to near.

    Where they were sampled several times, a node's tokens of one sampling stand before those of the next.

    A node of the graph appears once in each token that holds it; such an appearance is a *member*.

    Args:
        member: node of each member, ascending within a token.
        ptr: bounds of the tokens among the members.
        edge_index: edges between members of one token, ordered by their source.
        edge_id: which edge of the graph each of them is.
        root: node whose tokens they are; as many tokens for each of them.
        samples: how many independent samplings there are.
    """

    member: Int[Tensor, " members"]
    ptr: Int[Tensor, " bounds"]
    edge_index: Int[Tensor, "2 token_edges"]
    edge_id: Int[Tensor, " token_edges"]
    root: Int[Tensor, " roots"]
    samples: int = 1

    def __post_init__(self) -> None:
        tokens, roots = self.ptr.numel() - 1, self.root.numel()
        if tokens < 0 or (tokens % roots if roots else tokens):
            raise ValueError(f"ptr must bound equally many tokens for each of the {roots} roots, got {tokens}")
        if self.samples < 1 or self.per_root % self.samples:
            raise ValueError(f"samples must divide the tokens of a root ({self.per_root}), got {self.samples}")
        if int(self.ptr[0]) != 0 or int(self.ptr[-1]) != self.member.numel():
            raise ValueError(
                f"ptr must start at 0 and end at the number of members ({self.member.numel()}), "
                f"got {int(self.ptr[0])} and {int(self.ptr[-1])}"
            )
        check_nodes("edge_index", self.edge_index, self.member.numel())

    @property
    def num_roots(self) -> int:
        """Nodes whose tokens these are."""
        return self.root.numel()

    @property
    def num_tokens(self) -> int:
        """Over all roots."""
        return self.ptr.numel() - 1

    @property
    def per_root(self) -> int:
        """Tokens of each root; 0 where there is no root."""
        return self.num_tokens // max(1, self.root.numel())

    @property
    def size(self) -> Int[Tensor, " tokens"]:
        """Members of each token."""
        return self.ptr.diff()

    @property
    def token(self) -> Int[Tensor, " members"]:
        """Token of each member."""
        return torch.arange(self.num_tokens, device=self.ptr.device).repeat_interleave(self.size)

    @property
    def root_member(self) -> Int[Tensor, " tokens"]:
        """The member of each token that is its root."""
        of_member = self.root.repeat_interleave(self.per_root)[self.token]
        return (self.member == of_member).nonzero().flatten()

    def block(self, first: int, last: int) -> TokenBatch:
        """The tokens of the roots ``first`` to ``last - 1``."""
        per_root = self.per_root
        ptr = self.ptr[first * per_root : last * per_root + 1]
        bounds = ptr[[0, -1]]
        start, end = torch.searchsorted(self.edge_index[0].contiguous(), bounds).tolist()
        low, high = bounds.tolist()
        return TokenBatch(
            self.member[low:high],
            ptr - low,
            self.edge_index[:, start:end] - low,
            self.edge_id[start:end],
            self.root[first:last],
            self.samples,
        )

    def sampling(self, sample: int) -> TokenBatch:
        """The tokens of one of the samplings."""
        share = self.per_root // self.samples
        first = torch.arange(self.num_roots, device=self.ptr.device) * self.per_root + sample * share
        token = (first[:, None] + torch.arange(share, device=self.ptr.device)).flatten()
        start, size = self.ptr[token], self.size[token]
        ptr = cumsum(size)
        moved = ptr[:-1] - start
        bounds = torch.searchsorted(self.edge_index[0].contiguous(), self.ptr)
        edge_start, edges = bounds[token], bounds.diff()[token]
        kept = _ranges(edge_start, edges)
        return TokenBatch(
            self.member[_ranges(start, size)],
            ptr,
            self.edge_index[:, kept] + moved.repeat_interleave(edges),
            self.edge_id[kept],
            self.root,
        )

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same on another device."""
        names = ("member", "ptr", "edge_index", "edge_id", "root")
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in names})

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(roots={self.root.numel()}, per_root={self.per_root}, "
            f"members={self.member.numel()}, edges={self.edge_id.numel()})"
        )


def neighbourhood_tokens(
    edge_index: Int[Tensor, "2 edges"],
    num_nodes: int,
    m: int,
    M: int,
    s: int,
    *,
    generator: torch.Generator,
    include_root: bool = True,
    edges: TokenEdges = "induced",
    nested: bool = False,
    samples: int = 1,
) -> TokenBatch:
    r"""Sample the tokens of every node.

    A token of length :math:`l` is the subgraph on all nodes that ``M`` random walks of exactly :math:`l` steps from
    its root visit, the root among them:

    .. math::
        T_l(v) = G\Bigl[\bigcup_{i=1}^{M} \{w^i_0, \dots, w^i_l\}\Bigr], \qquad w^i_0 = v

    A node has ``s`` tokens of each length :math:`m, m-1, \dots, 1`, in this order, so that what is near comes last,
    and at the end the token :math:`\{v\}`: :math:`s m + 1` in all.

    The printed algorithm samples the root's own token and leaves it out when it encodes; ``include_root`` decides.

    Args:
        edge_index: edges; walks follow them from source to target.
        num_nodes: number of nodes.
        m: the longest walk.
        M: walks in a token.
        s: tokens of each length.
        generator: the source of chance, see :func:`random_walks`.
        include_root: whether the token of length 0 is there.
        edges: ``"induced"``, all edges among a token's nodes, as in the paper; ``"traversed"``, those that its walks
            went along, in each direction that the graph has; ``None``, none.
        nested: let the walks of one length begin those of the next. That is ``m / 2`` times cheaper to walk, but tokens
            of different lengths are then not independent, as they are in the paper.
        samples: how often all of it is sampled, over which a model can average its predictions.

    Raises:
        ValueError: if a number is too small, an edge joins no two nodes or ``edges`` is none of the above.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> neighbourhood_tokens(path, 3, m=2, M=2, s=1, generator=torch.Generator())
        TokenBatch(roots=3, per_root=3, members=18, edges=18)

    Cost: a sort of each token's visits, and a table look-up for each pair of nodes inside a token.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    walks: list[Tensor] = []
    root = torch.arange(num_nodes, device=edge_index.device).view(-1, 1, 1, 1)
    for _ in range(samples):
        walks += walk_visits(edge_index, num_nodes, m, M, s, generator=generator, nested=nested)
        # The token of length 0 is what a walk of no steps visits.
        walks += [root] if include_root else []
    tokens = tokens_of_walks(walks, edge_index, num_nodes, edges=edges)
    return dataclasses.replace(tokens, samples=samples)


def walk_visits(
    edge_index: Tensor,
    num_nodes: int,
    m: int,
    M: int,
    s: int,
    *,
    generator: torch.Generator,
    nested: bool = False,
) -> list[Int[Tensor, "nodes samples walks visits"]]:
    """The walks behind the tokens, one entry a length, from ``m`` down to 1."""
    for name, value, least in (("m", m, 0), ("M", M, 1), ("s", s, 1), ("num_nodes", num_nodes, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    start = torch.arange(num_nodes, device=edge_index.device).repeat_interleave(s * M)
    lengths = range(m, 0, -1)
    if nested:
        longest = random_walks(edge_index, start, m, num_nodes, generator=generator).view(num_nodes, s, M, m + 1)
        return [longest[..., : length + 1] for length in lengths]
    return [
        random_walks(edge_index, start, length, num_nodes, generator=generator).view(num_nodes, s, M, length + 1)
        for length in lengths
    ]


def tokens_of_walks(
    walks: list[Int[Tensor, "nodes _ _ _"]],
    edge_index: Int[Tensor, "2 edges"],
    num_nodes: int,
    *,
    edges: TokenEdges = "induced",
) -> TokenBatch:
    """Unite walks that are already there, in the order given; see :func:`neighbourhood_tokens`."""
    if edges not in ("induced", "traversed", None):
        raise ValueError(f"edges must be 'induced', 'traversed' or None, got {edges!r}")
    check_nodes("edge_index", edge_index, num_nodes)
    root = torch.arange(num_nodes, device=edge_index.device)
    edge_set = EdgeSet(edge_index, num_nodes)
    # What a block of roots needs stays in the cache, and its temporary tensors are small enough to be used again.
    block = max(1, _BLOCK // max(1, sum(walk[:1].numel() for walk in walks)))
    parts = [
        _unite([walk[first : first + block] for walk in walks], root[first : first + block], edge_set, edges)
        for first in range(0, max(1, num_nodes), block)
    ]
    size = torch.cat([part.size for part in parts])
    start = cumsum(torch.tensor([part.member.numel() for part in parts])).tolist()
    return TokenBatch(
        torch.cat([part.member for part in parts]),
        cumsum(size),
        torch.cat([part.edge_index + shift for part, shift in zip(parts, start, strict=False)], dim=1),
        torch.cat([part.edge_id for part in parts]),
        root,
    )


def _unite(walks: list[Tensor], root: Tensor, edge_set: EdgeSet, edges: TokenEdges) -> TokenBatch:
    visits = [walk.flatten(2) for walk in walks]
    row = [0, *itertools.accumulate(visit.shape[1] for visit in visits)]
    united = [_distinct(visit) for visit in visits]
    size = torch.cat([root.new_zeros(root.numel(), 0), *(new.sum(2) for _, new in united)], dim=1)
    ptr = cumsum(size.flatten())
    member = root.new_empty(int(ptr[-1]))
    start = ptr[:-1].view(size.shape)
    for place, (visit, new) in enumerate(united):
        to = start[:, row[place] : row[place + 1], None] + new.cumsum(2) - 1
        member[to[new]] = visit[new]
    if edges == "induced":
        pairs = _pairs_inside(member, ptr, edge_set)
    elif edges == "traversed":
        pairs = _pairs_walked(walks, row, member, ptr, edge_set.num_nodes)
    else:
        pairs = root.new_zeros(2, 0)
    return TokenBatch(member, ptr, *_edges_between(pairs, member, edge_set), root)


def _distinct(visits: Tensor) -> tuple[Tensor, Tensor]:
    """The visits of each token ascending, and whether each is the first to its node."""
    visits = visits.sort(dim=2).values
    new = torch.ones_like(visits, dtype=torch.bool)
    new[..., 1:] = visits[..., 1:] != visits[..., :-1]
    return visits, new


def _pairs_inside(member: Tensor, ptr: Tensor, edge_set: EdgeSet) -> Tensor:
    """Pairs of members of one token that may be joined, the smaller node first.

    Members one apart, then two apart, and so on to the size of the largest token: that way no list of all pairs is
    ever made.
    """
    here = torch.arange(member.numel(), device=member.device)
    behind = (ptr[1:] - 1).repeat_interleave(ptr.diff()) - here
    salted = edge_set.salt(member)
    apart, pairs = 0 if edge_set.has_loops else 1, [member.new_zeros(2, 0)]
    while here.numel():
        here = here.index_select(0, (behind.index_select(0, here) >= apart).nonzero().flatten())
        there = here + apart
        maybe = edge_set.maybe(salted.index_select(0, here), member.index_select(0, there)).nonzero().flatten()
        pairs.append(torch.stack([here.index_select(0, maybe), there.index_select(0, maybe)]))
        apart += 1
    return torch.cat(pairs, 1)


def _pairs_walked(walks: list[Tensor], row: list[int], member: Tensor, ptr: Tensor, num_nodes: int) -> Tensor:
    """Pairs of members that a walk went between, each once, the smaller node first."""
    token = torch.arange(ptr.numel() - 1, device=member.device)
    key = token.repeat_interleave(ptr.diff()) * num_nodes + member
    of_root = token.view(-1, max(1, row[-1]))
    steps = [member.new_zeros(2, 0)]
    for place, walk in enumerate(walks):
        of_walk = of_root[:, row[place] : row[place + 1], None, None]
        at = torch.searchsorted(key, of_walk * num_nodes + walk)
        steps.append(torch.stack([at[..., :-1].flatten(), at[..., 1:].flatten()]))
    walked = torch.cat(steps, 1)
    members = max(1, member.numel())
    pair = torch.unique(walked.amin(0) * members + walked.amax(0))
    return torch.stack([pair // members, pair % members])


def _edges_between(pairs: Tensor, member: Tensor, edge_set: EdgeSet) -> tuple[Tensor, Tensor]:
    """All edges between the two members of a pair, ordered by their source."""
    pair, edge_id, upward = edge_set.between(member.index_select(0, pairs[0]), member.index_select(0, pairs[1]))
    smaller, larger = pairs.index_select(1, pair)
    source = torch.where(upward, smaller, larger)
    order = source.argsort(stable=True)
    return torch.stack([source, smaller + larger - source]).index_select(1, order), edge_id.index_select(0, order)


def _ranges(start: Tensor, length: Tensor) -> Tensor:
    """``start[i], start[i] + 1, …`` to ``length[i]`` entries, one range after the other."""
    ends = cumsum(length)
    within = torch.arange(int(ends[-1]), device=start.device) - ends[:-1].repeat_interleave(length)
    return start.repeat_interleave(length) + within
