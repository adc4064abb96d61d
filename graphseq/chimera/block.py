"""The Chimera block: a slow and a fast state space model on the two parts of a series, gated."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, pad, silu
from torch_geometric.nn.inits import reset

from graphseq.chimera.check import check_series
from graphseq.chimera.coupling import Coupling
from graphseq.chimera.layer import BiGridSSM, GridSSM
from graphseq.chimera.poles import Poles, RealPoles
from graphseq.scan import Ragged, causal_conv


class MovingAverage(nn.Module):
    """Mean over a window along time, the series continued by its first and last value.

    Args:
        width: of the window.
        causal: the window ends at its own time, as stepwise forecasting needs, instead of being centred there.

    Raises:
        ValueError: if ``width`` is below 1.
    """

    def __init__(self, width: int = 25, *, causal: bool = False) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.width, self.causal = width, causal

    def forward(
        self, x: Float[Tensor, "batch variates time channels"]
    ) -> Float[Tensor, "batch variates time channels"]:
        batch, variates, time, channels = x.shape
        if time == 0:
            return x
        before = self.width - 1 if self.causal else (self.width - 1) // 2
        lines = x.permute(0, 1, 3, 2).flatten(0, 1)
        lines = pad(lines, (before, self.width - 1 - before), mode="replicate")
        return avg_pool1d(lines, self.width, 1).view(batch, variates, channels, time).permute(0, 1, 3, 2)

    def of_observed(
        self, x: Float[Tensor, "batch variates time"], observed: Bool[Tensor, "batch variates time"]
    ) -> Float[Tensor, "batch variates time"]:
        """The mean of what was observed in each window, 0 where nothing was."""
        seen = observed.to(x.dtype)
        total, share = (self(values[..., None])[..., 0] for values in (x.masked_fill(~observed, 0), seen))
        return total / share.clamp(min=torch.finfo(x.dtype).eps)

    def extra_repr(self) -> str:
        return f"{self.width}, causal={self.causal}"


class ChimeraBlock(nn.Module):
    r"""Trend and season, each through its own two-dimensional state space model.

    .. math::
        [a, z] &= W_{in} \operatorname{norm}(x), \quad a \leftarrow \operatorname{silu}(\operatorname{conv}(a)), \quad
        m = \operatorname{average}(a) \\
        x &\leftarrow x + \operatorname{drop} \bigl(W_{out} \operatorname{norm}
        (\operatorname{SSM}_{trend}(m) + \operatorname{SSM}_{season}(a - m)) \odot \operatorname{silu}(z)\bigr)

    The paper (Behrouz et al. 2024) names two input-dependent heads, gating and a stack with nonlinearities; the wiring
    in detail is ours.

    Args:
        channels: width.
        state_size: states a channel of each model.
        expand: inner width over ``channels``.
        time: expected number of columns; the trend starts with steps between 1/time and 4/time.
        season: where the poles of the seasonal model start; :class:`RealPoles` if not given.
        coupling: how the two states of a cell feed each other.
        kind: the class of the models.
        average: width of the moving average, in columns.
        causal: whether the average reads no later column.
        conv_size: taps of the convolution along time.
        tie: one model for both directions of the variates.
        dropout: on what is added.
    """

    def __init__(
        self,
        channels: int,
        *,
        state_size: int = 8,
        expand: int = 2,
        time: int = 96,
        season: Poles | None = None,
        coupling: Coupling | None = None,
        kind: type[GridSSM] = GridSSM,
        average: int = 25,
        causal: bool = False,
        conv_size: int = 4,
        tie: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        inner = expand * channels
        self.channels = channels
        self.norm = nn.RMSNorm(channels)
        self.in_proj = nn.Linear(channels, 2 * inner)
        self.conv1d = nn.Conv1d(inner, inner, conv_size, groups=inner)
        self.average = MovingAverage(average, causal=causal)
        options = {"kind": kind, "tie": tie, "state_size": state_size}
        if coupling is not None:
            options["coupling"] = coupling
        slow = (1 / max(time, 8), 4 / max(time, 8))
        self.trend = BiGridSSM(inner, dt_range=slow, **options)  # type: ignore[arg-type]
        self.season = BiGridSSM(inner, dt_range=(1 / 8, 1 / 2), poles=season or RealPoles(), **options)  # type: ignore[arg-type]
        self.out_norm = nn.RMSNorm(inner)
        self.out_proj = nn.Linear(inner, channels)
        self.dropout = nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        for layer in self.children():
            reset(layer)

    def forward(
        self,
        x: Float[Tensor, "batch variates time channels"],
        observed: Bool[Tensor, "batch variates time"] | None = None,
        gaps: Float[Tensor, "batch time"] | None = None,
        *,
        season: bool = True,
    ) -> Float[Tensor, "batch variates time channels"]:
        """The equations above; arguments as for :class:`GridSSM`. Without ``season`` its model counts as zero."""
        a, z = self.in_proj(self.norm(x)).chunk(2, dim=-1)
        a = self._conv(a)
        trend = self.average(a)
        h = self.trend(trend, observed, gaps)
        if season:
            h = h + self.season(a - trend, observed, gaps)
        return x + self.dropout(self.out_proj(self.out_norm(h) * silu(z)))

    def _conv(self, a: Tensor) -> Tensor:
        batch, variates, time, _ = a.shape
        lines = Ragged.equal(batch * variates, time, a.device)
        taps, bias = self.conv1d.weight.squeeze(1), self.conv1d.bias
        return causal_conv(a.flatten(0, 2), taps, bias, lines, silu=True).view(a.shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, trend={self.trend!r}, season={self.season!r})"


class ChimeraTrunk(nn.Module):
    """Patches of each variate to vectors, and a stack of :class:`ChimeraBlock`.

    Args:
        channels: width.
        layers: number of blocks.
        patch: rows of a patch; a column of the grid is a patch of each variate.
        order: the order in which variates are scanned, see :func:`~graphseq.chimera.variate_order`; as given without.
        mix: whether variates are scanned together; otherwise each is a grid of one row, with the same parameters.
        block: arguments of :class:`ChimeraBlock`.
    """

    order: Tensor | None
    place: Tensor | None

    def __init__(
        self,
        channels: int,
        layers: int,
        *,
        patch: int = 1,
        order: Tensor | None = None,
        mix: bool = True,
        **block: object,
    ) -> None:
        super().__init__()
        for name, size in (("channels", channels), ("layers", layers), ("patch", patch)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if order is not None and not torch.equal(order.sort().values, torch.arange(order.numel(), device=order.device)):
            raise ValueError(f"order must be a permutation, got {order.tolist()}")
        self.channels, self.patch, self.mix = channels, patch, mix
        self.register_buffer("order", order)
        self.register_buffer("place", None if order is None else order.argsort())
        self.embed = nn.Linear(2 * patch, channels)
        self.blocks = nn.ModuleList(ChimeraBlock(channels, **block) for _ in range(layers))  # type: ignore[arg-type]
        self.norm = nn.RMSNorm(channels)

    def reset_parameters(self) -> None:
        for layer in (self.embed, self.blocks, self.norm):
            reset(layer)

    def columns(self, time: int) -> int:
        """Number of columns for a number of rows."""
        return -(-time // self.patch)

    def forward(
        self,
        x: Float[Tensor, "batch variates time"],
        observed: Bool[Tensor, "batch variates time"] | None = None,
        gaps: Float[Tensor, "batch columns"] | None = None,
        *,
        season: bool = True,
    ) -> Float[Tensor, "batch variates columns channels"]:
        """Vectors of all patches.

        Args:
            x: values; anything where they were not observed.
            observed: which were.
            gaps: time between columns, in units of the usual step.
            season: whether the seasonal models of the blocks take part.

        Raises:
            ValueError: if the number of variates is not that of ``order``, or a shape or a device does not fit.
            TypeError: if a dtype does not fit.
        """
        check_series("x", x, observed, weight=self.embed.weight)
        if self.order is not None and x.shape[1] != self.order.shape[0]:
            raise ValueError(f"x must have {self.order.shape[0]} variates, as order has, got {x.shape[1]}")
        seen = torch.ones_like(x) if observed is None else observed.to(x.dtype)
        # Replaced, not multiplied by zero: what was not observed may be NaN.
        x = x if observed is None else x.masked_fill(~observed, 0)
        missing = self.columns(x.shape[2]) * self.patch - x.shape[2]
        # What is missing for a whole patch is added before the first row, marked as not observed.
        both = torch.stack([pad(x, (missing, 0)), pad(seen, (missing, 0))], dim=-1)
        h = self.embed(both.unflatten(2, (-1, self.patch)).flatten(3))
        any_seen = None if observed is None else both[..., 1].unflatten(2, (-1, self.patch)).bool().any(-1)
        if self.order is not None:
            h = h[:, self.order]
            any_seen = None if any_seen is None else any_seen[:, self.order]
        batch, variates = h.shape[:2]
        if not self.mix:
            h = h.flatten(0, 1)[:, None]
            any_seen = None if any_seen is None else any_seen.flatten(0, 1)[:, None]
            gaps = None if gaps is None else gaps.repeat_interleave(variates, 0)
        for block in self.blocks:
            h = block(h, any_seen, gaps, season=season)
        h = self.norm(h.reshape(batch, variates, *h.shape[2:]))
        return h if self.place is None else h[:, self.place]
