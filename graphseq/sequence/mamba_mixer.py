"""MambaMixer (Behrouz, Santacatterina & Zabih 2024): selection of tokens and of channels."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from graphseq.scan import Ragged
from graphseq.sequence.layer import State, StreamingLayer, positive
from graphseq.sequence.mamba import BiMamba, Mamba


class MambaMixer(StreamingLayer):
    r"""A stack of selective token mixers and selective channel mixers, each fed by all that came before it.

    With :math:`y_T^{(0)} = y_C^{(0)} = x` and for each of the layers l

    .. math::
        y_T^{(l)} &= \operatorname{token}_l
        \Bigl( \sum_{i<l} \alpha_{li} \, y_T^{(i)} + \beta_{li} \, y_C^{(i)} \Bigr) \\
        y_C^{(l)} &= \operatorname{channel}_l
        \Bigl( \sum_{i \le l} \theta_{li} \, y_T^{(i)} + \sum_{i<l} \gamma_{li} \, y_C^{(i)} \Bigr)

    A token mixer is a :class:`Mamba` along each segment; a channel mixer a :class:`BiMamba` along the channels of each
    token. The output is :math:`y_C` of the last layer.

    The paper's channel mixer runs over the channels of the whole transposed sequence, whose length is then a number of
    features and fixed. Here the channels of one token are cut into pieces of ``piece`` entries, which are the tokens of
    its scan: any length will do, segments stay apart, and the layer is a stream. The weights start as
    :math:`\alpha_{l,l-1} = \beta_{l,l-1} = \tfrac12` (a plain sum of the two would double at every layer) and
    :math:`\theta_{ll} = 1`, the others as zero, and each mixer adds its normed input's transform to it; the paper
    leaves start and residual open.

    Args:
        channels: width of input and output.
        layers: number of pairs of mixers.
        piece: channels that are one token of the channel mixer; must divide ``channels``.
        mamba: further arguments of :class:`Mamba`, for both mixers.

    Raises:
        ValueError: if ``piece`` does not divide ``channels``.

    Example:
        >>> MambaMixer(8, piece=2)(torch.randn(5, 8), Ragged(torch.tensor([0, 2, 5]))).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, *, layers: int = 2, piece: int = 4, **mamba: Any) -> None:
        super().__init__(channels)
        positive(layers=layers, piece=piece)
        if channels % piece:
            raise ValueError(f"piece must divide channels = {channels}, got {piece}")
        self.layers, self.piece = layers, piece
        self.token_mixers = nn.ModuleList(Mamba(channels, **mamba) for _ in range(layers))
        self.channel_mixers = nn.ModuleList(BiMamba(piece, **mamba) for _ in range(layers))
        self.token_norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(layers))
        self.channel_norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(layers))
        # Row l of each holds the weights of what came before the mixer of layer l, oldest first.
        self.token_weights = nn.ParameterList(torch.empty(2, layer) for layer in range(1, layers + 1))
        self.channel_weights = nn.ParameterList(torch.empty(2 * layer + 1) for layer in range(1, layers + 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in (*self.token_mixers, *self.channel_mixers, *self.token_norms, *self.channel_norms):
            module.reset_parameters()  # type: ignore[operator]
        with torch.no_grad():
            for to_token, to_channel in zip(self.token_weights, self.channel_weights, strict=True):
                to_token.zero_()
                to_token[:, -1] = 0.5
                to_channel.zero_()
                to_channel[to_token.shape[1]] = 1

    def run(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: State = None
    ) -> tuple[Float[Tensor, "tokens channels"], State]:
        """The equations above; a state is the tuple of the token mixers'."""
        from_tokens, from_channels, states = [x], [x], []
        pieces = Ragged.equal(x.shape[0], self.channels // self.piece, x.device)
        for layer in range(self.layers):
            h = _weighted(self.token_weights[layer].flatten(), [*from_tokens, *from_channels])
            mixed, after = self.token_mixers[layer].run(  # type: ignore[operator]
                self.token_norms[layer](h), topology, None if state is None else state[layer]
            )
            states.append(after)
            from_tokens.append(h + mixed)
            h = _weighted(self.channel_weights[layer], [*from_tokens, *from_channels])
            cut = self.channel_norms[layer](h).view(-1, self.piece)
            from_channels.append(h + self.channel_mixers[layer](cut, pieces).view(x.shape))
        return from_channels[-1], None if state is None else tuple(states)

    def initial_state(self, streams: int) -> State:
        """The state before the first token of each stream."""
        return tuple(mixer.initial_state(streams) for mixer in self.token_mixers)  # type: ignore[operator]

    def sizes(self) -> dict[str, Any]:
        return {"layers": self.layers, "piece": self.piece}


def _weighted(weights: Tensor, values: list[Tensor]) -> Tensor:
    return torch.einsum("l,ltc->tc", weights, torch.stack(values))
