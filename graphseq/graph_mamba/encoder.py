"""The sequence encoders of a Graph Mamba layer: what mixes nodes once they are in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphseq.nn.check import check_vectors
from graphseq.scan import Ragged
from graphseq.sequence import BiMamba, Mamba, SequenceLayer


def given(**sizes: int | float | None) -> dict[str, Any]:
    """Those that are not ``None``; the others stay what the block makes of them."""
    return {name: size for name, size in sizes.items() if size is not None}


class BiMambaEncoder(nn.Module):
    r"""Bidirectional selective encoder, :math:`x + \operatorname{BiMamba}(\operatorname{LN}(x))`.

    Algorithm 2 of Behrouz & Hashemi 2024. The residual and the dropout before it are ours; the paper prints none.

    Args:
        channels: width.
        dropout: on what is added.
        mamba: further arguments of :class:`~graphseq.sequence.BiMamba`, its ``block`` among them.
    """

    def __init__(self, channels: int, *, dropout: float = 0.0, **mamba: Any) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = BiMamba(channels, **mamba)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        self.norm.reset_parameters()
        reset(self.mamba)

    def forward(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        check_vectors("x", x, self.mamba.channels, self.norm.weight)
        return x + self.dropout(self.mamba(self.norm(x), topology))


class MambaEncoder(nn.Module):
    r"""One direction, :math:`x + \operatorname{Mamba}(\operatorname{LN}(x))`.

    Args:
        channels: width.
        dropout: on what is added.
        norm: whether there is the norm, LN, which Wang et al. 2024 ("Graph-Mamba") do without.
        reverse: scan against the order.
        block: what makes the sequence model, called as ``block(channels, **mamba)``.
        mamba: further arguments of ``block``.
    """

    def __init__(
        self,
        channels: int,
        *,
        dropout: float = 0.0,
        norm: bool = True,
        reverse: bool = False,
        block: Callable[..., SequenceLayer] = Mamba,
        **mamba: int | float | bool,
    ) -> None:
        super().__init__()
        self.reverse = reverse
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.mamba = block(channels, **mamba)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        reset(self.norm)
        reset(self.mamba)

    def forward(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        if isinstance(self.norm, nn.LayerNorm):
            check_vectors("x", x, self.mamba.channels, self.norm.weight)
        along = topology.reverse() if self.reverse else topology
        return x + self.dropout(self.mamba(self.norm(x), along))
