r"""What a group of permutations leaves of a tensor, and how a tensor is put together again.

Maps between tensors of orders :math:`k` and :math:`l` that commute with permutations are spanned by products "read
something off the input, spread it over the output" (Maron et al. 2019). What is read, and what is spread, lives on one
of three levels: the pairs of a block, its members, or the block as a whole. So a basis is three small matrices of
coefficients, one a level, and a map costs matrix products of each level's size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.utils import scatter

from graphseq.spen.blocks import Blocks

Aggregation = Literal["mean", "sum"]

_WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda size: 1 / size.clamp(min=1),
    "sum": torch.ones_like,
}


class Levels(NamedTuple):
    """Values on the pairs, on the members, and on the blocks; several side by side on the latter two.

    What is read on a pair is its value; what is spread, that for the pair beside that for the pair turned round.
    """

    pair: Float[Tensor, "pairs channels"] | None
    member: Float[Tensor, "members kinds channels"] | None
    block: Float[Tensor, "blocks kinds channels"]


class Numbers(NamedTuple):
    """How many different values a tensor of some order has on each level."""

    pair: int
    member: int
    block: int


class Basis(NamedTuple):
    """Which coefficient of a map joins which value that is read with which that is spread, on each level."""

    pair: list[int]
    member: list[list[int]]
    block: list[list[int]]

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return len(self.pair) + sum(map(len, self.member)) + sum(map(len, self.block))


@runtime_checkable
class Group(Protocol):
    """A group of permutations of a block's members, as the maps use it."""

    marks: bool
    """Whether the bias, other than the weights, may treat the root on its own."""

    def numbers(self, order: int) -> Numbers:
        """How many values of each level are read off a tensor, and as many are spread over one."""

    def basis(self, in_order: int, out_order: int) -> Basis:
        """The coefficients of a map."""

    def domain(self, blocks: Blocks) -> Blocks:
        """The blocks on which the values live that are read and spread."""

    def read(self, order: int, x: Tensor, blocks: Blocks) -> Levels:
        """The values of a tensor on each level."""

    def spread(self, order: int, levels: Levels, blocks: Blocks) -> Tensor:
        """The tensor with these values."""


class Symmetric:
    r"""All permutations of a block, :math:`S_m`.

    With :math:`d_i = X_{ii}`, :math:`r_i = \sum_j X_{ij}`, :math:`c_i = \sum_j X_{ji}`, :math:`t = \sum_i d_i`,
    :math:`a = \sum_{ij} X_{ij}`, :math:`s = \sum_i x_i`, and :math:`D(\cdot)` on the diagonal, the operations are

    ======  ===============================================================================================
    map     operations, in order
    ======  ===============================================================================================
    2 → 2   D(d), D(t), D(r), D(c), D(a), c_i, r_i, c_j, r_j, X_ij, X_ji, d_i, d_j, t, a
    2 → 1   d, t, r, c, a
    2 → 0   t, a
    1 → 2   D(x), D(s), x_j, x_i, s
    1 → 1   x, s
    1 → 0   s
    0 → 2   D(z), z
    0 → 1   z
    0 → 0   z
    ======  ===============================================================================================

    Below four members some of them coincide, so that coefficients are not unique.

    Args:
        aggr: ``"mean"`` divides a sum over a block by its size, and one over its pairs by the square of it;
            ``"sum"`` does not.
    """

    marks = False

    def __init__(self, aggr: Aggregation = "mean") -> None:
        if aggr not in _WEIGHTS:
            raise ValueError(f"aggr must be 'mean' or 'sum', got {aggr!r}")
        self.aggr = aggr

    def numbers(self, order: int) -> Numbers:
        return (Numbers(0, 0, 1), Numbers(0, 1, 1), Numbers(2, 3, 2))[order]

    def basis(self, in_order: int, out_order: int) -> Basis:
        return _PUBLISHED_ORDER[in_order, out_order]

    def domain(self, blocks: Blocks) -> Blocks:
        return blocks

    def read(self, order: int, x: Tensor, blocks: Blocks) -> Levels:
        if order == 0:
            return Levels(None, None, x[:, None])
        if order == 1:
            return Levels(None, x[:, None], self.over_block(x, blocks)[:, None])
        d = x.index_select(0, blocks.diagonal)
        weight = self.weight(blocks, x.dtype).index_select(0, blocks.block)[:, None]
        r = scatter(x, blocks.pair_row, dim=0, dim_size=blocks.num_members) * weight
        c = scatter(x, blocks.pair_col, dim=0, dim_size=blocks.num_members) * weight
        t, a = self.over_block(torch.stack([d, r], 1), blocks).unbind(1)
        return Levels(x, torch.stack([d, r, c], 1), torch.stack([t, a], 1))

    def spread(self, order: int, levels: Levels, blocks: Blocks) -> Tensor:
        if order == 0:
            return levels.block[:, 0]
        member = _present(levels.member)
        if order == 1:
            return member[:, 0] + levels.block[:, 0].index_select(0, blocks.block)
        diagonal, row, col = member.unbind(1)
        everywhere = levels.block.index_select(0, blocks.block)
        y = (row + everywhere[:, 1]).index_select(0, blocks.pair_row) + col.index_select(0, blocks.pair_col)
        if levels.pair is not None:
            straight, turned = levels.pair.chunk(2, 1)
            y = y + straight + _Transposed.apply(turned, blocks.transposed)
        # A pair stands once on the diagonal, so nothing is reduced, and nobody else holds y yet.
        return y.index_add_(0, blocks.diagonal, diagonal + everywhere[:, 0])

    def over_block(self, x: Tensor, blocks: Blocks) -> Tensor:
        """Sum or mean over the members of each block."""
        total = scatter(x, blocks.block, dim=0, dim_size=blocks.num_blocks)
        return total * self.weight(blocks, x.dtype).view(-1, *[1] * (x.dim() - 1))

    def weight(self, blocks: Blocks, dtype: torch.dtype) -> Tensor:
        """What a sum over the members of each block is multiplied by."""
        return _WEIGHTS[self.aggr](blocks.size.to(dtype))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.aggr!r})"


class MarkedRoot(Symmetric):
    """The weights of :class:`Symmetric` with the bias of :class:`RootStabiliser`.

    That equals, at a given size, :class:`Symmetric` on inputs that carry the indicators of the root, of its row, its
    column and its diagonal entry as further channels, without the cost of carrying them.

    Args:
        aggr: as for :class:`Symmetric`.
    """

    marks = True


class RootStabiliser:
    r"""The permutations that keep the root of a block, :math:`S_{m-1}` on the others.

    To them a tensor of order 2 is one of order 2 on the rest, two of order 1 (the root's row and column) and one of
    order 0; a tensor of order 1 is one of order 1 and one of order 0. So all maps are those of :class:`Symmetric`
    between these pieces: 52 from order 2 to 2, 15 between orders 2 and 1, 5 from 1 to 1.

    Args:
        aggr: as for :class:`Symmetric`, over the rest of a block.
    """

    marks = False  # its bias is free already

    def __init__(self, aggr: Aggregation = "mean") -> None:
        self.rest = Symmetric(aggr)

    def numbers(self, order: int) -> Numbers:
        return (Numbers(0, 0, 1), Numbers(0, 1, 2), Numbers(2, 5, 5))[order]

    def basis(self, in_order: int, out_order: int) -> Basis:
        into, out = self.numbers(in_order), self.numbers(out_order)
        pairs = min(into.pair, out.pair)
        after = pairs + into.member * out.member
        return Basis(
            list(range(pairs)),
            [[pairs + i * out.member + j for j in range(out.member)] for i in range(into.member)],
            [[after + i * out.block + j for j in range(out.block)] for i in range(into.block)],
        )

    def domain(self, blocks: Blocks) -> Blocks:
        return blocks.around_root.rest

    def read(self, order: int, x: Tensor, blocks: Blocks) -> Levels:
        if order == 0:
            return self.rest.read(0, x, blocks)
        around = blocks.around_root
        if order == 1:
            others = self.rest.read(1, x.index_select(0, around.members), around.rest)
            root = x.index_select(0, blocks.checked_root)[:, None]
            return Levels(None, others.member, torch.cat([others.block, root], 1))
        pairs = self.rest.read(2, x.index_select(0, around.pairs), around.rest)
        lines = torch.stack([x.index_select(0, around.rows), x.index_select(0, around.columns)], 1)
        root = x.index_select(0, around.roots)[:, None]
        return Levels(
            pairs.pair,
            torch.cat([_present(pairs.member), lines], 1),
            torch.cat([pairs.block, self.rest.over_block(lines, around.rest), root], 1),
        )

    def spread(self, order: int, levels: Levels, blocks: Blocks) -> Tensor:
        if order == 0:
            return levels.block[:, 0]
        around, member = blocks.around_root, _present(levels.member)
        if order == 1:
            others = self.rest.spread(1, levels, around.rest)
            return _interleave([others, levels.block[:, 1]], [around.members, blocks.checked_root])
        pairs = self.rest.spread(2, Levels(levels.pair, member[:, :3], levels.block[:, :2]), around.rest)
        rows, columns = (member[:, 3:] + levels.block[:, 2:4].index_select(0, around.rest.block)).unbind(1)
        return _interleave(
            [pairs, rows, columns, levels.block[:, 4]], [around.pairs, around.rows, around.columns, around.roots]
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.rest.aggr!r})"


class _Transposed(torch.autograd.Function):
    """Rows of pairs at their transposed places; turning twice changes nothing, so the gradient takes the same way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, transposed: Tensor) -> Tensor:
        ctx.save_for_backward(transposed)
        return x.index_select(0, transposed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (transposed,) = ctx.saved_tensors
        return _Transposed.apply(gradient, transposed), None


def _interleave(values: list[Tensor], places: list[Tensor]) -> Tensor:
    return torch.cat(values).index_select(0, torch.cat(places).argsort())


def _present(value: Any) -> Tensor:
    if value is None:
        raise ValueError("levels must hold values on members for an order above 0, got None")
    return value


# Rows: what is read (d, r, c of a pair tensor; t, a). Columns: where it goes (diagonal, row, column; diagonal, all).
# The numbers are the order of Maron et al.'s code, in which published weights are stored.
_PUBLISHED_ORDER = {
    (2, 2): Basis([9, 10], [[0, 11, 12], [2, 6, 8], [3, 5, 7]], [[1, 13], [4, 14]]),
    (2, 1): Basis([], [[0], [2], [3]], [[1], [4]]),
    (2, 0): Basis([], [], [[0], [1]]),
    (1, 2): Basis([], [[0, 3, 2]], [[1, 4]]),
    (1, 1): Basis([], [[0]], [[1]]),
    (1, 0): Basis([], [], [[0]]),
    (0, 2): Basis([], [], [[0, 1]]),
    (0, 1): Basis([], [], [[0]]),
    (0, 0): Basis([], [], [[0]]),
}
