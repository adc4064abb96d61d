"""The selective scan and its gradient in Triton."""

from typing import no_type_check

import triton
import triton.language as tl

# Jitted functions carry @no_type_check because Triton reads their source: a checker must not wrap them.


@triton.jit
@no_type_check
def _sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
@no_type_check
def _softplus(x):
    # log(1 + e^x); where 1 + e^x rounds, the quotient puts the lost digits back (Goldberg 1991, theorem 4).
    e = tl.exp(tl.where(x > 20, 20, x))
    rounded = 1 + e
    inexact = rounded - 1
    log = tl.where(inexact == 0, e, tl.log(rounded) * (e / tl.where(inexact == 0, 1, inexact)))
    return tl.where(x > 20, x, log)


@triton.jit
@no_type_check
def _step_size(delta, delta_bias, row, channel, inside, delta_row, SOFTPLUS: tl.constexpr):
    """The step size, and its derivative by ``delta``."""
    raw = tl.load(delta + row * delta_row + channel, mask=inside, other=0)
    if delta_bias is not None:
        raw += tl.load(delta_bias + channel, mask=inside, other=0)
    if SOFTPLUS:
        return _softplus(raw), tl.where(raw > 20, 1, _sigmoid(raw))
    return raw, tl.full(raw.shape, 1, raw.dtype)


@triton.jit
@no_type_check
def _kept(checkpoints, begin, segment, number, channels, size, STEPS: tl.constexpr):
    """Where the state before the segment's tile ``number`` is kept; no two tiles have the same place."""
    return checkpoints + (begin // STEPS + segment + number) * channels * size


@triton.jit
@no_type_check
def forward(
    u,
    delta,
    A,
    B,
    C,
    D,
    z,
    delta_bias,
    initial,
    ptr,
    out,
    last,
    checkpoints,
    channels,
    size,
    per_group,
    blocks,
    u_row,
    delta_row,
    z_row,
    B_row,
    C_row,
    SOFTPLUS: tl.constexpr,
    REVERSED: tl.constexpr,
    STEPS: tl.constexpr,
    CHANNELS: tl.constexpr,
    STATES: tl.constexpr,
):
    """One program for each segment and block of channels of one group, the state in registers, step by step."""
    segment = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1).to(tl.int64) // blocks
    within = tl.program_id(1) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    inside = within < per_group
    channel = group * per_group + within
    n = tl.arange(0, STATES)
    real = n < size
    element = channel[:, None] * size + n[None, :]
    exists = inside[:, None] & real[None, :]
    begin = tl.load(ptr + segment)
    end = tl.load(ptr + segment + 1)
    rate = tl.load(A + element, mask=exists, other=0)
    if initial is None:
        state = tl.full([CHANNELS, STATES], 0, u.dtype.element_ty)
    else:
        state = tl.load(initial + segment * channels * size + element, mask=exists, other=0)
    for step in range(end - begin):
        row = end - 1 - step if REVERSED else begin + step
        if checkpoints is not None:  # noqa: SIM102, decided when compiling
            if step % STEPS == 0:
                place = _kept(checkpoints, begin, segment, step // STEPS, channels, size, STEPS)
                tl.store(place + element, state, mask=exists)
        step_size, _ = _step_size(delta, delta_bias, row, channel, inside, delta_row, SOFTPLUS)
        input = tl.load(u + row * u_row + channel, mask=inside, other=0)
        write = tl.load(B + row * B_row + group * size + n, mask=real, other=0)
        read = tl.load(C + row * C_row + group * size + n, mask=real, other=0)
        exponent = step_size[:, None] * rate
        if initial is None:
            # No state enters the first step: its decay is replaced, so that an infinite one cannot leak.
            exponent = tl.where(step > 0, exponent, 0)
        carried = tl.exp(exponent) * state
        state = carried + (step_size * input)[:, None] * write[None, :]
        y = tl.sum(state * read[None, :], 1)
        if D is not None:
            y += tl.load(D + channel, mask=inside, other=0) * input
        if z is not None:
            gate = tl.load(z + row * z_row + channel, mask=inside, other=0)
            y *= gate * _sigmoid(gate)
        tl.store(out + row * channels + channel, y, mask=inside)
    tl.store(last + segment * channels * size + element, state, mask=exists)


@triton.jit
@no_type_check
def backward(
    u,
    delta,
    A,
    B,
    C,
    D,
    z,
    delta_bias,
    initial,
    ptr,
    checkpoints,
    grad_out,
    grad_last,
    scratch,
    grad_u,
    grad_delta,
    grad_A,
    grad_B,
    grad_C,
    grad_D,
    grad_z,
    grad_initial,
    segments,
    tokens,
    channels,
    size,
    per_group,
    blocks,
    u_row,
    delta_row,
    z_row,
    B_row,
    C_row,
    SOFTPLUS: tl.constexpr,
    REVERSED: tl.constexpr,
    STEPS: tl.constexpr,
    CHANNELS: tl.constexpr,
    STATES: tl.constexpr,
):
    """Some segments one after another, tile by tile from the end: the tile's states again, then the adjoint.

    Sums over tokens (``grad_A``, ``grad_D``) are one a program, sums over channels (``grad_B``, ``grad_C``) one a
    block of channels; the caller adds them up, in a fixed order.
    """
    group = tl.program_id(1).to(tl.int64) // blocks
    block = tl.program_id(1).to(tl.int64) % blocks
    within = block * CHANNELS + tl.arange(0, CHANNELS)
    inside = within < per_group
    channel = group * per_group + within
    n = tl.arange(0, STATES)
    real = n < size
    element = channel[:, None] * size + n[None, :]
    exists = inside[:, None] & real[None, :]
    program = tl.program_id(0).to(tl.int64)
    local = tl.arange(0, CHANNELS)[:, None] * STATES + n[None, :]
    scratch += (program * tl.num_programs(1) + tl.program_id(1)) * STEPS * CHANNELS * STATES
    grad_B += (block * tokens * (channels // per_group) + group) * size
    grad_C += (block * tokens * (channels // per_group) + group) * size
    projection_row = channels // per_group * size

    rate = tl.load(A + element, mask=exists, other=0)
    rate_grad = tl.full([CHANNELS, STATES], 0, u.dtype.element_ty)
    skip_grad = tl.full([CHANNELS], 0, u.dtype.element_ty)
    for segment in range(program, segments, tl.num_programs(0)):
        begin = tl.load(ptr + segment)
        end = tl.load(ptr + segment + 1)
        if grad_last is None:
            adjoint = tl.full([CHANNELS, STATES], 0, u.dtype.element_ty)
        else:
            adjoint = tl.load(grad_last + segment * channels * size + element, mask=exists, other=0)
        tiles = (end - begin + STEPS - 1) // STEPS
        for done in range(tiles):
            start = (tiles - 1 - done) * STEPS
            steps = tl.minimum(end - begin - start, STEPS)
            place = _kept(checkpoints, begin, segment, tiles - 1 - done, channels, size, STEPS)
            state = tl.load(place + element, mask=exists, other=0)
            for step in range(steps):
                row = end - 1 - start - step if REVERSED else begin + start + step
                tl.store(scratch + step * CHANNELS * STATES + local, state)
                step_size, _ = _step_size(delta, delta_bias, row, channel, inside, delta_row, SOFTPLUS)
                input = tl.load(u + row * u_row + channel, mask=inside, other=0)
                write = tl.load(B + row * B_row + group * size + n, mask=real, other=0)
                exponent = step_size[:, None] * rate
                if initial is None:
                    exponent = tl.where(start + step > 0, exponent, 0)
                carried = tl.exp(exponent) * state
                state = carried + (step_size * input)[:, None] * write[None, :]
            # Other threads of the program may have written what a thread reads next.
            tl.debug_barrier()
            for undone in range(steps):
                step = steps - 1 - undone
                row = end - 1 - start - step if REVERSED else begin + start + step
                before = tl.load(scratch + step * CHANNELS * STATES + local)
                step_size, slope = _step_size(delta, delta_bias, row, channel, inside, delta_row, SOFTPLUS)
                input = tl.load(u + row * u_row + channel, mask=inside, other=0)
                write = tl.load(B + row * B_row + group * size + n, mask=real, other=0)
                read = tl.load(C + row * C_row + group * size + n, mask=real, other=0)
                grad = tl.load(grad_out + row * channels + channel, mask=inside, other=0)
                input_grad = tl.full([CHANNELS], 0, u.dtype.element_ty)
                if z is not None:
                    y = tl.sum(state * read[None, :], 1)
                    if D is not None:
                        y += tl.load(D + channel, mask=inside, other=0) * input
                    gate = tl.load(z + row * z_row + channel, mask=inside, other=0)
                    open = _sigmoid(gate)
                    tl.store(grad_z + row * channels + channel, grad * y * open * (1 + gate * (1 - open)), mask=inside)
                    grad *= gate * open
                if D is not None:
                    input_grad += grad * tl.load(D + channel, mask=inside, other=0)
                    skip_grad += grad * input
                tl.store(grad_C + row * projection_row + n, tl.sum(grad[:, None] * state, 0), mask=real)
                adjoint += grad[:, None] * read[None, :]
                written = (step_size * input)[:, None]
                tl.store(grad_B + row * projection_row + n, tl.sum(adjoint * written, 0), mask=real)
                of_written = tl.sum(adjoint * write[None, :], 1)
                exponent = step_size[:, None] * rate
                if initial is None:
                    exponent = tl.where(start + step > 0, exponent, 0)
                adjoint *= tl.exp(exponent)
                through_exponent = adjoint * before
                of_rate, of_size = through_exponent * step_size[:, None], through_exponent * rate
                if initial is None:
                    of_rate = tl.where(start + step > 0, of_rate, 0)
                    of_size = tl.where(start + step > 0, of_size, 0)
                rate_grad += of_rate
                size_grad = of_written * input + tl.sum(of_size, 1)
                tl.store(grad_delta + row * channels + channel, size_grad * slope, mask=inside)
                tl.store(grad_u + row * channels + channel, input_grad + of_written * step_size, mask=inside)
                state = before
            # The next tile's states take the place of these.
            tl.debug_barrier()
        if grad_initial is not None:
            tl.store(grad_initial + segment * channels * size + element, adjoint, mask=exists)
    tl.store(grad_A + program * channels * size + element, rate_grad, mask=exists)
    if grad_D is not None:
        tl.store(grad_D + program * channels + channel, skip_grad, mask=inside)
