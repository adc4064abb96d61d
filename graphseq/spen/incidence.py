"""Extraction, reading, spreading and injection as sparse matrices between the state and the networks' members."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from graphseq.spen.group import Levels, Symmetric

if TYPE_CHECKING:
    from graphseq.spen.nets import EgoNetworks


class Incidence:
    r"""What a map that is averaged over networks reads off the state, and how what it spreads comes back to it.

    Between the state and its mean over networks all is linear, and most of it sums: the row means of a network are
    read off the pairs of nodes directly, and what belongs to a network's row goes back to them directly. So no network
    holds a copy of its pairs. Only :math:`X_{ij}` and :math:`X_{ji}` are multiplied at the size of the pairs, once for
    each pair of nodes and each bucket that has it, however many networks share it.

    Values of orders and levels are those of :class:`Symmetric`, whose :meth:`~Symmetric.read` and
    :meth:`~Symmetric.spread` on each network, between extraction and injection, come to the same.

    Args:
        nets: the networks.
        group: all permutations; its ``aggr`` is whether reading divides by sizes.
        dtype: of the state.
    """

    def __init__(self, nets: EgoNetworks, group: Symmetric, dtype: torch.dtype) -> None:
        self.nets, self.blocks, self.group = nets, nets.blocks, group
        self._ones = torch.ones((), dtype=dtype, device=nets.pairs.device)
        self._per_member = group.weight(nets.blocks, dtype).index_select(0, nets.blocks.block)

    @staticmethod
    def serves(x: Tensor) -> bool:
        """Whether there are sparse products for tensors like this."""
        if x.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled(x.device.type):
            return False
        return x.device.type == "cuda" or (x.device.type == "cpu" and torch.backends.mkl.is_available())

    def read(self, order: int, x: Float[Tensor, "rows channels"]) -> Levels:
        """What each network of the state reads; ``pair`` holds a row for each pair of nodes and bucket that has it."""
        if order == 1:
            member = self._at_members @ x
            return Levels(None, member[:, None], self.group.over_block(member, self.blocks)[:, None])
        pair = x if self._copies is None else self._copies @ x
        member = self._read @ x
        block = self._over_blocks @ member
        return Levels(pair, *(level.unflatten(0, (-1, kinds)) for level, kinds in ((member, 3), (block, 2))))

    def inject(self, order: int, levels: Levels) -> Float[Tensor, "rows channels"]:
        """The mean over networks of the tensors with these values."""
        member, block = levels.member, levels.block
        if member is None:
            raise ValueError("levels must hold values on members, got None")
        if order == 1:
            return self._mean_over_members @ (member[:, 0] + block[:, 0].index_select(0, self.blocks.block))
        member = member.flatten(0, 1) + self._to_members @ block.flatten(0, 1)
        y = self._inject @ member
        if levels.pair is not None:
            y = y + self._both_ways @ levels.pair.unflatten(1, (2, -1)).flatten(0, 1)
        return y

    @cached_property
    def pair_bounds(self) -> tuple[int, ...]:
        """Where each bucket begins, and where the last ends, among the rows of ``pair``."""
        held = (self._held > 0).sum(1).cumsum(0)
        return 0, *held.tolist()

    # Rows of members are numbered 3 i + kind, with the kinds diagonal, row and column; those of blocks 2 s + kind.

    @cached_property
    def _member_rows(self) -> tuple[Tensor, Tensor]:
        """For each row of a member the pairs of nodes that it sums: one on the diagonal, then a row, then a column."""
        blocks, pair = self.blocks, self.nets.pair
        size, row = blocks.size[blocks.block], blocks.pair_row
        start = torch.arange(blocks.num_members, device=size.device) + 2 * blocks.row_start
        at_row = start[row] + 1 + torch.arange(blocks.num_pairs, device=row.device) - blocks.row_start[row]
        column = pair.new_empty(blocks.num_members + 2 * blocks.num_pairs)
        column[start] = pair[blocks.diagonal]
        column[at_row] = pair
        column[at_row + size[row]] = pair[blocks.transposed]
        return _pointer(torch.stack([torch.ones_like(size), size, size], 1).flatten()), column

    @cached_property
    def _pair_rows(self) -> tuple[Tensor, Tensor]:
        """The same from the other side: for each pair of nodes, the rows of members that it is summed by."""
        nets, blocks = self.nets, self.blocks
        kinds = torch.full_like(nets.pair, 2)
        kinds[blocks.diagonal] = 3
        kinds = kinds[nets.by_pair]
        at = torch.repeat_interleave(nets.by_pair, kinds)
        kind = torch.arange(at.numel(), device=at.device) - torch.repeat_interleave(_pointer(kinds)[:-1], kinds)
        row, col = 3 * blocks.pair_row[at] + 1, 3 * blocks.pair_col[at] + 2
        column = torch.where(kind == 0, row, torch.where(kind == 1, col, row - 1))
        each = nets.pair_count * 2
        each[nets.diagonal] += nets.node_count
        return _pointer(each), column

    @cached_property
    def _read(self) -> SparseMatrix:
        shape = (3 * self.blocks.num_members, self.nets.num_pairs)
        kinds = torch.stack([torch.ones_like(self._per_member), self._per_member, self._per_member], 1).flatten()
        (ptr, column), (turned_ptr, turned) = self._member_rows, self._pair_rows
        values = torch.repeat_interleave(kinds, ptr.diff(), output_size=column.numel())
        return SparseMatrix(_csr(ptr, column, values, shape), _csr(turned_ptr, turned, kinds[turned], shape[::-1]))

    @cached_property
    def _inject(self) -> SparseMatrix:
        shape = (self.nets.num_pairs, 3 * self.blocks.num_members)
        share = self._ones / self.nets.pair_count
        (turned_ptr, turned), (ptr, column) = self._member_rows, self._pair_rows
        values = torch.repeat_interleave(share, ptr.diff(), output_size=column.numel())
        return SparseMatrix(_csr(ptr, column, values, shape), _csr(turned_ptr, turned, share[turned], shape[::-1]))

    @cached_property
    def _block_rows(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows of members in each row of a block, and the one row of a block of each diagonal and row of a member."""
        blocks = self.blocks
        members = torch.arange(blocks.num_members, device=blocks.ptr.device)
        size = blocks.size[blocks.block]
        place = members + blocks.ptr[:-1][blocks.block]  # both kinds of a block's members, one after the other
        column = members.new_empty(2 * blocks.num_members)
        column[place], column[place + size] = 3 * members, 3 * members + 1
        each = torch.stack([blocks.size, blocks.size], 1).flatten()
        turned = torch.stack([2 * blocks.block, 2 * blocks.block + 1], 1).flatten()
        turned_each = members.new_tensor([1, 1, 0]).repeat(blocks.num_members)
        return _pointer(each), column, _pointer(turned_each), turned

    @cached_property
    def _over_blocks(self) -> SparseMatrix:
        shape = (2 * self.blocks.num_blocks, 3 * self.blocks.num_members)
        ptr, column, turned_ptr, turned = self._block_rows
        backward = self._per_member.repeat_interleave(2)
        # Both kinds of a block have as many rows of the same weight as the block has members.
        forward = backward
        return SparseMatrix(_csr(ptr, column, forward, shape), _csr(turned_ptr, turned, backward, shape[::-1]))

    @cached_property
    def _to_members(self) -> SparseMatrix:
        shape = (3 * self.blocks.num_members, 2 * self.blocks.num_blocks)
        turned_ptr, turned, ptr, column = self._block_rows
        ones = self._ones.expand(column.numel()).contiguous()
        return SparseMatrix(_csr(ptr, column, ones, shape), _csr(turned_ptr, turned, ones, shape[::-1]))

    @cached_property
    def _node_rows(self) -> tuple[Tensor, Tensor]:
        return _pointer(self.nets.node_count), self.nets.member.argsort(stable=True)

    @cached_property
    def _at_members(self) -> SparseMatrix:
        nets = self.nets
        ones = self._ones.expand(self.blocks.num_members).contiguous()
        ptr = torch.arange(self.blocks.num_members + 1, device=ones.device)
        shape = (self.blocks.num_members, nets.num_nodes)
        return SparseMatrix(_csr(ptr, nets.member, ones, shape), _csr(*self._node_rows, ones, shape[::-1]))

    @cached_property
    def _mean_over_members(self) -> SparseMatrix:
        nets = self.nets
        share = self._ones / nets.node_count
        ptr = torch.arange(self.blocks.num_members + 1, device=share.device)
        shape = (nets.num_nodes, self.blocks.num_members)
        values = torch.repeat_interleave(share, nets.node_count, output_size=self.blocks.num_members)
        return SparseMatrix(
            _csr(*self._node_rows, values, shape), _csr(ptr, nets.member, share[nets.member], shape[::-1])
        )

    @cached_property
    def _held(self) -> Tensor:
        """How many networks of each bucket hold each pair of nodes, ``[buckets, pairs]``."""
        width, buckets = self.nets.num_pairs, len(self.blocks.buckets)
        bounds = self.blocks.bounds[2]
        each = torch.tensor(bounds, device=self.nets.pair.device).diff()
        bucket = torch.repeat_interleave(each, output_size=self.blocks.num_pairs)
        return torch.bincount(bucket * width + self.nets.pair, minlength=buckets * width).view(buckets, width)

    @cached_property
    def _copy(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Bucket and pair of each row of ``pair``; and by pairs, bounds of their rows and the rows."""
        bucket, pair = self._held.nonzero().unbind(1)
        number = torch.zeros_like(self._held)
        number[bucket, pair] = torch.arange(pair.numel(), device=pair.device)
        filled = (self._held > 0).T
        return bucket, pair, _pointer(filled.sum(1)), number.T[filled]

    @cached_property
    def _copies(self) -> SparseMatrix | None:
        """From each pair of nodes to its rows, one for each bucket; none if that changes nothing."""
        _, pair, turned_ptr, turned = self._copy
        if pair.numel() == self.nets.num_pairs and bool((turned.diff() == 1).all()):
            return None
        shape = (pair.numel(), self.nets.num_pairs)
        ones = self._ones.expand(pair.numel()).contiguous()
        ptr = torch.arange(pair.numel() + 1, device=pair.device)
        return SparseMatrix(_csr(ptr, pair, ones, shape), _csr(turned_ptr, turned, ones, shape[::-1]))

    @cached_property
    def _both_ways(self) -> SparseMatrix:
        """From rows 2 v to the pair of v, and from rows 2 v + 1 to the pair turned round, by shares of networks."""
        nets = self.nets
        bucket, pair, ptr, rows = self._copy
        shape = (nets.num_pairs, 2 * pair.numel())
        other = torch.empty_like(nets.pairs)
        other[nets.pair] = nets.pair[self.blocks.transposed]
        share = self._held[bucket, pair] * (self._ones / nets.pair_count[pair])
        # A pair and the one turned round lie in the same networks, so their rows come in the same order of buckets.
        owner = torch.repeat_interleave(ptr.diff(), output_size=rows.numel())
        turned_rows = rows[ptr[other[owner]] + torch.arange(rows.numel(), device=rows.device) - ptr[owner]]
        column = torch.stack([2 * rows, 2 * turned_rows + 1], 1).flatten()
        single = torch.arange(2 * pair.numel() + 1, device=pair.device)
        return SparseMatrix(
            _csr(2 * ptr, column, share[rows].repeat_interleave(2), shape),
            _csr(single, torch.stack([pair, other[pair]], 1).flatten(), share.repeat_interleave(2), shape[::-1]),
        )


class SparseMatrix:
    """A sparse matrix with its transpose at hand, so that the gradient of a product is as cheap as the product.

    Args:
        matrix: in compressed rows.
        transposed: its transpose, in compressed rows as well.
    """

    def __init__(self, matrix: Tensor, transposed: Tensor) -> None:
        self.matrix, self.transposed = matrix, transposed

    @property
    def T(self) -> SparseMatrix:
        return SparseMatrix(self.transposed, self.matrix)

    def __matmul__(self, x: Tensor) -> Tensor:
        return _Product.apply(x, self)


def segments(owner: Tensor, each: Tensor, values: Tensor) -> SparseMatrix:
    """From each of some owners to its rows, which lie together: ``[rows, owners]``.

    Args:
        owner: of each row, ascending.
        each: how many rows an owner has.
        values: what a row is multiplied by, for each owner.
    """
    rows, shape = torch.arange(owner.numel() + 1, device=owner.device), (owner.numel(), each.numel())
    of_rows = values.index_select(0, owner)
    return SparseMatrix(_csr(rows, owner, of_rows, shape), _csr(_pointer(each), rows[:-1], of_rows, shape[::-1]))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, by: SparseMatrix) -> Tensor:
        ctx.by = by
        return by.matrix @ x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Product.apply(gradient, ctx.by.T), None


def _pointer(each: Tensor) -> Tensor:
    return torch.cat([each.new_zeros(1), each.cumsum(0)])


def _csr(ptr: Tensor, column: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        if max(column.numel(), *shape) < 2**31:
            # Half the memory traffic; beyond that entries, rows or columns have no number in 32 bits.
            ptr, column = ptr.int(), column.int()
        return torch.sparse_csr_tensor(ptr, column, values, shape, check_invariants=False)
