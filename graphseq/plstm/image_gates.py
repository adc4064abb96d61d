"""The gates on grids: how each cell shares out what it gets between the row and the column."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.plstm.gates import GateMap, Gates

_WAYS = 4
Cells = Float[Tensor, "batch height width channels"]


class _ImageGates(nn.Module):
    """Maps that give gates of each direction and head, the direct one of each head alone."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.channels, self.heads = channels, heads
        self.direct = GateMap(channels, heads, -6.0)

    def reset_parameters(self) -> None:
        for gate in self.children():
            gate.reset_parameters()  # type: ignore[operator]

    def _map(self, start: float) -> GateMap:
        return GateMap(self.channels, _WAYS * self.heads, start)

    def _ways(self, gates: Tensor) -> Tensor:
        """``[..., 4 · heads]`` as ``[4, ..., heads]``."""
        return gates.unflatten(-1, (_WAYS, self.heads)).movedim(-2, 0)

    def _open(self, gate: GateMap, x: Tensor) -> Tensor:
        return self._ways(torch.sigmoid(gate(x)))


class ImagePropagation(_ImageGates):
    r"""P-mode: each head has an orientation :math:`o`, the share that moves along the row.

    .. math::
        S = (o \, s,\; (1 - o) \, s), \qquad
        T_{\cdot \to \text{row}} = o \, \tau, \quad T_{\cdot \to \text{column}} = (1 - o) \, \tau, \qquad
        o = \sigma\bigl(b_o + \tfrac{1}{2 d} w_o^\top x\bigr), \quad \tau = \sigma(10 z)

    for both edges that enter, with the same mark for both. What enters a cell by one edge is split with weights that
    add up to :math:`\tau \le 1`, so in one direction of the grid no cell gains more than 1 on any other, whatever the
    parameters. The released code (:class:`ReleasedImagePropagation`) gives :math:`1 - o \tau` to the column.

    Args:
        channels: width of the input.
        heads: number of heads; their orientations start evenly spread over logits from -2 to 2.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.source, self.mark, self.transition = self._map(-4.0), self._map(-4.0), self._map(1.0)
        self.orientation = GateMap(channels, _WAYS * heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        with torch.no_grad():
            self.orientation.bias.copy_(torch.linspace(-2, 2, self.heads).repeat(_WAYS))

    def forward(self, x: Cells) -> Gates:
        logit = nn.functional.linear(x, self.orientation.weight) * 0.5 / self.channels + self.orientation.bias
        along = self._ways(torch.sigmoid(logit))
        source, mark = self._open(self.source, x), self._open(self.mark, x)
        leaving = torch.stack(self.split(source, along), 1)
        passing = torch.stack(self.split(self.passed(self._ways(self.transition(x))), along), 1)
        return Gates(
            leaving,
            torch.stack([passing, passing], 1),
            torch.stack([mark, mark], 1),
            torch.sigmoid(self.direct(x)),
        )

    @staticmethod
    def passed(z: Tensor) -> Tensor:
        return torch.sigmoid(10 * z)

    @staticmethod
    def split(gate: Tensor, along: Tensor) -> list[Tensor]:
        return [along * gate, (1 - along) * gate]


class ReleasedImagePropagation(ImagePropagation):
    r"""P-mode as released: :math:`\tau = \tanh(5 z)`, the row gets :math:`o \, \tau` and the column the rest of 1.

    So a closed source sends nearly all along the column, and with a negative :math:`\tau` gains can exceed 1.

    Args:
        channels: width of the input.
        heads: number of heads.
    """

    @staticmethod
    def passed(z: Tensor) -> Tensor:
        return torch.tanh(5 * z)

    @staticmethod
    def split(gate: Tensor, along: Tensor) -> list[Tensor]:
        return [along * gate, 1 - along * gate]


class ImageDiffusion(_ImageGates):
    r"""D-mode: of the two turns one is missing, which leaves a single path between any two cells.

    What moves along the column may turn into the row, but not back. Transitions are :math:`\tanh(5 z)`, sources and
    marks lie in :math:`[0, 1]`, so in one direction of the grid no cell gains more than 1 on any other, whatever the
    parameters.

    Args:
        channels: width of the input.
        heads: number of heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.source_row, self.source_column = self._map(-4.0), self._map(-4.0)
        self.mark_row, self.mark_column = self._map(-4.0), self._map(-4.0)
        self.row, self.column, self.turn = self._map(1.0), self._map(1.0), self._map(1.0)

    def forward(self, x: Cells) -> Gates:
        source = torch.stack([self._open(gate, x) for gate in (self.source_row, self.source_column)], 1)
        mark = torch.stack([self._open(gate, x) for gate in (self.mark_row, self.mark_column)], 1)
        row, column, turn = (torch.tanh(5 * self._ways(gate(x))) for gate in (self.row, self.column, self.turn))
        passing = [torch.stack([row, torch.zeros_like(row)], 1), torch.stack([turn, column], 1)]
        return Gates(source, torch.stack(passing, 1), mark, torch.sigmoid(self.direct(x)))
