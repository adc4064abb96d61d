"""A whole sequence model: embedding, a stack of layers, norm, head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from graphseq.nn.encoders import feature_encoder
from graphseq.scan import Ragged
from graphseq.sequence.attention import Attention
from graphseq.sequence.delta_net import DeltaNet
from graphseq.sequence.delta_product import DeltaProduct
from graphseq.sequence.divergent_mamba import DivergentMamba
from graphseq.sequence.dss import DSSExp, DSSSoftmax
from graphseq.sequence.gated_delta_net import GatedDeltaNet
from graphseq.sequence.gla import GLA
from graphseq.sequence.layer import (
    SequenceLayer,
    State,
    StreamingLayer,
    check_streams,
    check_tokens,
    episodes,
    one_token_each,
    positive,
)
from graphseq.sequence.long_conv import LongConv
from graphseq.sequence.lru import LRU
from graphseq.sequence.lssl import LSSL
from graphseq.sequence.mamba import BiMamba, Mamba
from graphseq.sequence.mamba2 import Mamba2
from graphseq.sequence.mamba_mixer import MambaMixer
from graphseq.sequence.mlstm import MLSTM
from graphseq.sequence.ptd import S4PTD, S5PTD
from graphseq.sequence.s4d import S4D
from graphseq.sequence.s5 import S5, BiS5
from graphseq.sequence.signed_mamba import SignedMamba

LAYERS: Mapping[str, Callable[..., SequenceLayer]] = {
    "s4d": S4D,
    "dss_exp": DSSExp,
    "dss_softmax": DSSSoftmax,
    "lssl": LSSL,
    "s5": S5,
    "bi_s5": BiS5,
    "s4_ptd": S4PTD,
    "s5_ptd": S5PTD,
    "lru": LRU,
    "long_conv": LongConv,
    "mamba": Mamba,
    "signed_mamba": SignedMamba,
    "divergent_mamba": DivergentMamba,
    "bi_mamba": BiMamba,
    "mamba2": Mamba2,
    "mamba_mixer": MambaMixer,
    "gla": GLA,
    "mlstm": MLSTM,
    "delta_net": DeltaNet,
    "gated_delta_net": GatedDeltaNet,
    "delta_product": DeltaProduct,
    "attention": Attention,
}
"""The layers that :class:`SequenceModel` knows by name."""


class SequenceModel(nn.Module):
    r"""Tokens through a stack of layers, :math:`x \leftarrow x + \operatorname{layer}(\operatorname{norm}(x))`.

    Args:
        in_channels: number of real features of a token; or, for integer tokens, the categories of each column, such
            as ``(vocabulary,)``.
        out_channels: number of outputs of a token.
        layer: a name in :data:`~graphseq.sequence.LAYERS`; or what makes a layer, called with ``channels``.
        channels: width.
        layers: depth.
        dropout: after each layer.
        options: further arguments of the layer.

    Raises:
        ValueError: if there is no layer of that name.

    Example:
        >>> model = SequenceModel((10,), 3, "delta_net", channels=16, options={"heads": 2})
        >>> tokens = torch.randint(10, (2, 7))
        >>> model(tokens).shape
        torch.Size([2, 7, 3])
        >>> logits, state = model.step(tokens[:, 0], model.initial_state(2))
        >>> logits.shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        layer: str | Callable[..., SequenceLayer] = "mamba",
        *,
        channels: int = 64,
        layers: int = 2,
        dropout: float = 0.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        positive(channels=channels, layers=layers)
        if isinstance(layer, str) and layer not in LAYERS:
            raise ValueError(f"layer must be one of {', '.join(LAYERS)}, got {layer!r}")
        make = partial(LAYERS[layer] if isinstance(layer, str) else layer, **(options or {}))
        self.channels = channels
        # One column of integer tokens may come without its axis, as [B, L].
        self.single = not isinstance(in_channels, int) and len(in_channels) == 1
        self.integer = not isinstance(in_channels, int)
        self.embedding = feature_encoder(in_channels, channels)
        self.layers = nn.ModuleList(make(channels) for _ in range(layers))
        self.norms = nn.ModuleList(nn.RMSNorm(channels) for _ in range(layers))
        self.norm = nn.RMSNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, out_channels)

    def reset_parameters(self) -> None:
        for module in (self.embedding, *self.layers, *self.norms, self.norm, self.head):
            module.reset_parameters()  # type: ignore[operator]

    def forward(self, x: Tensor, topology: Ragged | None = None) -> Tensor:
        """Outputs for every token.

        Args:
            x: packed ``[T, in_channels]`` with a ``topology``, or dense ``[B, L, in_channels]`` without; where tokens
                are single integers, their axis may be missing.
            topology: the segments of packed input.

        Raises:
            ValueError: if the shape of ``x`` fits neither form or not ``topology``, or they lie on different devices.
            TypeError: if ``x`` is no tensor of the dtype that the model reads, or ``topology`` no :class:`Ragged`.
        """
        packed, lead, topology = self._packed(x, topology)
        return self._run(packed, topology, None)[0].unflatten(0, lead)

    def advance(self, x: Tensor, state: State, topology: Ragged | None = None) -> tuple[Tensor, State]:
        """The next tokens of each stream: what :meth:`forward` on everything so far gives for them, and the next state.

        Args:
            x: as for :meth:`forward`, one segment a stream.
            state: what :meth:`initial_state` or the last call returned; it is not changed.
            topology: the segments of packed input.
        """
        packed, lead, topology = self._packed(x, topology)
        check_streams(state, topology.num_segments)
        y, state = self._run(packed, topology, state)
        return y.unflatten(0, lead), state

    def step(self, x: Tensor, state: State) -> tuple[Float[Tensor, "streams out"], State]:
        """The next token of each stream.

        Args:
            x: ``[streams, in_channels]``, or ``[streams]`` single integers.
            state: what :meth:`initial_state` or the last call returned; it is not changed.
        """
        check_tokens(x, None)
        if x.dim() == 0:
            raise ValueError("x must have shape [streams, in_channels], or [streams] for single integers, got a scalar")
        return self.advance(x, state, one_token_each(x.shape[0], x.device))

    def initial_state(self, streams: int) -> State:
        """The state before the first token of each stream, a tuple of the layers'.

        Raises:
            TypeError: if a layer reads in both directions, and so is no stream.
        """
        return tuple(layer.initial_state(streams) for layer in self._streaming())

    def restart(self, state: State, done: Bool[Tensor, " streams"]) -> State:
        """The state with the streams that are ``done`` back at their beginning."""
        return tuple(layer.restart(part, done) for layer, part in zip(self._streaming(), state, strict=True))

    def _streaming(self) -> list[StreamingLayer]:
        for layer in self.layers:
            if not isinstance(layer, StreamingLayer):
                raise TypeError(f"layer must be a StreamingLayer to go on from a state, got {layer!r}")
        return list(self.layers)  # type: ignore[arg-type]

    def _packed(self, x: Tensor, topology: Ragged | None) -> tuple[Tensor, tuple[int, ...], Ragged]:
        check_tokens(x, topology)
        leading = 1 if topology is not None else 2
        if self.single and x.dim() == leading:
            x = x[..., None]
        if x.dim() != leading + 1:
            form = "[T, in_channels] with" if topology is not None else "[B, L, in_channels] without"
            raise ValueError(f"x must have shape {form} a topology, got {list(x.shape)}")
        lead = tuple(x.shape[:leading])
        segments = Ragged.equal(x.shape[0], x.shape[1], x.device) if topology is None else topology
        return x.flatten(0, leading - 1), lead, segments

    def _run(self, x: Tensor, topology: Ragged, state: State) -> tuple[Tensor, State]:
        h, states = self.embedding(x), []
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            if state is None:
                mixed = layer(norm(h), topology)
            else:
                mixed, after = layer.run(norm(h), topology, state[number])  # type: ignore[operator]
                states.append(after)
            h = h + self.dropout(mixed)
        return self.head(self.norm(h)), None if state is None else tuple(states)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, layers={len(self.layers)}, layer={self.layers[0]!r})"


class PathModel(SequenceModel):
    """A :class:`SequenceModel` on PyG's batches: the nodes of each graph are its tokens, in their order.

    Edges are not read. It is what ``graphseq fit`` trains on the sequence tasks; arguments are those of
    :class:`SequenceModel`, and what the harness states of the task.

    Args:
        in_channels: as for :class:`SequenceModel`.
        out_channels: number of outputs of a node.
        layer: as for :class:`SequenceModel`.
        edge_channels: not read.
        level: ``"node"``.
        channels: width.
        layers: depth.
        dropout: after each layer.
        options: further arguments of the layer.
        resets: whether a node that ``starts`` marks begins an episode, cut from what came before by
            :func:`~graphseq.sequence.episodes`; :class:`~graphseq.data.ResettableMemory` has such nodes.

    Raises:
        ValueError: if ``level`` is another one.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        layer: str = "mamba",
        *,
        edge_channels: int | Sequence[int] | None = None,
        level: str = "node",
        channels: int = 64,
        layers: int = 2,
        dropout: float = 0.0,
        options: Mapping[str, Any] | None = None,
        resets: bool = False,
    ) -> None:
        super().__init__(
            in_channels, out_channels, layer, channels=channels, layers=layers, dropout=dropout, options=options
        )
        if level != "node":
            raise ValueError(f"level must be 'node', since every token has an output, got {level!r}")
        self.level = level
        self.needs = ("starts",) if resets else ()
        chosen = "".join(f", {name}={value}" for name, value in (options or {}).items())
        # By which a record of results tells the layers apart.
        self.title = f"{layer}{chosen}{', resets' if resets else ''}"

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        edge_index: Int[Tensor, "2 edges"] | None = None,
        batch: Int[Tensor, " nodes"] | None = None,
        edge_attr: Tensor | None = None,
        *,
        batch_size: int | None = None,
        starts: Bool[Tensor, " nodes"] | None = None,
    ) -> Float[Tensor, "nodes out"]:
        """Predict every node.

        Args:
            x: node features.
            edge_index: not read.
            batch: graph of each node, sorted; one graph without it.
            edge_attr: not read.
            batch_size: number of graphs.
            starts: whether a node is the first of an episode.
        """
        if self.needs and starts is None:
            raise ValueError("starts must be given to a model with resets, got none")
        if batch is None:
            batch = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        topology = Ragged.from_batch(batch, batch_size)
        return super().forward(x, topology if starts is None else episodes(starts, topology))
