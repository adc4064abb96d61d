"""Gated graph convolution (Bresson & Laurent 2017, in the form of Dwivedi et al. 2020 and GraphGPS)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, relu
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.inits import reset
from torch_geometric.utils import scatter

from graphseq.nn.check import check_pairs, check_rows, check_vectors
from graphseq.nn.norm import node_norm


class GatedGCN(MessagePassing):
    r"""Convolution whose edges gate what they carry, and are updated with the nodes.

    For an edge :math:`j \to i`, with :math:`\epsilon = 10^{-6}`:

    .. math::
        e'_{ij} &= D x_i + E x_j + C e_{ij}, \qquad g_{ij} = \sigma(e'_{ij}) \\
        x'_i &= A x_i + \frac{\sum_j g_{ij} \odot B x_j}{\sum_j g_{ij} + \epsilon} \\
        x &\leftarrow x + \operatorname{relu}(\operatorname{norm}(x')), \qquad
        e \leftarrow e + \operatorname{relu}(\operatorname{norm}(e'))

    PyG's ``ResGatedGraphConv`` has neither the normalised gate nor the edge update. PyG's explainers find this
    convolution: an edge mask multiplies :math:`g_{ij} \odot B x_j`, what the edge carries, and leaves the sum of gates.

    Args:
        channels: width of nodes and edges.
        dropout: applied to both updates.
        norm: ``"batch_norm"`` or ``"layer_norm"``.
    """

    def __init__(self, channels: int, *, dropout: float = 0.0, norm: str = "batch_norm") -> None:
        super().__init__()
        self.channels, self.dropout = channels, dropout
        # A, B, D and E act on the nodes alone: one product.
        self.nodes = nn.Linear(channels, 4 * channels)
        self.edges = nn.Linear(channels, channels)
        self.node_norm = node_norm(norm, channels)
        self.edge_norm: nn.Module | None = node_norm(norm, channels)
        self.register_load_state_dict_pre_hook(_without_edge_norm)

    def leave_edges(self) -> None:
        """Return edges as they came from now on: for the last layer, whose edges nobody reads.

        What updates them would have parameters without a gradient, which training on several processes refuses.
        """
        self.edge_norm = None

    def reset_parameters(self) -> None:
        for layer in (self.nodes, self.edges, self.node_norm, self.edge_norm):
            reset(layer)

    def forward(
        self,
        x: Float[Tensor, "nodes channels"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges channels"],
    ) -> tuple[Float[Tensor, "nodes channels"], Float[Tensor, "edges channels"]]:
        """New vectors of the nodes and of the edges.

        Whether edges name nodes that are there is looked at on the CPU alone, where it costs no wait for a device and
        a negative number would be taken to count from the end; a model looks once for all its layers.

        Raises:
            ValueError: if shapes or devices do not fit, or an edge names a node that is not there.
            TypeError: if a dtype does not fit, or an argument is no dense tensor.
        """
        check_vectors("x", x, self.channels, self.nodes.weight)
        check_pairs("edge_index", edge_index, x, read=x.device.type == "cpu")
        check_vectors("edge_attr", edge_attr, self.channels, self.edges.weight)
        check_rows("edge_attr", edge_attr, edge_index.shape[1], "edges of edge_index")
        source, target = edge_index
        own, carried, at_target, at_source = self.nodes(x).chunk(4, dim=-1)
        e = at_target[target] + at_source[source] + self.edges(edge_attr)
        gate = torch.sigmoid(e)
        message = gate * carried[source]
        if self.explain:
            message = self.explain_message(message, x.shape[0])
        both = torch.cat([message, gate], dim=-1)
        message, total = scatter(both, target, dim=0, dim_size=x.shape[0], reduce="sum").chunk(2, dim=-1)
        x_new = own + message / (total + 1e-6)
        x = x + dropout(relu(self.node_norm(x_new)), self.dropout, self.training)
        if self.edge_norm is not None:
            edge_attr = edge_attr + dropout(relu(self.edge_norm(e)), self.dropout, self.training)
        return x, edge_attr

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels})"


def _without_edge_norm(module: GatedGCN, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Checkpoints from before :meth:`GatedGCN.leave_edges` hold the norm of edges that nobody read."""
    if module.edge_norm is None:
        for key in [key for key in state if key.startswith(f"{prefix}edge_norm.")]:
            del state[key]
