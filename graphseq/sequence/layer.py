"""What the sequence layers share: packed and dense input, streams, and the initial step sizes of state space models."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from graphseq.scan import Ragged

State = Any
"""What a layer carries from token to token: a named tuple of tensors, or a tuple of such; one row a stream."""


class SequenceLayer(nn.Module):
    """A layer that mixes the tokens of each segment; subclasses write :meth:`mix`.

    Args:
        channels: width of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        positive(channels=channels)
        self.channels = channels

    def forward(
        self, x: Float[Tensor, "*batch tokens channels"], topology: Ragged | None = None
    ) -> Float[Tensor, "*batch tokens channels"]:
        """Mix each segment, in the scan direction of ``topology``.

        Args:
            x: packed ``[T, channels]`` with a ``topology``, or dense ``[B, L, channels]`` without.
            topology: the segments of packed input.

        Raises:
            ValueError: if the shape of ``x`` fits neither form or not ``topology``, or they lie on different devices.
            TypeError: if ``x`` is no tensor of the dtype of the weights, or ``topology`` no :class:`Ragged`.
        """
        packed, topology = self._packed(x, topology)
        return self.mix(packed, topology).view(x.shape)

    def mix(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        """What the layer does to packed segments."""
        raise NotImplementedError

    def _packed(self, x: Tensor, topology: Ragged | None) -> tuple[Tensor, Ragged]:
        check_tokens(x, topology)
        if x.dim() != (2 if topology is not None else 3) or x.shape[-1] != self.channels:
            form = f"[T, {self.channels}] with" if topology is not None else f"[B, L, {self.channels}] without"
            raise ValueError(f"x must have shape {form} a topology, got {list(x.shape)}")
        self._check_dtype(x)
        if topology is not None:
            return x, topology
        return x.flatten(0, 1), Ragged.equal(x.shape[0], x.shape[1], x.device)

    def _check_dtype(self, x: Tensor) -> None:
        # Under autocast a product takes any precision. Weights may be of several: what fits one of them goes in.
        if torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type):
            return
        if not any(weight.dtype is x.dtype for weight in self.parameters()):
            own = next((weight.dtype for weight in self.parameters()), x.dtype)
            if own is not x.dtype:
                raise TypeError(f"x must have the dtype of the layer's weights ({own}), got {x.dtype}")

    def __repr__(self) -> str:
        sizes = "".join(f", {name}={value!r}" for name, value in self.sizes().items())
        return f"{type(self).__name__}({self.channels}{sizes})"

    def sizes(self) -> dict[str, Any]:
        """What ``repr`` shows beside the width."""
        return {}


class StreamingLayer(SequenceLayer):
    """A layer that reads each segment once, from its start: it can stop after any token and go on from a state.

    Subclasses write :meth:`run` and :meth:`initial_state`; everything else follows. A state holds tensors alone, with
    one row a stream, and can be saved by :func:`torch.save` and loaded with ``weights_only=True``.

    Example:
        >>> layer, x = Mamba(8), torch.randn(2, 5, 8)
        >>> beginning, state = layer.advance(x[:, :4], layer.initial_state(2))
        >>> end, state = layer.step(x[:, 4], state)
        >>> torch.allclose(torch.cat([beginning, end[:, None]], 1), layer(x), atol=1e-6)
        True
    """

    def run(
        self, x: Float[Tensor, "tokens channels"], topology: Ragged, state: State = None
    ) -> tuple[Float[Tensor, "tokens channels"], State]:
        """Read packed segments, and where a state is given go on from it and return the next one.

        Args:
            x: packed input.
            topology: the segments, as many as the state has streams.
            state: where each stream stands; without it streams begin, and no state is returned.
        """
        raise NotImplementedError

    def initial_state(self, streams: int) -> State:
        """The state before the first token of each stream."""
        raise NotImplementedError

    def mix(self, x: Float[Tensor, "tokens channels"], topology: Ragged) -> Float[Tensor, "tokens channels"]:
        """Each segment from its start."""
        return self.run(x, topology)[0]

    def advance(
        self, x: Float[Tensor, "*batch tokens channels"], state: State, topology: Ragged | None = None
    ) -> tuple[Float[Tensor, "*batch tokens channels"], State]:
        """The next tokens of each stream.

        Args:
            x: packed ``[T, channels]`` with a ``topology``, or dense ``[streams, L, channels]`` without.
            state: what :meth:`initial_state` or the last call returned; it is not changed.
            topology: the segments of packed input, one a stream; an empty one leaves its stream where it is.

        Returns:
            What a call of the layer on everything so far would give for these tokens, and the next state.

        Raises:
            ValueError: as for a call, or if ``state`` has another number of streams.
            TypeError: as for a call.
        """
        packed, topology = self._packed(x, topology)
        check_streams(state, topology.num_segments)
        y, state = self.run(packed, topology, state)
        return y.view(x.shape), state

    def step(
        self, x: Float[Tensor, "streams channels"], state: State
    ) -> tuple[Float[Tensor, "streams channels"], State]:
        """The next token of each stream; a loop of steps equals a call of the layer.

        Args:
            x: one token a stream.
            state: what :meth:`initial_state` or the last call returned; it is not changed.

        Raises:
            ValueError: if ``x`` has another shape, or ``state`` another number of streams.
            TypeError: if ``x`` is no tensor of the dtype of the weights.
        """
        check_tokens(x, None)
        if x.dim() != 2 or x.shape[1] != self.channels:
            raise ValueError(f"x must have shape [streams, {self.channels}], got {list(x.shape)}")
        self._check_dtype(x)
        check_streams(state, x.shape[0])
        return self.run(x, one_token_each(x.shape[0], x.device), state)

    def restart(self, state: State, done: Bool[Tensor, " streams"]) -> State:
        """The state with the streams that are ``done`` back at their beginning, as at the start of an episode."""
        fresh = self.initial_state(done.shape[0])
        return map_state(lambda new, old: torch.where(done.view(-1, *(1,) * (old.dim() - 1)), new, old), fresh, state)


def check_tokens(x: Tensor, topology: Ragged | None) -> None:
    """Whether tokens and segments belong together; nothing is read back from a device.

    Raises:
        TypeError: if ``x`` is no dense tensor, or ``topology`` no :class:`Ragged`.
        ValueError: if they lie on different devices, or packed tokens are not as many as the segments hold.
    """
    if not isinstance(x, Tensor) or x.layout is not torch.strided:
        got = f"a tensor in the layout {x.layout}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x must be a dense tensor, got {got}")
    if topology is None:
        return
    if not isinstance(topology, Ragged):
        raise TypeError(f"topology must be a Ragged, got {type(topology).__name__}")
    if x.device != topology.device:
        raise ValueError(f"x must be on the device of topology ({topology.device}), got {x.device}")
    if x.dim() and x.shape[0] != topology.num_states:
        raise ValueError(
            f"x must have one row for each of the {topology.num_states} tokens of topology, got shape {list(x.shape)}"
        )


def check_streams(state: State, streams: int) -> None:
    """Whether a state has one row a stream.

    Raises:
        ValueError: if it has another number of rows.
    """
    part = state
    while isinstance(part, tuple) and part:
        part = part[0]
    if isinstance(part, Tensor) and part.shape[0] != streams:
        raise ValueError(f"state must have one row for each of {streams} streams, got {part.shape[0]}")


@functools.lru_cache(maxsize=16)
def one_token_each(streams: int, device: torch.device) -> Ragged:
    """The topology of a step, kept with what is derived from it."""
    return Ragged.equal(streams, 1, device)


def episodes(starts: Bool[Tensor, " tokens"], topology: Ragged) -> Ragged:
    r"""Segments cut where episodes start: the memory of what came before is gone there.

    This is the resettable scan of Lu et al. (2023, "Structured State Space Models for In-Context Reinforcement
    Learning") for any layer: a token that starts an episode is the first of a segment of its own. The actor's side of
    it is :meth:`StreamingLayer.restart` before the step that reads such a token.

    Args:
        starts: whether a token is the first of an episode.
        topology: the segments that the episodes lie in.

    Raises:
        ValueError: if ``topology`` is reversed, or has another number of tokens.

    Example:
        >>> episodes(torch.tensor([False, False, True, False]), Ragged.equal(1, 4)).ptr
        tensor([0, 2, 4])
    """
    if topology.reversed:
        raise ValueError("topology must run forward, since an episode has a start, got a reversed one")
    if starts.shape != (topology.num_states,):
        raise ValueError(f"starts must have shape [{topology.num_states}], got {list(starts.shape)}")
    return Ragged(torch.cat([topology.ptr, starts.nonzero().squeeze(1)]).unique())


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to the tensors of one or several states of the same form."""
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    parts = [map_state(function, *matching) for matching in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def positive(**sizes: int) -> None:
    """Check sizes.

    Raises:
        ValueError: naming the first that is not at least 1.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def inner_width(channels: int, expand: int | float) -> int:
    """``expand`` times ``channels``, rounded, at least 1.

    Raises:
        ValueError: if ``expand`` is not positive.
    """
    if expand <= 0:
        raise ValueError(f"expand must be positive, got {expand}")
    return max(1, round(expand * channels))


def set_step_bias(bias: Tensor, smallest: float, largest: float) -> None:
    """Fill with the inverse softplus of log-uniform step sizes, none below 1e-4 (Gu & Dao 2023).

    Raises:
        ValueError: if not 0 < ``smallest`` <= ``largest``.
    """
    with torch.no_grad():
        step = log_uniform(bias, smallest, largest).exp().clamp(min=1e-4)
        bias.copy_(step + torch.log(-torch.expm1(-step)))


def log_uniform(like: Tensor, smallest: float, largest: float) -> Tensor:
    """Logarithms of log-uniform step sizes.

    Raises:
        ValueError: if not 0 < ``smallest`` <= ``largest``.
    """
    if not 0 < smallest <= largest:
        raise ValueError(f"dt_min and dt_max must satisfy 0 < dt_min <= dt_max, got {smallest} and {largest}")
    low, high = math.log(smallest), math.log(largest)
    return torch.rand_like(like) * (high - low) + low
