"""Linear maps between tensors of orders 0, 1 and 2 that commute with permutations (Maron et al. 2019), on blocks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.spen.blocks import Blocks
from graphseq.spen.group import Group, Levels, Symmetric


class EquivariantMap(nn.Module):
    r"""The general linear map from order :math:`k` to order :math:`l` that commutes with a group of permutations.

    .. math::
        Y = \sum_b \operatorname{op}_b(X)\, W_b + \beta

    with the operations of ``group``, one weight matrix each, and as bias :math:`\beta` every constant that the group
    leaves in place. Nothing is computed operation by operation: what is read off :math:`X` on each level (pairs,
    members, blocks) takes one matrix product there. From order 2 to 2 that is one product at the size of the pairs,
    of twice the output's width, instead of fifteen.

    Blocks of different buckets have different weights, see :class:`Blocks`.

    Args:
        in_order: 0, 1 or 2.
        out_order: 0, 1 or 2.
        in_channels: width of the input.
        out_channels: width of the output.
        buckets: number of sets of weights.
        group: which permutations, all of them if not given.
        bias: whether there is a bias.

    Raises:
        ValueError: if an order is not 0, 1 or 2, or a number is below 1.

    Example:
        >>> blocks = Blocks(torch.tensor([0, 2, 5]))
        >>> EquivariantMap(2, 1, 4, 8)(torch.randn(2 * 2 + 3 * 3, 4), blocks).shape
        torch.Size([5, 8])

    Cost: :math:`O(\sum m^2)` for order 2, in time and memory.
    """

    _by_level: Tensor

    def __init__(
        self,
        in_order: int,
        out_order: int,
        in_channels: int,
        out_channels: int,
        *,
        buckets: int = 1,
        group: Group | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        for name, order in (("in_order", in_order), ("out_order", out_order)):
            if order not in (0, 1, 2):
                raise ValueError(f"{name} must be 0, 1 or 2, got {order}")
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("buckets", buckets)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.in_order, self.out_order = in_order, out_order
        self.in_channels, self.out_channels, self.buckets = in_channels, out_channels, buckets
        self.group: Group = Symmetric() if group is None else group
        self.basis = self.group.basis(in_order, out_order)
        rows = [self.basis.pair, *self.basis.member, *self.basis.block]
        by_level = torch.tensor([coefficient for row in rows for coefficient in row])
        self.register_buffer("_by_level", by_level, persistent=False)
        slots = self.group.numbers(out_order)
        self.weight = nn.Parameter(torch.empty(buckets, self.basis.size, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(buckets, slots.block, out_channels)) if bias else None
        marked = bias and self.group.marks and slots.member > 0
        self.root_bias = nn.Parameter(torch.empty(buckets, slots.member, out_channels)) if marked else None
        # Biases are shaped like matrices, but are none.
        for vector in (self.bias, self.root_bias):
            if vector is not None:
                vector._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal weights of deviation :math:`\\sqrt{2 / (C_{in} + C_{out})}` for each operation; the bias is zero.

        The root's own bias stands for weights of an indicator, and begins like them: at zero it would mark nothing.
        """
        deviation = math.sqrt(2 / (self.in_channels + self.out_channels))
        nn.init.normal_(self.weight, std=deviation)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.root_bias is not None:
            nn.init.normal_(self.root_bias, std=deviation)

    def forward(self, x: Float[Tensor, "rows in"], blocks: Blocks) -> Float[Tensor, "out_rows out"]:
        """Map.

        Args:
            x: a row for each block, member or pair, as the order of the input says.
            blocks: where they belong.

        Raises:
            ValueError: if ``x`` or the buckets do not fit.
        """
        rows = (blocks.num_blocks, blocks.num_members, blocks.num_pairs)[self.in_order]
        if list(x.shape) != [rows, self.in_channels]:
            raise ValueError(f"x must have shape [{rows}, {self.in_channels}], got {list(x.shape)}")
        return self.spread(self.group.read(self.in_order, x, blocks), blocks)

    def spread(self, read: Levels, blocks: Blocks) -> Tensor:
        """The map of what has been read already, so that several maps of one tensor share the reading."""
        return self.group.spread(self.out_order, self.levels(read, blocks), blocks)

    def levels(self, read: Levels, blocks: Blocks, pair_bounds: tuple[int, ...] | None = None) -> Levels:
        """What is to be spread, from what has been read.

        Args:
            read: values on each level.
            blocks: where they belong.
            pair_bounds: where each bucket begins, and the last ends, among the values on pairs, if these are not the
                pairs of the blocks.
        """
        if len(blocks.buckets) != self.buckets:
            raise ValueError(f"blocks must come in {self.buckets} buckets, got {len(blocks.buckets)}")
        domain = self.group.domain(blocks)
        pair_weight, member_weight, block_weight = self._weights()
        block = _product(read.block, block_weight, domain.bounds[0], self.out_channels)
        if self.bias is not None:
            block = block + _of_bucket(self.bias, domain)
        if self.out_order == 0:
            return Levels(None, None, block)
        if self.basis.member and read.member is not None:
            member = _product(read.member, member_weight, domain.bounds[1], self.out_channels)
        else:
            kinds = self.group.numbers(self.out_order).member
            member = block.new_zeros(domain.num_members, kinds, self.out_channels)
        if self.root_bias is not None:
            at_root = _of_bucket(self.root_bias, blocks).index_select(0, blocks.block)
            member = member + at_root * blocks.is_root[:, None, None]
        if not self.basis.pair or read.pair is None:
            return Levels(None, member, block)
        return Levels(bucketed_product(read.pair, pair_weight, pair_bounds or domain.bounds[2]), member, block)

    def _weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """The weights of each level as one matrix a bucket, from all values read to all that are spread."""
        tables = ([self.basis.pair] if self.basis.pair else [], self.basis.member, self.basis.block)
        parts = self.weight.index_select(1, self._by_level).split([sum(map(len, table)) for table in tables], 1)
        pair, member, block = (
            part.unflatten(1, (max(len(table), 1), -1)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
            for part, table in zip(parts, tables, strict=True)
        )
        return pair, member, block

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_order} -> {self.out_order}, {self.in_channels} -> {self.out_channels}, "
            f"operations={self.basis.size}, buckets={self.buckets}, {self.group!r})"
        )


def bucketed_product(
    x: Float[Tensor, "rows in"], weight: Float[Tensor, "buckets in out"], bounds: tuple[int, ...]
) -> Float[Tensor, "rows out"]:
    """Multiply the rows of each bucket, which lie together, by the matrix of the bucket."""
    if weight.shape[0] == 1:
        return x @ weight[0]
    return _BucketedProduct.apply(x, weight, bounds)


class _BucketedProduct(torch.autograd.Function):
    """Products straight into their places: a slice each, and the pieces put together, would cost more than they do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bounds: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bounds = bounds
        out = x.new_empty(x.shape[0], weight.shape[2])
        for number, (first, last) in enumerate(pairwise(bounds)):
            if first < last:
                torch.mm(x[first:last], weight[number], out=out[first:last])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _BucketedProduct.apply(gradient, weight.transpose(1, 2), ctx.bounds)
        if ctx.needs_input_grad[1]:
            pieces = pairwise(ctx.bounds)
            to_weight = torch.stack([x[first:last].T @ gradient[first:last] for first, last in pieces])
        return to_x, to_weight, None


def _product(values: Tensor, matrix: Tensor, bounds: tuple[int, ...], channels: int) -> Tensor:
    return bucketed_product(values.flatten(1), matrix, bounds).unflatten(1, (-1, channels))


def _of_bucket(vectors: Tensor, blocks: Blocks) -> Tensor:
    """The vectors of each block's bucket, ``[blocks, kinds, channels]``."""
    if vectors.shape[0] == 1:
        return vectors.expand(blocks.num_blocks, -1, -1)
    repeats = torch.tensor(blocks.buckets, device=vectors.device)
    return vectors.repeat_interleave(repeats, 0, output_size=blocks.num_blocks)
