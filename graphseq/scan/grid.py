"""Two-dimensional grids with two states a cell."""

from __future__ import annotations

import torch
from torch import Tensor

from graphseq.scan._structure import apart, derived
from graphseq.scan.dag import Dag


class Grid:
    r"""A batch of grids; in each cell one state moves along the row and one along the column.

    State 0 of cell :math:`(h, w)` arrives from :math:`(h, w-1)`, state 1 from :math:`(h-1, w)`; what a state is when it
    *leaves* the cell mixes both arrivals by four decays that belong to the receiving cell:

    .. math::
        s^j_{h,w} = b^j_{h,w} + a^{0j}_{h,w} \, s^0_{h,w-1} + a^{1j}_{h,w} \, s^1_{h-1,w}, \qquad j \in \{0, 1\}

    Args:
        height: rows.
        width: columns.
        batch: number of grids.
        device: where scans on the grid run.
        reversed: scan from the last row and column; decays stay those of the receiving cell.

    Raises:
        ValueError: if a size is negative.

    Example:
        >>> Grid(2, 3)
        Grid(height=2, width=3, batch=1)
    """

    def __init__(
        self,
        height: int,
        width: int,
        batch: int = 1,
        *,
        device: torch.device | str | None = None,
        reversed: bool = False,
    ) -> None:
        for name, size in (("height", height), ("width", width), ("batch", batch)):
            if size < 0:
                raise ValueError(f"{name} must not be negative, got {size}")
        self._height, self._width, self._batch, self._reversed = height, width, batch, reversed
        self._device = torch.empty(0, device=device).device
        self._flipped: Grid | None = None

    @property
    def height(self) -> int:
        """Rows."""
        return self._height

    @property
    def width(self) -> int:
        """Columns."""
        return self._width

    @property
    def batch(self) -> int:
        """Number of grids."""
        return self._batch

    @property
    def reversed(self) -> bool:
        """Whether the grid is scanned from its last cell."""
        return self._reversed

    @property
    def device(self) -> torch.device:
        """Where scans run."""
        return self._device

    @property
    def num_states(self) -> int:
        """Two for each cell."""
        return 2 * self.batch * self.height * self.width

    @derived
    def entered(self) -> Tensor:
        """Whether a state arrives in a cell along its row, and along its column, ``[2, height, width]``."""
        first = -1 if self.reversed else 0
        row, column = torch.arange(self.height, device=self.device), torch.arange(self.width, device=self.device)
        along_row = (column != first % max(1, self.width)).expand(self.height, self.width)
        along_column = (row != first % max(1, self.height))[:, None].expand(self.height, self.width)
        return torch.stack([along_row, along_column])

    @apart
    def unread_decays(self, exchanged: bool) -> Tensor:
        """Where the two decays of :func:`grid_selective_scan` meet no state, ``[2, 1, height, width, 1]``.

        Args:
            exchanged: whether each decay may meet both states of a cell, rather than its own only.
        """
        entered = self.entered
        if exchanged:
            entered = entered.any(0).expand(2, self.height, self.width)
        return ~entered[:, None, :, :, None]

    def reverse(self) -> Grid:
        """The same grid, scanned from its last cell."""
        if self._flipped is None:
            flipped = Grid(self.height, self.width, self.batch, device=self.device, reversed=not self.reversed)
            self._flipped, flipped._flipped = flipped, self
        return self._flipped

    def to(self, device: torch.device | str) -> Grid:
        """The same topology on another device."""
        return Grid(self.height, self.width, self.batch, device=device, reversed=self.reversed)

    def to_dag(self) -> Dag:
        """The same recurrence on the general topology; state ``(j, b, h, w)`` has its number in row-major order.

        Link number ``n`` takes its decay from entry ``link_decays[n]`` of ``decay`` flattened to rows.
        """
        return self._dag

    @derived
    def _dag(self) -> Dag:
        return Dag(torch.stack([self._links[0], self._links[1]]), self.num_states)

    @property
    def link_decays(self) -> Tensor:
        """Row of ``decay``, seen as ``[4 · batch · height · width, *channels]``, of each link of :meth:`to_dag`."""
        return self._links[2]

    @derived
    def _links(self) -> tuple[Tensor, Tensor, Tensor]:
        shape = (self.batch, self.height, self.width)
        cells = self.batch * self.height * self.width
        cell = torch.arange(cells, device=self.device).view(shape)
        sources, targets, rows = [], [], []
        for incoming, axis in ((0, 2), (1, 1)):
            length = shape[axis]
            later, earlier = (cell.narrow(axis, k, max(length - 1, 0)) for k in (min(1, length), 0))
            receiver, sender = (earlier, later) if self.reversed else (later, earlier)
            for outgoing in (0, 1):
                sources.append(incoming * cells + sender.flatten())
                targets.append(outgoing * cells + receiver.flatten())
                rows.append((incoming * 2 + outgoing) * cells + receiver.flatten())
        return torch.cat(sources), torch.cat(targets), torch.cat(rows)

    def __repr__(self) -> str:
        direction = ", reversed=True" if self.reversed else ""
        return f"{type(self).__name__}(height={self.height}, width={self.width}, batch={self.batch}{direction})"
