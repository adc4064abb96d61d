"""The signed memory as a linear recurrence over each node's timeline."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from graphseq.scan import linear_scan
from graphseq.semba.rules import Balance, SignRule
from graphseq.semba.timelines import Timelines

DAY = 86_400.0


def _unchanged(values: Tensor) -> Tensor:
    return values


class SignedScan(nn.Module):
    r"""Layers of signed linear recurrences, each over all timelines in one scan.

    With :math:`c = P + Q` and :math:`D = P - Q`, row :math:`k` of a timeline, its event's features :math:`x_k` and sign
    :math:`s_k`, and :math:`C_{peer}, D_{peer}` what the layer below holds of the peer strictly before :math:`t_k`:

    .. math::
        a_k &= \exp\bigl(-\operatorname{softplus}(\rho)\,(t_k - t_{k-1}) / \tau\bigr) \\
        c_k &= a_k\, c_{k-1} + W_{sum}\, [x_k, \phi(C_{peer})] \\
        D_k &= a_k\, D_{k-1} + s_k\, W_{diff}\, [x_k, \phi(D_{peer})]

    The first layer reads :math:`x_k` alone. So :math:`L` layers carry information along paths of up to :math:`L`
    events in ascending order of time, with the parity of their negative events. Nothing of this is in the paper of
    Sharma et al. (2023), whose memory it makes linear.

    Args:
        in_channels: width of :math:`x`.
        channels: width of each recurrence.
        layers: how many.
        rule: how signs act; :class:`Separate` runs the recurrences on friends and foes themselves.
        tau: unit of time, in seconds.
        slowest: decay rates start out with time constants log-spaced from 1 to this many ``tau``.
        squash: :math:`\phi`; an odd function keeps the symmetry of balanced networks. The identity by default.

    Example:
        >>> who, whom = torch.tensor([0, 1]), torch.tensor([1, 2])
        >>> lines = Timelines(who, whom, torch.tensor([0.0, 5.0]), torch.tensor([1, 0]), num_nodes=3)
        >>> scan = SignedScan(1, 4, layers=2)
        >>> states = scan(torch.ones(4, 1), lines)
        >>> scan.read(states, lines, torch.tensor([1]), torch.tensor([9.0])).shape
        torch.Size([1, 2, 4, 2])

    Cost: :math:`O(L\,E\,d^2)` for the inputs and :math:`O(L\,E\,d)` for the scans.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        layers: int = 2,
        rule: SignRule | None = None,
        tau: float = DAY,
        slowest: float = 1000.0,
        squash: Callable[[Tensor], Tensor] = _unchanged,
    ) -> None:
        super().__init__()
        for name, size in (("in_channels", in_channels), ("channels", channels), ("layers", layers)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if tau <= 0 or slowest < 1:
            raise ValueError(f"tau must be positive and slowest at least 1, got {tau} and {slowest}")
        self.in_channels, self.channels, self.layers = in_channels, channels, layers
        self.rule, self.tau, self.slowest, self.squash = rule or Balance(), tau, slowest, squash
        widths = [in_channels + (channels if layer else 0) for layer in range(layers)]
        self.rho = nn.ParameterList(nn.Parameter(torch.empty(channels)) for _ in widths)
        self.weight_sum = nn.ParameterList(nn.Parameter(torch.empty(channels, width)) for width in widths)
        self.weight_diff = nn.ParameterList(nn.Parameter(torch.empty(channels, width)) for width in widths)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            for rho in self.rho:
                rates = torch.logspace(0, -math.log10(self.slowest), self.channels, dtype=torch.float64)
                rho.copy_(torch.log(torch.expm1(rates)))
            for weight in [*self.weight_sum, *self.weight_diff]:
                nn.init.uniform_(weight, -(weight.shape[1] ** -0.5), weight.shape[1] ** -0.5)

    def forward(
        self,
        x: Float[Tensor, "rows features"],
        lines: Timelines,
        earlier: Float[Tensor, "earlier layers channels 2"] | None = None,
    ) -> Float[Tensor, "rows layers channels 2"]:
        """The states of all layers after each row.

        Args:
            x: features of each row; those of earlier rows are not read.
            lines: the events.
            earlier: the states of earlier rows, in the order in which ``lines`` was given them.
        """
        sign = self.rule.coefficients(lines.sign).to(x)
        if earlier is not None:
            is_event, place = lines.is_event, lines.row.clamp(max=lines.num_earlier - 1)
            # Selecting the states below keeps earlier rows out of the result, this keeps them out of the gradient.
            x = x.masked_fill(~is_event[:, None], 0)
        layers: list[Tensor] = []
        for layer in range(self.layers):
            peer = self._layer_at(layer - 1, layers[-1], lines, lines.peer_row, lines.t) if layer else None
            source = self._inputs(layer, x, peer) * sign[:, None, :]
            decay = self._decay(layer, lines.since_previous)
            if earlier is not None:
                source = torch.where(is_event[:, None, None], source, earlier[place, layer])
                decay = torch.where(is_event[:, None], decay, 0)
            layers.append(linear_scan(decay[..., None], source, lines.topology))
        return torch.stack(layers, dim=1)

    def read(
        self,
        states: Float[Tensor, "rows layers channels 2"],
        lines: Timelines,
        nodes: Int[Tensor, " queries"],
        t: Float[Tensor, " queries"],
    ) -> Float[Tensor, "queries layers channels 2"]:
        """Friend and foe memory of nodes at times: the state after the last event strictly before, decayed since.

        Zero where there is no such event. Events of equal time do not see one another.

        Raises:
            ValueError: if a time is before the first event of all.
        """
        lines.check_times(t)
        return self.read_rows(states, lines, lines.before(nodes, t), t)

    def read_rows(
        self,
        states: Float[Tensor, "rows layers channels 2"],
        lines: Timelines,
        row: Int[Tensor, " queries"],
        t: Float[Tensor, " queries"],
    ) -> Float[Tensor, "queries layers channels 2"]:
        """The same for rows that :meth:`Timelines.before` gave."""
        read = [self._layer_at(layer, states[:, layer], lines, row, t.double()) for layer in range(self.layers)]
        return self.rule.friend_and_foe(torch.stack(read, dim=1))

    def _inputs(self, layer: int, x: Tensor, peer: Tensor | None) -> Tensor:
        weights = self.weight_sum[layer], self.weight_diff[layer]
        if peer is None:
            return torch.stack([linear(x, weight) for weight in weights], dim=-1)
        read = self.squash(peer).unbind(-1)
        return torch.stack(
            [linear(torch.cat([x, own], dim=-1), weight) for own, weight in zip(read, weights, strict=True)], dim=-1
        )

    def _decay(self, layer: int, elapsed: Tensor) -> Tensor:
        rho = self.rho[layer]
        # The difference of times is taken in double; its size is no matter for a single.
        return torch.exp(-softplus(rho) * (elapsed / self.tau).to(rho)[:, None])

    def _layer_at(self, layer: int, states: Tensor, lines: Timelines, row: Tensor, t: Tensor) -> Tensor:
        """One layer's states of rows, decayed until times; zero where the row is -1."""
        if not len(states):
            return states.new_zeros(len(row), *states.shape[1:])
        place = row.clamp(min=0)
        elapsed = torch.where(row >= 0, t - lines.t[place], 0)
        # Replaced, not multiplied by zero: row 0 stands in where there is none, and belongs to another node.
        found = states[place].masked_fill((row < 0)[:, None, None], 0)
        return found * self._decay(layer, elapsed)[..., None]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.channels}, layers={self.layers}, "
            f"rule={type(self.rule).__name__})"
        )
