"""The readable loops that define each operation; every backend is tested against them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

from graphseq.scan._attached import attached
from graphseq.scan.dag import Dag
from graphseq.scan.edges import LineGraph
from graphseq.scan.grid import Grid
from graphseq.scan.product_tree import Scaled
from graphseq.scan.semiring import Semiring
from graphseq.scan.topology import Ragged

AVAILABLE = True


def accepts(tensor: Tensor) -> bool:
    """Any device, any dtype."""
    return True


@attached
def linear_scan(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    """``h[t] = decay[t] * h[before t] + source[t]``, state by state."""
    states: list[Tensor] = [source.new_empty(0)] * topology.num_states
    for segment, order in enumerate(_orders(topology)):
        state = None if initial is None else initial[segment]
        for t in order:
            state = source[t] if state is None else decay[t] * state + source[t]
            states[t] = state
    return torch.stack(states) if states else source.clone()


@attached
def causal_conv(x: Tensor, weight: Tensor, bias: Tensor | None, activate: bool, topology: Ragged) -> Tensor:
    """``y[t] = bias + the sum of weight[-1 - j] * x[j steps before t]``, entry by entry."""
    sums: list[Tensor] = [x.new_empty(0)] * topology.num_states
    for order in _orders(topology):
        for place, t in enumerate(order):
            past = order[max(0, place + 1 - weight.shape[1]) : place + 1]
            sums[t] = (weight[:, -len(past) :].t() * x[past]).sum(0)
    y = torch.stack(sums) if sums else x.clone()
    y = y if bias is None else y + bias
    return silu(y) if activate else y


@attached
def dag_scan(decay: Tensor, source: Tensor, topology: Dag) -> Tensor:
    """``h[i] = source[i] + sum of decay[l] * h[j] over the links l = (j → i)``, in topological order."""
    entering: list[list[tuple[int, int]]] = [[] for _ in range(topology.num_states)]
    for link, (j, i) in enumerate(topology.edge_index.t().tolist()):
        entering[i].append((link, j))
    states: list[Tensor] = [source.new_empty(0)] * topology.num_states
    for i in topology.level.argsort().tolist():
        states[i] = source[i] + sum(decay[link] * states[j] for link, j in entering[i])
    return torch.stack(states) if states else source.clone()


@attached
def grid_scan(decay: Tensor, source: Tensor, topology: Grid) -> Tensor:
    """``s_j = source_j + decay[0, j] * s_0 of the cell before in the row + decay[1, j] * s_1 of the cell above``."""
    rows, columns = range(topology.height), range(topology.width)
    back = 1 if topology.reversed else -1
    cells: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for h in rows[::-back]:
        for w in columns[::-back]:
            out = [source[0, :, h, w], source[1, :, h, w]]
            for incoming, before in ((0, (h, w + back)), (1, (h + back, w))):
                # A decay without an input is not read, so that its inf or NaN cannot leak.
                if before in cells:
                    arriving = cells[before][incoming]
                    out = [out[j] + decay[incoming, j, :, h, w] * arriving for j in (0, 1)]
            cells[h, w] = (out[0], out[1])
    if not cells:
        return source.clone()
    return torch.stack(
        [torch.stack([torch.stack([cells[h, w][j] for w in columns], 1) for h in rows], 1) for j in (0, 1)]
    )


@attached
def gated_dag_scan(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    direct: Tensor,
    topology: LineGraph,
) -> Tensor:
    """Edge by edge ``C_e = S_e k vᵀ + sum of T C_p over the edges p before it``, and ``M_e C_eᵀ q`` read at its end."""
    tails, heads = (topology.node_edge_index.flip(0) if topology.reversed else topology.node_edge_index).tolist()
    entering: list[list[tuple[int, int]]] = [[] for _ in tails]
    for link, (p, e) in enumerate(topology.edge_index.t().tolist()):
        entering[e].append((link, p))
    own = (direct * (query * key).sum(-1))[..., None] * value
    read = list(own)
    states: dict[int, Tensor] = {}
    for e in topology.level.argsort(stable=True).tolist():
        u, w = tails[e], heads[e]
        states[e] = source[e, :, None, None] * key[u, :, :, None] * value[u, :, None, :]
        for link, p in entering[e]:
            states[e] = states[e] + transition[link, :, None, None] * states[p]
        read[w] = read[w] + mark[e, :, None] * (query[w, :, :, None] * states[e]).sum(1)
    return torch.stack(read) if read else own


@attached
def gated_grid_scan(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    direct: Tensor,
    topology: Grid,
) -> Tensor:
    """Cell by cell, in each direction: the states that arrive are read, and with the cell's own input go on."""
    rows, columns = topology.height, topology.width
    total = (direct * (query * key).sum(-1))[..., None] * value
    for way in range(source.shape[0]):
        up, left = bool(way & 1) != topology.reversed, bool(way & 2) != topology.reversed
        # States by the cell that they arrive at and how they moved there.
        states: dict[tuple[int, int, int], Tensor] = {}
        cells: dict[tuple[int, int], Tensor] = {}
        for h in reversed(range(rows)) if up else range(rows):
            for w in reversed(range(columns)) if left else range(columns):
                q, k, v = query[:, h, w], key[:, h, w], value[:, h, w]
                after = [(h, w - 1 if left else w + 1), (h - 1 if up else h + 1, w)]
                arriving = [(a, states[h, w, a]) for a in (0, 1) if (h, w, a) in states]
                cells[h, w] = torch.zeros_like(v)
                for a, state in arriving:
                    cells[h, w] = cells[h, w] + mark[way, a, :, h, w, :, None] * (q[..., None] * state).sum(-2)
                for b, (row, column) in enumerate(after):
                    # A gate of an edge that leads nowhere is not read, so that its inf or NaN cannot leak.
                    if not (0 <= row < rows and 0 <= column < columns):
                        continue
                    state = source[way, b, :, h, w, :, None, None] * k[..., :, None] * v[..., None, :]
                    for a, other in arriving:
                        state = state + transition[way, a, b, :, h, w, :, None, None] * other
                    states[row, column, b] = state
        if cells:
            lines = [torch.stack([cells[h, w] for w in range(columns)], 1) for h in range(rows)]
            total = total + torch.stack(lines, 1)
    return total


@attached
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


@attached
def grid_selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    exchange: Tensor | None,
    topology: Grid,
) -> Tensor:
    """The grid scan with decays ``exp(delta A)``, of which ``exchange`` reads the other state; B and C are grouped."""
    B, C = (x.repeat_interleave(u.shape[-1] // x.shape[-2], -2) for x in (B, C))
    # These decays meet no state: they are not read, so that their inf or NaN cannot leak.
    unread = topology.unread_decays(exchange is not None)
    decay = torch.exp(delta.masked_fill(unread, 0)[..., None] * A[:, None, None, None])
    over = (torch.zeros_like(delta) if exchange is None else exchange.masked_fill(unread, 0))[..., None]
    own, other = (1 - over) * decay, over * decay
    from_row, from_column = torch.stack([own[0], other[1]]), torch.stack([other[0], own[1]])
    source = (delta * u)[..., None] * B
    states = grid_scan(torch.stack([from_row, from_column]), source.to(decay.dtype), topology)
    y = (C * states).sum((0, -1))
    y = y.real if y.is_complex() else y
    return y if D is None else y + D * u


def _orders(topology: Ragged) -> list[range]:
    """The states of each segment in scan direction."""
    spans = zip(topology.bounds, topology.bounds[1:], strict=False)
    return [range(b - 1, a - 1, -1) if topology.reversed else range(a, b) for a, b in spans]


@attached
def delta_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    topology: Ragged,
    initial: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Per token ``S = exp(g) S``, then ``S = S - beta k (kᵀ S) + beta k vᵀ`` for each of its steps, then ``o = Sᵀ q``.

    q is ``[T, heads, dk]``, k ``[T, heads, steps, dk]``, v ``[T, heads, steps, dv]``, beta ``[T, heads, steps]``.
    """
    heads, steps, key_size, value_size = k.shape[1], k.shape[2], k.shape[3], v.shape[3]
    outputs: list[Tensor] = [v.new_empty(0)] * topology.num_states
    lasts: list[Tensor] = []
    for segment, order in enumerate(_orders(topology)):
        state = v.new_zeros(heads, key_size, value_size) if initial is None else initial[segment]
        for place, t in enumerate(order):
            # A gate that has no state to act on is not read: selected, so that its inf or NaN cannot leak.
            if log_decay is not None and not (place == 0 and initial is None):
                state = torch.exp(log_decay[t])[:, None, None] * state
            for step in range(steps):
                key, value = k[t, :, step], v[t, :, step]
                error = value - torch.einsum("hk,hkv->hv", key, state)
                state = state + torch.einsum("h,hk,hv->hkv", beta[t, :, step], key, error)
            outputs[t] = torch.einsum("hk,hkv->hv", q[t], state)
        lasts.append(state)
    o = torch.stack(outputs) if outputs else v.new_zeros(0, heads, value_size)
    return o, torch.stack(lasts) if lasts else v.new_zeros(0, heads, key_size, value_size)


def matrix_scan(
    leaves: Scaled, topology: Ragged, semiring: Semiring, ends: Sequence[tuple[bool, Scaled | None]]
) -> list[Scaled]:
    """``P[t] = P[t - 1] M[t]``, or reversed ``P[t] = M[t] P[t + 1]``, for each end that a product may start from."""
    found = []
    for reverse, start in ends:
        products: list[Scaled] = [leaves] * topology.num_states
        for segment, (a, b) in enumerate(zip(topology.bounds, topology.bounds[1:], strict=False)):
            product = None if start is None else Scaled(*(part[segment : segment + 1] for part in start))
            for t in range(b - 1, a - 1, -1) if reverse else range(a, b):
                one = Scaled(*(part[t : t + 1] for part in leaves))
                if product is not None:
                    one = one.times(product, semiring) if reverse else product.times(one, semiring)
                products[t] = product = one
        empty = leaves if start is None else _empty(leaves, start, reverse)
        found.append(Scaled(*map(torch.cat, zip(*products, strict=True))) if products else empty)
    return found


def _empty(leaves: Scaled, start: Scaled, reverse: bool) -> Scaled:
    k = start.values.shape[2 if reverse else 1]
    n = leaves.values.shape[2]
    return Scaled(leaves.values.new_empty(0, *((n, k) if reverse else (k, n))), leaves.log_scale)
