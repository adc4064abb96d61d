"""The residual block around a layer, and which layers follow one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphseq.nn import node_norm
from graphseq.plstm.gates import HeadMix
from graphseq.plstm.layer import small_init


class PLSTMBlock(nn.Module):
    r"""A layer and a feed-forward part, each with a norm before it.

    .. math::
        x \leftarrow x + \operatorname{layer}(\operatorname{norm}(x), …), \qquad
        x \leftarrow x + W_2 \operatorname{gelu}(W_1 \operatorname{norm}(x))

    Args:
        channels: width.
        layer: called with the normalised ``x`` and whatever else the block is called with.
        dropout: on what is added.
        expand: inner width of the feed-forward part over ``channels``.
        norm: as in :func:`~graphseq.nn.node_norm`; ``"rms_norm"`` as published.
    """

    def __init__(
        self, channels: int, layer: nn.Module, *, dropout: float = 0.0, expand: int = 4, norm: str = "rms_norm"
    ) -> None:
        super().__init__()
        inner = expand * channels
        self.layer = layer
        self.layer_norm, self.norm = node_norm(norm, channels), node_norm(norm, channels)
        self.up, self.down = nn.Linear(channels, inner), nn.Linear(inner, channels)
        self.act, self.dropout = nn.GELU(), nn.Dropout(dropout)
        for linear in (self.up, self.down):
            small_init(linear)

    def reset_parameters(self) -> None:
        for part in (self.layer, self.layer_norm, self.norm):
            reset(part)
        for linear in (self.up, self.down):
            small_init(linear)

    def forward(self, x: Float[Tensor, "*nodes channels"], *others: Any) -> Float[Tensor, "*nodes channels"]:
        x = x + self.dropout(self.layer(self.layer_norm(x), *others))
        return x + self.dropout(self.down(self.act(self.up(self.norm(x)))))


Kinds = Mapping[str, Callable[[int, int], nn.Module]]


def make_gates(mode: str, kinds: Kinds, channels: int, heads: int) -> nn.Module:
    """The gates of a mode: ``"P"``, ``"D"``, or several joined by ``+``, among which the heads are divided.

    Raises:
        ValueError: if there is no such mode, or there are fewer heads than modes.
    """
    names = mode.split("+")
    if any(name not in kinds for name in names):
        raise ValueError(f"modes must be made of {', '.join(kinds)}, joined by + or not, got {mode!r}")
    if len(names) > heads:
        raise ValueError(f"modes must not outnumber the heads ({heads}), got {mode!r}")
    if len(names) == 1:
        return kinds[mode](channels, heads)
    share, rest = divmod(heads, len(names))
    return HeadMix(kinds[name](channels, share + (place < rest)) for place, name in enumerate(names))


def plan(modes: Sequence[str], layers: int, both_ways: bool) -> list[tuple[str, bool]]:
    """Mode and direction of each block: in each layer every mode once, every second layer backwards."""
    if not modes:
        raise ValueError("modes must hold at least one mode, got none")
    if layers < 1:
        raise ValueError(f"layers must be at least 1, got {layers}")
    return [(mode, both_ways and layer % 2 == 1) for layer in range(layers) for mode in modes]
