"""The linear scan in Triton."""

from typing import no_type_check

import triton
import triton.language as tl

# Jitted functions carry @no_type_check because Triton reads their source: a checker must not wrap them.


@triton.jit
@no_type_check
def _compose(decay, state, decay_after, state_after):
    return decay * decay_after, state * decay_after + state_after


@triton.jit
@no_type_check
def linear_scan(
    decay,
    source,
    initial,
    states,
    ptr,
    channels,
    width,
    decay_row,
    decay_column,
    source_row,
    source_column,
    REVERSED: tl.constexpr,
    STEPS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """One program for each segment and block of channels; ``width`` neighbouring channels share a decay."""
    segment = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1).to(tl.int64) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    begin = tl.load(ptr + segment)
    end = tl.load(ptr + segment + 1)
    step = tl.arange(0, STEPS)
    if initial is None:
        carry = tl.full([CHANNELS], 0, source.dtype.element_ty)
    else:
        carry = tl.load(initial + segment * channels + channel, mask=inside, other=0)
    for done in range(0, end - begin, STEPS):
        place = done + step
        row = end - 1 - place if REVERSED else begin + place
        alive = (place < end - begin)[:, None] & inside[None, :]
        fed = alive
        if initial is None:
            # The decay at a segment's start is not read: it may be NaN.
            fed = alive & (place > 0)[:, None]
        a = tl.load(decay + row[:, None] * decay_row + (channel // width)[None, :] * decay_column, mask=fed, other=0)
        b = tl.load(source + row[:, None] * source_row + channel[None, :] * source_column, mask=alive, other=0)
        # What enters the tile is part of its first input, so no product of decays has to reach across the tile.
        b = tl.where((step == 0)[:, None], a * carry[None, :] + b, b)
        _, h = tl.associative_scan((a, b), 0, _compose)
        tl.store(states + row[:, None] * channels + channel[None, :], h, mask=alive)
        carry = tl.sum(tl.where((step == STEPS - 1)[:, None], h, 0), 0)
