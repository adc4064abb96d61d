"""Topologies: which state feeds which, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from graphseq.scan._structure import apart, derived
from graphseq.scan.dag import Dag


class Ragged:
    r"""Paths laid one after another: state :math:`t-1` feeds state :math:`t` inside each segment.

    Segment :math:`s` holds the states ``ptr[s], …, ptr[s + 1] - 1``. The first state of a segment, in scan direction,
    is fed by nothing (or by an initial state). A link has the number of the state that receives it, so coefficients
    are laid out like states, and the entry at a segment's start belongs to no link.

    Args:
        ptr: segment bounds ``[num_segments + 1]``, int64, from 0, non-decreasing; empty segments are allowed.
        reversed: each state is fed by the one after it, and a segment starts at its last state.

    Raises:
        TypeError: if ``ptr`` is not an int64 tensor.
        ValueError: if ``ptr`` is empty, not one-dimensional, does not start at 0 or decreases.

    Example:
        >>> Ragged(torch.tensor([0, 2, 2, 5]))
        Ragged(num_segments=3, num_states=5)
    """

    @apart
    def __init__(self, ptr: Tensor, *, reversed: bool = False) -> None:
        refuse_tracing()
        self._bounds: tuple[int, ...] | None = _checked_bounds(ptr)
        self._longest: int | None = None
        self._set(ptr, self._bounds[-1], reversed)

    def _set(self, ptr: Tensor, num_states: int, reversed: bool) -> None:
        self._ptr, self._num_states, self._reversed = ptr, num_states, reversed
        self._flipped: Ragged | None = None
        # What a backend derives from the structure alone (schedules, cut topologies), kept as long as the topology.
        self.cache: dict[Any, Any] = {}

    @classmethod
    def _made(cls, ptr: Tensor, num_states: int, longest: int | None = None) -> Ragged:
        """From bounds that are right by the way they were made: nothing is read back from the device."""
        refuse_tracing()
        made = object.__new__(cls)
        made._bounds, made._longest = None, longest
        made._set(ptr, num_states, False)
        return made

    @property
    def ptr(self) -> Tensor:
        """Segment bounds, ``[num_segments + 1]``."""
        return self._ptr

    @property
    def reversed(self) -> bool:
        """Whether each segment is scanned from its end."""
        return self._reversed

    @property
    def num_segments(self) -> int:
        """Number of segments, empty ones included."""
        return self._ptr.shape[0] - 1

    @property
    def num_states(self) -> int:
        """Number of states of all segments together."""
        return self._num_states

    @property
    def bounds(self) -> tuple[int, ...]:
        """``ptr`` as Python integers, for schedules that are made on the host."""
        if self._bounds is None:
            self._bounds = tuple(self._ptr.tolist())
        return self._bounds

    @property
    def longest(self) -> int:
        """Number of states of the longest segment."""
        if self._longest is None:
            self._longest = max((end - start for start, end in itertools.pairwise(self.bounds)), default=0)
        return self._longest

    @property
    def device(self) -> torch.device:
        """Where ``ptr`` lies, and scans run."""
        return self._ptr.device

    @derived
    def lengths(self) -> Tensor:
        """Number of states of each segment, ``[num_segments]``."""
        return self._ptr.diff()

    @derived
    def segment(self) -> Tensor:
        """Segment of each state, ``[num_states]``; PyG's ``batch`` vector."""
        segments = torch.arange(self.num_segments, device=self.device)
        return segments.repeat_interleave(self.lengths, output_size=self.num_states)

    @derived
    def first(self) -> Tensor:
        """First state, in scan direction, of each segment that has one."""
        return (self._ptr[1:] - 1 if self._reversed else self._ptr[:-1])[self.occupied]

    @derived
    def last(self) -> Tensor:
        """Last state, in scan direction, of each segment that has one."""
        return (self._ptr[:-1] if self._reversed else self._ptr[1:] - 1)[self.occupied]

    @derived
    def occupied(self) -> Tensor:
        """Numbers of the segments that are not empty."""
        return self.lengths.nonzero().squeeze(1)

    @derived
    def position(self) -> Tensor:
        """Steps from the segment's start, in scan direction, to each state, ``[num_states]``."""
        states = torch.arange(self.num_states, device=self.device)
        if self._reversed:
            return self._ptr[1:][self.segment] - 1 - states
        return states - self._ptr[:-1][self.segment]

    def reverse(self) -> Ragged:
        """The same segments, scanned from their ends."""
        if self._flipped is None:
            self._flipped = self._like(self._ptr, not self._reversed)
            # Each is the other's flip, so that what is cached on either is found again.
            self._flipped._flipped = self
        return self._flipped

    @apart
    def to(self, device: torch.device | str) -> Ragged:
        """The same topology on another device."""
        return self._like(self._ptr.to(device), self._reversed)

    def _like(self, ptr: Tensor, reversed: bool) -> Ragged:
        """Without checking the bounds again."""
        other = object.__new__(type(self))
        other._bounds, other._longest = self._bounds, self._longest
        other._set(ptr, self._num_states, reversed)
        return other

    @apart
    def to_dag(self) -> Dag:
        """The same recurrence on the general topology; link ``n`` takes its decay from row ``link_decays[n]``."""
        return Dag(torch.stack([self.link_decays + (1 if self._reversed else -1), self.link_decays]), self.num_states)

    @property
    @apart
    def link_decays(self) -> Tensor:
        """The state that each link of :meth:`to_dag` feeds, which is the row of its decay."""
        return (self.position > 0).nonzero().squeeze(1)

    def __repr__(self) -> str:
        direction = ", reversed=True" if self._reversed else ""
        return f"{type(self).__name__}(num_segments={self.num_segments}, num_states={self.num_states}{direction})"

    @classmethod
    @apart
    def from_batch(cls, batch: Tensor, num_segments: int | None = None) -> Ragged:
        """From PyG's sorted ``batch`` vector.

        With ``num_segments`` nothing depends on what ``batch`` holds: :func:`torch.compile` and :func:`torch.export`
        then trace it as one graph, in which it is not checked either.

        Raises:
            ValueError: if ``batch`` is not sorted, or holds a number outside ``[0, num_segments)``.
        """
        if num_segments is None:
            num_segments = int(batch[-1]) + 1 if batch.numel() else 0
        if not torch.compiler.is_compiling() and batch.numel():
            inside = int(batch[0]) >= 0 and int(batch[-1]) < num_segments
            if not inside or bool((batch.diff() < 0).any()):
                held = _shorten(batch.tolist())
                raise ValueError(f"batch must be sorted and hold numbers in [0, {num_segments}), got {held}")
        ptr = torch.searchsorted(batch.contiguous(), torch.arange(num_segments + 1, device=batch.device))
        return cls._made(ptr, batch.shape[0])

    @classmethod
    @apart
    def equal(cls, num_segments: int, length: int, device: torch.device | str | None = None) -> Ragged:
        """``num_segments`` segments of one ``length``: a dense batch ``[B, L, …]`` seen as ``[B·L, …]``."""
        if not torch.compiler.is_compiling() and (num_segments < 0 or length < 0):
            raise ValueError(f"num_segments and length must not be negative, got {num_segments} and {length}")
        return cls._made(
            torch.arange(num_segments + 1, device=device) * length, num_segments * length, length if num_segments else 0
        )


def refuse_tracing() -> None:
    """Say that :func:`torch.jit.trace` is not for scans.

    Raises:
        NotImplementedError: while it traces. It would write the sizes of its example into the trace as constants.
    """
    if torch.jit.is_tracing() and not torch.compiler.is_compiling():
        raise NotImplementedError(
            "torch.jit.trace would keep the segments and sizes of its example for every later input: "
            "take torch.export.export or torch.compile"
        )


def _checked_bounds(ptr: Tensor) -> tuple[int, ...]:
    if not isinstance(ptr, Tensor) or ptr.dtype != torch.int64:
        got = ptr.dtype if isinstance(ptr, Tensor) else type(ptr).__name__
        raise TypeError(f"ptr must be an int64 tensor, got {got}")
    if ptr.dim() != 1 or ptr.numel() == 0:
        raise ValueError(f"ptr must have shape [num_segments + 1], got {list(ptr.shape)}")
    bounds = tuple(ptr.tolist())
    if bounds[0] != 0:
        raise ValueError(f"ptr must start at 0, got {_shorten(bounds)}")
    for index, (start, end) in enumerate(itertools.pairwise(bounds)):
        if end < start:
            raise ValueError(f"ptr must not decrease, got {end} after {start} at position {index + 1}")
    return bounds


def _shorten(values: Any, most: int = 8) -> str:
    shown = ", ".join(str(value) for value in list(values)[:most])
    return f"[{shown}{', …' if len(values) > most else ''}]"
