"""The published embedding: attention over past events (Sharma et al. 2023)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import TransformerConv
from torch_geometric.nn.models.tgn import TimeEncoder


class TemporalAttention(nn.Module):
    r"""A :class:`~torch_geometric.nn.TransformerConv` whose edges are past events.

    Nodes carry both memories, :math:`x = [P, Q]`; the edge of an event at :math:`t` from :math:`u` has the attribute
    :math:`[\phi(t_{last}(u) - t), w]`. No sign enters here.

    Args:
        in_channels: width of :math:`x`.
        out_channels: width of the embedding, a multiple of ``heads``.
        raw_msg_dim: width of :math:`w`.
        time_enc: :math:`\phi`, shared with the memory.
        heads: attention heads.
        dropout: of attention weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        raw_msg_dim: int,
        time_enc: TimeEncoder,
        *,
        heads: int = 8,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if out_channels % heads:
            raise ValueError(f"out_channels must be a multiple of heads ({heads}), got {out_channels}")
        self.time_enc = time_enc
        edge_dim = time_enc.out_channels + raw_msg_dim
        self.conv = TransformerConv(in_channels, out_channels // heads, heads, dropout=dropout, edge_dim=edge_dim)

    def reset_parameters(self) -> None:
        self.time_enc.reset_parameters()
        self.conv.reset_parameters()

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        last_update: Float[Tensor, " nodes"],
        edge_index: Int[Tensor, "2 edges"],
        t: Float[Tensor, " edges"],
        raw_msg: Float[Tensor, "edges raw"],
    ) -> Float[Tensor, "nodes out"]:
        since = (last_update[edge_index[0]] - t).to(x.dtype)
        return self.conv(x, edge_index, torch.cat([self.time_enc(since), raw_msg], dim=-1))
