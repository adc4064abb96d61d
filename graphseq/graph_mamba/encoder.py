"""The sequence encoders of a Graph Mamba layer: what mixes nodes once they are in order."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from graphseq.scan import Ragged
from graphseq.sequence import BiMamba, Mamba


class BiMambaEncoder(nn.Module):
    r"""Bidirectional selective encoder, :math:`x + \operatorname{BiMamba}(\operatorname{LN}(x))`.

    Algorithm 2 of Behrouz & Hashemi 2024. The residual and the dropout before it are ours; the paper prints none.

    Args:
        channels: width.
        dropout: on what is added.
        mamba: further arguments of :class:`~graphseq.sequence.BiMamba`.
    """

    def __init__(self, channels: int, *, dropout: float = 0.0, **mamba: int | float | bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mamba = BiMamba(channels, **mamba)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        self.norm.reset_parameters()
        self.mamba.reset_parameters()

    def forward(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        return x + self.dropout(self.mamba(self.norm(x), topology))


class MambaEncoder(nn.Module):
    r"""One direction, no norm before it: :math:`x + \operatorname{Mamba}(x)` (Wang et al. 2024, "Graph-Mamba").

    Args:
        channels: width.
        dropout: on what is added.
        mamba: further arguments of :class:`~graphseq.sequence.Mamba`.
    """

    def __init__(self, channels: int, *, dropout: float = 0.0, **mamba: int | float | bool) -> None:
        super().__init__()
        self.mamba = Mamba(channels, **mamba)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        self.mamba.reset_parameters()

    def forward(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        return x + self.dropout(self.mamba(x, topology))
