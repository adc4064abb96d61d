"""The readable loops that define each operation; every backend is tested against them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

from graphseq.scan.topology import Ragged

AVAILABLE = True


def accepts(*tensors: Tensor) -> bool:
    """Any device, any dtype."""
    return True


def linear_scan(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    """``h[t] = decay[t] * h[before t] + source[t]``, state by state."""
    states: list[Tensor] = [source.new_empty(0)] * topology.num_states
    for segment, order in enumerate(_orders(topology)):
        state = None if initial is None else initial[segment]
        for t in order:
            state = source[t] if state is None else decay[t] * state + source[t]
            states[t] = state
    return torch.stack(states) if states else source.clone()


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    topology: Ragged,
    initial: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """``h = exp(delta A) h + delta u B``, ``y = C h + D u``, gated; B and C are ``[T, groups, n]``."""
    per_group = u.shape[1] // B.shape[1]
    delta = delta if delta_bias is None else delta + delta_bias
    delta = softplus(delta) if delta_softplus else delta
    outputs: list[Tensor] = [u.new_empty(0)] * topology.num_states
    lasts: list[Tensor] = []
    for segment, order in enumerate(_orders(topology)):
        state = A.new_zeros(A.shape) if initial is None else initial[segment]
        for step, t in enumerate(order):
            B_t, C_t = B[t].repeat_interleave(per_group, 0), C[t].repeat_interleave(per_group, 0)
            arriving = (delta[t] * u[t])[:, None] * B_t
            # A decay that no state uses is not read: selected, so that its inf or NaN cannot leak.
            unused = step == 0 and initial is None
            state = arriving if unused else torch.exp(delta[t][:, None] * A) * state + arriving
            outputs[t] = (state * C_t).sum(1)
        lasts.append(state)
    y = torch.stack(outputs) if outputs else torch.zeros_like(u)
    y = y if D is None else y + D * u
    y = y if z is None else y * silu(z)
    return y, torch.stack(lasts) if lasts else A.new_zeros(0, *A.shape)


def _orders(topology: Ragged) -> list[range]:
    """The states of each segment in scan direction."""
    spans = zip(topology.bounds, topology.bounds[1:], strict=False)
    return [range(b - 1, a - 1, -1) if topology.reversed else range(a, b) for a, b in spans]
