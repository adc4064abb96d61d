"""Square blocks of many sizes, one after another: the flat layout of all that lives on subgraphs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor


class Blocks:
    r"""Sets of :math:`m_1, m_2, \dots` members, and on each set values of order 0, 1 and 2 without padding.

    =======  ====================  =========================================================================
    order    rows                  row of
    =======  ====================  =========================================================================
    0        ``num_blocks``        block :math:`s`
    1        ``num_members``       member :math:`i` of block :math:`s`, at ``ptr[s] + i``
    2        ``num_pairs``         pair :math:`(i, j)` of block :math:`s`, at ``pair_ptr[s] + i m_s + j``
    =======  ====================  =========================================================================

    Args:
        ptr: bounds of the blocks among the members, ``[num_blocks + 1]``, from 0; empty blocks are allowed.
        root: one member of each block that is told apart from the others, as a row of order 1.
        buckets: how many blocks, from the first on, share the first set of weights, how many the second, and so on;
            all blocks share one if not given.

    Raises:
        ValueError: if ``ptr`` does not start at 0 or decreases, a root is not in its block, or ``buckets`` do not add
            up to the number of blocks.

    Example:
        >>> blocks = Blocks(torch.tensor([0, 2, 3]))
        >>> blocks
        Blocks(num_blocks=2, num_members=3, num_pairs=5)
        >>> blocks.pair_row, blocks.pair_col
        (tensor([0, 0, 1, 1, 2]), tensor([0, 1, 0, 1, 2]))
    """

    def __init__(
        self,
        ptr: Int[Tensor, " bounds"],
        root: Int[Tensor, " blocks"] | None = None,
        buckets: Sequence[int] | None = None,
    ) -> None:
        if ptr.dim() != 1 or ptr.numel() == 0 or int(ptr[0]) != 0 or bool((ptr.diff() < 0).any()):
            raise ValueError(f"ptr must start at 0 and not decrease, got {ptr.tolist()}")
        self.ptr, self.root = ptr, root
        self.buckets = (self.num_blocks,) if buckets is None else tuple(buckets)
        if sum(self.buckets) != self.num_blocks:
            raise ValueError(f"buckets must add up to {self.num_blocks} blocks, got {list(self.buckets)}")
        if root is not None and (
            list(root.shape) != [self.num_blocks] or bool(((root < ptr[:-1]) | (root >= ptr[1:])).any())
        ):
            raise ValueError(f"root must hold a member of each of {self.num_blocks} blocks, got {root.tolist()}")

    @property
    def num_blocks(self) -> int:
        """Rows of order 0."""
        return self.ptr.numel() - 1

    @cached_property
    def num_members(self) -> int:
        """Rows of order 1."""
        return int(self.ptr[-1])

    @cached_property
    def num_pairs(self) -> int:
        """Rows of order 2."""
        return int(self.pair_ptr[-1])

    @cached_property
    def size(self) -> Tensor:
        """Members of each block."""
        return self.ptr.diff()

    @cached_property
    def pair_ptr(self) -> Tensor:
        """Bounds of the blocks among the pairs."""
        return torch.cat([self.ptr[:1], self.size.square().cumsum(0)])

    @cached_property
    def block(self) -> Tensor:
        """Block of each member."""
        return torch.repeat_interleave(self.size, output_size=self.num_members)

    @cached_property
    def pair_row(self) -> Tensor:
        """Member :math:`i` of each pair :math:`(i, j)`, ascending."""
        return torch.repeat_interleave(self.size[self.block], output_size=self.num_pairs)

    @cached_property
    def pair_col(self) -> Tensor:
        """Member :math:`j` of each pair :math:`(i, j)`."""
        row = self.pair_row
        start = self.row_start[row]
        return self.ptr[self.block[row]] + torch.arange(self.num_pairs, device=row.device) - start

    @cached_property
    def transposed(self) -> Tensor:
        """Where each pair :math:`(i, j)` finds :math:`(j, i)`."""
        return self.row_start[self.pair_col] + self._within[self.pair_row]

    @cached_property
    def diagonal(self) -> Tensor:
        """Where each member :math:`i` finds :math:`(i, i)`."""
        return self.row_start + self._within

    @cached_property
    def bounds(self) -> dict[int, tuple[int, ...]]:
        """Where each bucket begins, and where the last ends, among the rows of each order; on the host."""
        blocks = [0, *accumulate(self.buckets)]
        return {
            0: tuple(blocks),
            1: tuple(self.ptr[blocks].tolist()),
            2: tuple(self.pair_ptr[blocks].tolist()),
        }

    @cached_property
    def is_root(self) -> Tensor:
        """Whether a member is the root of its block."""
        mask = torch.zeros(self.num_members, dtype=torch.bool, device=self.ptr.device)
        mask[self.checked_root] = True
        return mask

    @cached_property
    def around_root(self) -> AroundRoot:
        """The blocks without their roots, and where what belongs to roots is found."""
        at_row, at_col = self.is_root[self.pair_row], self.is_root[self.pair_col]
        rest = Blocks(self.ptr - torch.arange(self.num_blocks + 1, device=self.ptr.device), None, self.buckets)
        places = [~at_row & ~at_col, at_row & ~at_col, ~at_row & at_col, at_row & at_col]
        pairs, rows, columns, roots = (place.nonzero().flatten() for place in places)
        return AroundRoot(rest, (~self.is_root).nonzero().flatten(), pairs, rows, columns, roots)

    @cached_property
    def _within(self) -> Tensor:
        return torch.arange(self.num_members, device=self.ptr.device) - self.ptr[self.block]

    @cached_property
    def row_start(self) -> Tensor:
        """Where each member's row of pairs begins."""
        return self.pair_ptr[self.block] + self._within * self.size[self.block]

    @property
    def checked_root(self) -> Tensor:
        """The roots; asking for them where there are none is an error."""
        if self.root is None:
            raise ValueError("root must be given to the blocks, since the maps treat it on its own, got None")
        return self.root

    def __repr__(self) -> str:
        sizes = f"num_blocks={self.num_blocks}, num_members={self.num_members}, num_pairs={self.num_pairs}"
        return f"{type(self).__name__}({sizes})"


class AroundRoot(NamedTuple):
    """Blocks split at their roots: what is left of a block has one member less."""

    rest: Blocks
    """The blocks without their roots."""
    members: Tensor
    """Rows of order 1 that are no root, in the order of ``rest``."""
    pairs: Tensor
    """Rows of order 2 without a root, in the order of ``rest``."""
    rows: Tensor
    """Rows of order 2 from the root to each other member."""
    columns: Tensor
    """Rows of order 2 from each other member to the root."""
    roots: Tensor
    """Row of order 2 from each root to itself."""
