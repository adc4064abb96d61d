"""One vector of each ego network."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import elu
from torch_geometric.nn.inits import reset

from graphseq.spen.group import Group, Symmetric
from graphseq.spen.incidence import Incidence
from graphseq.spen.layer import Widths, check_state, extract
from graphseq.spen.maps import EquivariantMap
from graphseq.spen.nets import EgoNetworks


class InvariantReadout(nn.Module):
    r"""Maps to order 0 on each network, :math:`\operatorname{elu}([L_{20} X_2 \,\|\, L_{10} X_1])`, one row a node.

    Args:
        in_channels: widths of the pairs' and the nodes' state.
        channels: width of what each map makes.
        buckets: number of size buckets.
        group: which permutations of a network change nothing.
    """

    def __init__(
        self, in_channels: tuple[int, int], channels: int, *, buckets: int = 1, group: Group | None = None
    ) -> None:
        super().__init__()
        self.in_channels, self.group = Widths(*in_channels), group or Symmetric()
        self.maps = nn.ModuleDict(
            {
                name: EquivariantMap(order, 0, width, channels, buckets=buckets, group=self.group)
                for name, order, width in zip(("pair", "node"), (2, 1), in_channels, strict=True)
                if width
            }
        )
        self.out_channels = channels * len(self.maps)

    def reset_parameters(self) -> None:
        reset(self.maps)

    def forward(
        self, pair: Float[Tensor, "pairs in2"], node: Float[Tensor, "nodes in1"] | None, nets: EgoNetworks
    ) -> Float[Tensor, "nodes out"]:
        """What each node's network comes to, in the order of the nodes."""
        check_state(pair, node, nets, self.in_channels)
        if isinstance(self.group, Symmetric) and Incidence.serves(pair):
            incidence = nets.incidence(self.group, pair.dtype)
            read = {"pair": incidence.read(2, pair)}
            if node is not None:
                read["node"] = incidence.read(1, node)
            rows = [torch.cat([layer.levels(read[name], nets.blocks).block[:, 0] for name, layer in self._maps()], 1)]
        else:
            rows = []
            for part in nets.parts:
                state = dict(zip(("pair", "node"), extract(pair, node, part), strict=True))
                rows.append(torch.cat([layer(state[name], part.blocks) for name, layer in self._maps()], 1))
        return elu(torch.cat(rows)).index_select(0, nets.root.argsort())

    def _maps(self) -> list[tuple[str, EquivariantMap]]:
        return [(name, cast(EquivariantMap, layer)) for name, layer in self.maps.items()]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({tuple(self.in_channels)} -> {self.out_channels})"
