"""Any of PyG's convolutions with a residual around it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, relu
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import reset

from graphseq.nn.check import check_pairs, check_vectors
from graphseq.nn.norm import node_norm


class ResidualConv(nn.Module):
    r"""A convolution with a residual.

    .. math::
        x \leftarrow x + \operatorname{drop}(\operatorname{relu}(\operatorname{norm}(\operatorname{conv}(x, e))))

    Args:
        channels: width.
        conv: makes the convolution, called as ``conv(channels, channels)``, such as
            :class:`torch_geometric.nn.SAGEConv`.
        edges: whether the convolution takes edge vectors as its third argument.
        dropout: on what is added.
        norm: ``"batch_norm"`` or ``"layer_norm"``.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> x, edge_attr = ResidualConv(8, SAGEConv)(torch.randn(3, 8), torch.tensor([[0, 1], [1, 2]]))
        >>> x.shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        channels: int,
        conv: Callable[[int, int], MessagePassing],
        *,
        edges: bool = False,
        dropout: float = 0.0,
        norm: str = "batch_norm",
    ) -> None:
        super().__init__()
        self.channels, self.edges, self.dropout = channels, edges, dropout
        self.conv = conv(channels, channels)
        self.norm = node_norm(norm, channels)

    @property
    def reads_edges(self) -> bool:
        """Whether the vectors of edges have any effect."""
        return self.edges

    def reset_parameters(self) -> None:
        reset(self.conv)
        reset(self.norm)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges channels"] | None = None,
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "edges channels"] | None]:
        """New vectors of the nodes; those of the edges stay.

        ``edge_index`` may be whatever the convolution takes, an adjacency matrix of PyG's among it.

        Raises:
            ValueError: if ``x`` or, where they are read, ``edge_attr`` have another width or device.
            TypeError: if one of them has another dtype or is no dense tensor, such as edge vectors that are missing.
        """
        weight = next(self.norm.parameters())
        check_vectors("x", x, self.channels, weight)
        if isinstance(edge_index, Tensor) and edge_index.layout is torch.strided:
            check_pairs("edge_index", edge_index, x)
        if self.edges:
            check_vectors("edge_attr", edge_attr, self.channels, weight)  # type: ignore[arg-type]
        h = self.conv(x, edge_index, edge_attr) if self.edges else self.conv(x, edge_index)
        return x + dropout(relu(self.norm(h)), self.dropout, self.training), edge_attr
