"""The first state: a graph's structure and features as one tensor on pairs of nodes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import degree, scatter

from graphseq.nn import CategoricalEncoder
from graphseq.nn.encoders import as_columns, check_real
from graphseq.spen.nets import EgoNetworks


class PairFeatures(MessagePassing):
    r"""A tensor of order 2 from adjacency, node features and edge features.

    The normalised adjacency :math:`D^{-1/2} A D^{-1/2}` stands in one channel and in each channel of the node
    features, which stand on the diagonal, as in the paper's code; edge features, of which the paper has none, stand at
    their edges in channels of their own. Real features are taken as they are, integer ones are embedded.

    Args:
        in_channels: number of real node features; for integer features, the categories of each column.
        edge_channels: as ``in_channels``, for edges; ``None`` without edge features.
        channels: width of embeddings.
        read_nodes: whether node features are read at all; the paper's models of graphs without labels see the
            adjacency alone.

    PyG's explainers find these features: a mask of edges multiplies what stands at each edge, and leaves degrees alone.

    Edges that share no network (see ``max_size`` of :func:`ego_networks`) are left out.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        edge_channels: int | Sequence[int] | None = None,
        *,
        channels: int = 16,
        read_nodes: bool = True,
    ) -> None:
        super().__init__()
        self.nodes, self.node_width = _encoder(in_channels if read_nodes else 0, channels, "x")
        self.edges, self.edge_width = _encoder(0 if edge_channels is None else edge_channels, channels, "edge_attr")
        self.out_channels = 1 + self.node_width + self.edge_width

    def forward(
        self,
        x: Tensor,
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Tensor | None,
        nets: EgoNetworks,
    ) -> Float[Tensor, "pairs channels"]:
        if x.dim() != 2:
            raise ValueError(f"x must have shape [nodes, features], got {list(x.shape)}")
        source, target = edge_index
        nodes = self.nodes(x) if self.node_width else x.new_zeros(x.shape[0], 0, dtype=_floating(x))
        # At least single precision: two degrees of 256 have a product that half precision does not hold.
        counted = torch.promote_types(nodes.dtype, torch.float32)
        out_degree, in_degree = (degree(end, x.shape[0], counted) for end in edge_index)
        weight = (out_degree[source] * in_degree[target]).rsqrt().to(nodes.dtype)
        at_edges = [weight[:, None].expand(-1, 1 + self.node_width)]
        if self.edge_width:
            if edge_attr is None:
                raise ValueError("edge_attr must be given, since the model was made with edge_channels, got None")
            at_edges.append(self.edges(as_columns("edge_attr", edge_attr)))
        place, found = nets.find(source, target)
        entries = torch.cat(at_edges, 1)
        if self.explain:
            entries = self.explain_message(entries, x.shape[0])
        pair = scatter(entries[found], place, dim=0, dim_size=nets.num_pairs)
        return pair.index_add(0, nets.diagonal, pad(nodes, (1, self.edge_width)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nodes={self.node_width}, edges={self.edge_width})"


class _AsTheyAre(nn.Module):
    """Real features, whose number is looked at."""

    def __init__(self, in_channels: int, argument: str) -> None:
        super().__init__()
        self.in_channels, self.argument = in_channels, argument

    def forward(self, features: Tensor) -> Tensor:
        check_real(self.argument, features, self.in_channels)
        return features


def _encoder(in_channels: int | Sequence[int], channels: int, argument: str) -> tuple[nn.Module, int]:
    if isinstance(in_channels, int):
        return _AsTheyAre(in_channels, argument), in_channels
    return CategoricalEncoder(in_channels, channels, argument), channels


def _floating(x: Tensor) -> torch.dtype:
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()
