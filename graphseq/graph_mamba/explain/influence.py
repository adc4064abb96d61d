"""How much what a network says of one node depends on every other, and how far away those are."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from scipy.sparse.csgraph import shortest_path
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_scipy_sparse_matrix

from graphseq.nn import GraphModel


def influence(network: nn.Module, data: Data, targets: Int[Tensor, " targets"]) -> Float[Tensor, "targets nodes"]:
    r"""Size of the derivative of each target's output with respect to the features of each node.

    .. math::
        I_{vu} = \Bigl\lVert \frac{\partial y_v}{\partial x_u} \Bigr\rVert_F

    The network is run as it stands: call ``network.eval()`` first for a result that repeats. Where its output is not
    one row a node, as of a :class:`~graphseq.nn.GraphModel` of level ``"graph"``, :math:`y_v` is the vector of the node
    that enters the head. Where features are integers, :math:`x_u` is what the model's encoder makes of them.

    Args:
        network: called as ``network(x, edge_index, batch, edge_attr, **needs)`` if it is a ``GraphModel``, otherwise as
            ``network(x, edge_index)``, like the models of PyG.
        data: a graph or a batch, with whatever the network needs.
        targets: the nodes :math:`v`.

    Raises:
        ValueError: if the output has no row a node, or ``x`` is of integers and the network no ``GraphModel``.

    Cost: a backward pass for each target and each column of the output.
    """
    inputs: list[Tensor] = []
    if data.x.is_floating_point():
        x = data.x.detach().clone().requires_grad_()
        inputs.append(x)
        output = _node_output(network, data, x)
    elif isinstance(network, GraphModel):

        def keep(module: nn.Module, arguments: tuple, encoded: Tensor) -> Tensor:
            inputs.append(encoded.detach().requires_grad_())
            return inputs[0]

        with network.node_encoder.register_forward_hook(keep):
            output = _node_output(network, data, data.x)
    else:
        raise ValueError(f"data must have real features x for a {type(network).__name__}, got {data.x.dtype}")
    if output.dim() != 2 or output.shape[0] != data.num_nodes:
        raise ValueError(f"network must return a row for each of {data.num_nodes} nodes, got {list(output.shape)}")
    rows = []
    for target in targets.tolist():
        squared = inputs[0].new_zeros(inputs[0].shape[0])
        for column in output[target]:
            (gradient,) = torch.autograd.grad(column, inputs[0], retain_graph=True)
            squared += gradient.square().flatten(1).sum(1)
        rows.append(squared.sqrt())
    return torch.stack(rows)


def _node_output(network: nn.Module, data: Data, x: Tensor) -> Tensor:
    if not isinstance(network, GraphModel):
        return network(x, data.edge_index)
    vectors: list[Tensor] = []
    needed = {key: data[key] for key in network.needs if key in data}
    with network.head.register_forward_pre_hook(lambda head, arguments: vectors.append(arguments[0])):
        output = network(x, data.edge_index, data.batch, data.edge_attr, **needed)
    # Several samplings of tokens are several passes through the head.
    return output if network.level == "node" else torch.stack(vectors).mean(0)


def hop_distance(
    edge_index: Int[Tensor, "2 edges"], num_nodes: int, targets: Int[Tensor, " targets"]
) -> Int[Tensor, "targets nodes"]:
    """Fewest edges from each node to each target, along their direction; -1 where there is no way.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> hop_distance(path, 4, torch.tensor([0]))
        tensor([[ 0,  1,  2, -1]])
    """
    backwards = to_scipy_sparse_matrix(edge_index.flip(0).cpu(), num_nodes=num_nodes)
    hops = torch.from_numpy(shortest_path(backwards, unweighted=True, indices=targets.cpu().numpy()))
    return hops.nan_to_num(posinf=-1).long().to(edge_index.device)


def influence_by_distance(
    influence: Float[Tensor, "targets nodes"], distance: Int[Tensor, "targets nodes"]
) -> Float[Tensor, " distances"]:
    r"""Mean influence of a node at each distance, as a share of the whole influence on the target.

    .. math::
        s_d = \operatorname*{mean}_{(v, u) \,:\, \operatorname{dist}(u, v) = d} \; \frac{I_{vu}}{\sum_w I_{vw}}

    Nodes without a way to the target count in the sum alone.
    """
    # In double precision: a sum of ones stops at 2^24 in single precision, and at 2^11 or before in half precision.
    share = influence.double()
    share = share / share.sum(1, keepdim=True).clamp(min=torch.finfo(influence.dtype).tiny)
    there = distance >= 0
    count = torch.bincount(distance[there])
    total = share.new_zeros(count.numel()).index_add(0, distance[there], share[there])
    return (total / count).to(influence.dtype)


def effective_reach(influence: Float[Tensor, "targets nodes"], distance: Int[Tensor, "targets nodes"]) -> float:
    r"""Mean distance from which influence comes, in edges: :math:`\sum_u I_{vu} d_{uv} / \sum_u I_{vu}`.

    The sums are over nodes with a way to the target, and the mean is over targets.

    Example:
        >>> effective_reach(torch.tensor([[2.0, 1.0, 1.0]]), torch.tensor([[0, 1, 3]]))
        1.0
    """
    weight = influence * (distance >= 0)
    return float(((weight * distance).sum(1) / weight.sum(1)).mean())
