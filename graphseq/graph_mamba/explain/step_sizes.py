"""The step sizes that selective scans choose: how much of each entry of a sequence they take in."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch_geometric.data import Data

from graphseq.nn import GraphModel
from graphseq.sequence import Mamba, Mamba2


def step_sizes(network: GraphModel, data: Data) -> dict[str, Float[Tensor, "entries channels"]]:
    r"""The :math:`\Delta` of every Mamba in a network, for one pass over ``data``.

    A large :math:`\Delta_t` forgets what came before and writes entry :math:`t`; with :math:`\Delta_t \to 0` the scan
    passes it by. Call ``network.eval()`` first for a result that repeats.

    Args:
        network: a :class:`GraphMamba`, or another model with Mambas in it.
        data: a graph or a batch, with whatever the network needs.

    Returns:
        By name of the module, in order of use. Rows are the entries of its sequences one after the other, in the order
        in which they stand, not that of the scan: for ``blocks.0.layers.0.mamba.back`` of a model with tokens, row
        ``v * K + k`` is token ``k`` of node ``v``, as it is for ``ahead``. Columns are inner channels; heads for
        :class:`~graphseq.sequence.Mamba2`. Passes over several orders or samplings follow each other.

    Example:
        >>> from torch_geometric.data import Data
        >>> from graphseq.graph_mamba import GraphMamba
        >>> path = Data(x=torch.randn(3, 2), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> steps = step_sizes(GraphMamba(2, 2, channels=8, layers=1).eval(), path)
        >>> {name: tuple(step.shape) for name, step in steps.items()}
        {'blocks.0.encoder.mamba.ahead': (3, 8), 'blocks.0.encoder.mamba.back': (3, 8)}
    """
    seen: dict[str, list[Tensor]] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, Mamba | Mamba2):
            source = module.x_proj if isinstance(module, Mamba) else module.in_proj
            hooks.append(source.register_forward_hook(_recorder(module, seen, name)))
    needed = {key: data[key] for key in network.needs if key in data}
    try:
        with torch.no_grad():
            network(data.x, data.edge_index, data.batch, data.edge_attr, **needed)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(steps) for name, steps in seen.items()}


def _recorder(module: Mamba | Mamba2, seen: dict[str, list[Tensor]], name: str):  # type: ignore[no-untyped-def]
    def record(projection: nn.Module, arguments: tuple, projected: Tensor) -> None:
        if isinstance(module, Mamba):
            step = module.dt_proj(projected[:, : module.dt_rank])
        else:
            step = projected[:, -module.heads :] + module.dt_bias
        seen.setdefault(name, []).append(softplus(step))

    return record
