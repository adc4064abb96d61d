"""Vectorised PyTorch: any device, no compiler."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import silu, softplus
from torch.utils.checkpoint import checkpoint

from graphseq.scan._attached import attached
from graphseq.scan._structure import kept
from graphseq.scan.dag import Dag
from graphseq.scan.edges import LineGraph
from graphseq.scan.grid import Grid
from graphseq.scan.product_tree import ProductTree, Scaled
from graphseq.scan.routes import GraphRoutes, GridRoutes, composed
from graphseq.scan.semiring import Semiring
from graphseq.scan.topology import Ragged

AVAILABLE = True

# Time of one vectorised step, and of one state element in it, as measured on a laptop-class CPU. Only their ratio
# matters: it decides from which length on cutting a segment into pieces pays.
_SECONDS_PER_STEP = 5e-6
_SECONDS_PER_ELEMENT = 7e-10

# Elements of the [tokens, d, n] block that selective_scan holds at a time: large enough to hide the launches,
# small enough to stay in the last-level cache.
_BLOCK_ELEMENTS = 1 << 20


def accepts(tensor: Tensor) -> bool:
    """Any device, any dtype."""
    return True


def linear_scan(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    """See :func:`graphseq.scan.linear_scan`."""
    return _LinearScan.apply(decay, source, initial, topology)


class _LinearScan(torch.autograd.Function):
    """The gradient of a scan is the scan in the other direction, so one kernel serves every order of derivative."""

    @staticmethod
    def forward(decay: Tensor, source: Tensor, initial: Tensor | None, topology: Ragged) -> Tensor:
        return _scan(decay, source, topology, initial)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        decay, _, initial, ctx.topology = inputs
        ctx.save_for_backward(decay, initial, output)
        ctx.save_for_forward(decay, initial, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        decay, initial, states = ctx.saved_tensors
        needed = ctx.needs_input_grad
        return *linear_scan_gradient(linear_scan, grad, decay, states, initial, ctx.topology, needed[0]), None

    @staticmethod
    def jvp(ctx: Any, decay_t: Tensor | None, source_t: Tensor | None, initial_t: Tensor | None, _: None) -> Tensor:
        """The tangent of a scan is the scan of its source's tangent and of what the decays' tangents bring along."""
        decay, initial, states = ctx.saved_tensors
        source = torch.zeros_like(states) if source_t is None else source_t
        if decay_t is not None:
            arriving = _arriving(states, initial, ctx.topology)
            used = decay_t if initial is not None else decay_t.index_fill(0, ctx.topology.first, 0)
            source = source + used * arriving
        if initial is not None and initial_t is None:
            initial_t = torch.zeros_like(initial)
        return linear_scan(decay, source, ctx.topology, initial_t)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, decay: Tensor, source: Tensor, initial: Tensor | None, topology: Ragged) -> Any:
        """A mapped axis is one more channel axis."""
        wide_initial = None if initial is None else _as_channels(initial, in_dims[2], info.batch_size)
        wide_source = _as_channels(source, in_dims[1], info.batch_size)
        return _LinearScan.apply(_as_channel(decay, in_dims[0]), wide_source, wide_initial, topology), 1


def _as_channel(tensor: Tensor, axis: int | None) -> Tensor:
    """The mapped axis as the first channel axis, of size 1 if there is none."""
    return tensor.unsqueeze(1) if axis is None else tensor.movedim(axis, 1)


def _as_channels(tensor: Tensor, axis: int | None, size: int) -> Tensor:
    """The mapped axis as the first channel axis, of full size."""
    wide = _as_channel(tensor, axis)
    return wide.expand(wide.shape[0], size, *wide.shape[2:])


def _arriving(states: Tensor, initial: Tensor | None, topology: Ragged) -> Tensor:
    """The state that each decay is multiplied with; zero where there is none."""
    first = topology.first
    before_first = torch.zeros_like(states[first]) if initial is None else initial[topology.occupied]
    return states.roll(-1 if topology.reversed else 1, 0).index_copy(0, first, before_first)


def linear_scan_gradient(
    scan: Callable[..., Tensor],
    grad: Tensor,
    decay: Tensor,
    states: Tensor,
    initial: Tensor | None,
    topology: Ragged,
    of_decay: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    """The gradient in decay (if wanted), source and initial (if there), by ``scan`` in the other direction.

    It is differentiable itself, as often as ``scan`` is.
    """
    back = 1 if topology.reversed else -1
    # A state passes its gradient on through the decay of the state that it feeds. Rolled across a segment's end that
    # is another segment's, but there the scan starts, and does not read it.
    grad_source = scan(decay.roll(back, 0).conj(), grad, topology.reverse(), None)
    first, occupied = topology.first, topology.occupied
    grad_decay = grad_initial = None
    if of_decay:
        arriving = _arriving(states, initial, topology)
        # Where nothing arrives the decay was not read, whatever the gradient is there.
        reached = grad_source.index_fill(0, first, 0) if initial is None else grad_source
        grad_decay = (reached * arriving.conj()).sum_to_size(decay.shape)
    if initial is not None:
        of_first = decay[first].conj() * grad_source[first]
        grad_initial = torch.zeros_like(initial).index_copy(0, occupied, of_first)
    return grad_decay, grad_source, grad_initial


class _Schedule(NamedTuple):
    """Segments cut into pieces, and all states ordered by (position in the piece, piece)."""

    order: Tensor  # [T] the states in that order
    widths: list[int]  # number of pieces that are alive at each position
    pieces: Ragged  # the pieces of each segment, in the order in which a segment meets them
    rank: Tensor  # [num_pieces] place of each piece among the pieces, longest first
    last: Tensor  # [num_pieces] row, in the new order, of the last state of each ranked piece


@kept
def _schedule(topology: Ragged, piece: int) -> _Schedule:
    device, lengths = topology.device, topology.lengths
    counts = (lengths + piece - 1) // piece
    pieces = Ragged(torch.cat([counts.new_zeros(1), counts.cumsum(0)]))
    offset = pieces.position * piece
    piece_lengths = (lengths[pieces.segment] - offset).clamp(max=piece)
    if topology.reversed:
        starts = topology.ptr[1:][pieces.segment] - 1 - offset
    else:
        starts = topology.ptr[:-1][pieces.segment] + offset
    by_length = piece_lengths.argsort(descending=True, stable=True)
    rank = torch.empty_like(by_length)
    rank[by_length] = torch.arange(by_length.numel(), device=device)
    starts, piece_lengths = starts[by_length], piece_lengths[by_length]

    longest = int(piece_lengths[0]) if piece_lengths.numel() else 0
    per_length = torch.bincount(piece_lengths, minlength=longest + 1)
    widths = pieces.num_states - per_length.cumsum(0)[:-1]
    rows = torch.cat([widths.new_zeros(1), widths.cumsum(0)])
    step = torch.arange(longest, device=device).repeat_interleave(widths, output_size=topology.num_states)
    within = torch.arange(topology.num_states, device=device) - rows[step]
    order = starts[within] + (-step if topology.reversed else step)
    last = rows[piece_lengths - 1] + torch.arange(piece_lengths.numel(), device=device)
    return _Schedule(order, widths.tolist(), pieces, rank, last)


def _piece_length(topology: Ragged, channels: int) -> int:
    """Whole segments when there are many short ones; about √length when a few long ones would leave width unused."""
    longest = topology.longest
    if longest < 2:
        return 1
    elements = topology.num_states * channels * _SECONDS_PER_ELEMENT
    root = max(1, math.isqrt(longest // 2))
    whole = longest * _SECONDS_PER_STEP + elements
    cut = (2 * root + longest / root) * _SECONDS_PER_STEP + 2 * elements
    return longest if whole <= cut else root


def _scan(decay: Tensor, source: Tensor, topology: Ragged, initial: Tensor | None) -> Tensor:
    """All pieces side by side, one position after another.

    If segments are cut, a first pass without output finds what each piece makes of a zero state and by how much it
    scales the state that enters it; a scan over the pieces gives the states that enter; the second pass runs with
    them. No product reaches beyond a piece, and the result of a piece never divides by one.
    """
    if topology.num_states == 0:
        return source.clone()
    schedule = _schedule(topology, _piece_length(topology, source[0].numel()))
    decay, source = decay.index_select(0, schedule.order), source.index_select(0, schedule.order)
    pieces, segments = schedule.pieces, topology.occupied
    entering = None
    if pieces.num_states > segments.numel():
        end, scale = _summaries(decay, source, schedule)
        # `end` and `scale` of a piece feed the piece after it: one more linear scan, over the pieces.
        after = _scan(scale[schedule.rank], end[schedule.rank], pieces, initial)
        entering = after.roll(1, 0)
        if initial is None:
            entering[pieces.first] = 0
        else:
            entering[pieces.first] = initial[pieces.occupied]
    elif initial is not None:
        entering = initial[segments]
    ranked = None if entering is None else torch.empty_like(entering).index_copy_(0, schedule.rank, entering)
    if initial is None and ranked is not None:
        # The decay at a segment's start may be anything: it is replaced, not multiplied by zero.
        starts = schedule.rank[pieces.first]
        decay[starts] = 0
    states = torch.empty_like(source)
    before, row = ranked, 0
    for width in schedule.widths:
        here = slice(row, row + width)
        if before is None:
            states[here] = source[here]
        else:
            torch.addcmul(source[here], decay[here], before[:width], out=states[here])
        before, row = states[here], row + width
    return torch.empty_like(states).index_copy_(0, schedule.order, states)


def _summaries(decay: Tensor, source: Tensor, schedule: _Schedule) -> tuple[Tensor, Tensor]:
    """What each ranked piece makes of a zero state, and the product of its decays."""
    end, scale = source[: schedule.widths[0]].clone(), decay[: schedule.widths[0]].clone()
    row = schedule.widths[0]
    for width in schedule.widths[1:]:
        here = slice(row, row + width)
        torch.addcmul(source[here], decay[here], end[:width], out=end[:width])
        scale[:width] *= decay[here]
        row += width
    return end, scale


def dag_scan(decay: Tensor, source: Tensor, topology: Dag) -> Tensor:
    """Level by level: all states whose longest path has the same length at once."""
    return _DagScan.apply(decay, source, topology)


class _DagScan(torch.autograd.Function):
    """The gradient of a scan is the scan on the reversed links, so one kernel serves every order of derivative."""

    @staticmethod
    def forward(decay: Tensor, source: Tensor, topology: Dag) -> Tensor:
        links = topology.schedule.layers
        sender, receiver, bounds = links.sender, links.receiver, list(itertools.pairwise(links.bounds))
        if topology.reversed:
            # A level hands its states down once all that enters them has come.
            sender, receiver, bounds = receiver, sender, bounds[::-1]
        states = source.clone(memory_format=torch.contiguous_format).resolve_conj()
        decay = decay.index_select(0, links.link)
        for begin, end in bounds:
            here = slice(begin, end)
            states.index_add_(0, receiver[here], decay[here] * states[sender[here]])
        return states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        decay, _, ctx.topology = inputs
        ctx.save_for_backward(decay, output)
        ctx.save_for_forward(decay, output)

    @staticmethod
    def jvp(ctx: Any, decay_t: Tensor | None, source_t: Tensor | None, _: None) -> Tensor:
        """The tangent of a scan is the scan of its source's tangent and of what the decays' tangents bring along."""
        decay, states = ctx.saved_tensors
        source = torch.zeros_like(states) if source_t is None else source_t
        if decay_t is not None:
            sender, receiver = ctx.topology.edge_index
            source = source.index_add(0, receiver, decay_t * states[sender])
        return dag_scan(decay, source, ctx.topology)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, decay: Tensor, source: Tensor, topology: Dag) -> Any:
        """A mapped axis is one more channel axis."""
        wide_source = _as_channels(source, in_dims[1], info.batch_size)
        return _DagScan.apply(_as_channel(decay, in_dims[0]), wide_source, topology), 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        decay, states = ctx.saved_tensors
        topology = ctx.topology
        grad_source = dag_scan(decay.conj(), grad, topology.reverse())
        grad_decay = None
        if ctx.needs_input_grad[0]:
            sender, receiver = topology.edge_index
            grad_decay = (grad_source[receiver] * states[sender].conj()).sum_to_size(decay.shape)
        return grad_decay, grad_source, None


@attached
def grid_scan(decay: Tensor, source: Tensor, topology: Grid) -> Tensor:
    """As the directed acyclic graph that it is: an antidiagonal of cells is a level."""
    channels = source.shape[4:]
    links = decay.flatten(0, 4).index_select(0, topology.link_decays)
    return dag_scan(links, source.reshape(topology.num_states, *channels), topology.to_dag()).view(source.shape)


@attached
def causal_conv(x: Tensor, weight: Tensor, bias: Tensor | None, activate: bool, topology: Ragged) -> Tensor:
    """One product for each tap, of the whole input shifted by it."""
    width = weight.shape[1]
    y = x * weight[:, -1] if bias is None else torch.addcmul(bias, x, weight[:, -1])
    for back, shifted in enumerate(_shifted(x, width, topology), start=1):
        y = torch.addcmul(y, shifted, weight[:, width - 1 - back])
    return silu(y) if activate else y


def causal_conv_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, activate: bool, topology: Ragged
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient in x, weight and bias, differentiable itself: in x it is a convolution against the segments."""
    if activate:
        y = causal_conv(x, weight, bias, False, topology)
        gate = y.sigmoid()
        grad = grad * gate * (1 + y * (1 - gate))
    grad_x = causal_conv(grad, weight, None, False, topology.reverse())
    taps = [(grad * x).sum(0), *((grad * shifted).sum(0) for shifted in _shifted(x, weight.shape[1], topology))]
    return grad_x, torch.stack(taps[::-1], dim=1), grad.sum(0)


def _shifted(x: Tensor, width: int, topology: Ragged) -> Iterator[Tensor]:
    """What lies 1 … width - 1 steps before each entry, zero where that is before the segment's start."""
    for back, outside in enumerate(_outside(topology, width), start=1):
        yield x.roll(-back if topology.reversed else back, 0).masked_fill(outside, 0)


@kept
def _outside(topology: Ragged, width: int) -> list[Tensor]:
    """Which entries have their segment's start less than 1 … width - 1 steps behind them."""
    return [(topology.position < back)[:, None] for back in range(1, width)]


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
    """Block after block of tokens; only the state at each block's end outlives it, and backward recomputes the rest."""
    delta = delta if delta_bias is None else delta + delta_bias
    delta = softplus(delta) if delta_softplus else delta
    outputs, ends, carry = [], [], None
    for block in _blocks(topology, max(1, _BLOCK_ELEMENTS // max(1, A.numel()))):
        rows = block.rows
        entering = None
        if initial is not None and block.begins.numel():
            entering = initial[block.begins]
        if carry is not None and block.continues:
            entering = carry if entering is None else torch.cat([carry, entering])
        y, states_end, carry = _recomputed(
            _selective_block,
            u[rows],
            delta[rows],
            A,
            B[rows],
            C[rows],
            entering,
            block,
            initial is not None,
        )
        outputs.append(y)
        ends.append(states_end)
    if topology.reversed:
        outputs.reverse()
        ends.reverse()
    y = torch.cat(outputs) if outputs else torch.zeros_like(u)
    last = A.new_zeros(topology.num_segments, *A.shape) if initial is None else initial
    if ends:
        last = last.index_copy(0, topology.occupied, torch.cat(ends))
    y = y if D is None else y + D * u
    return (y if z is None else y * silu(z)), last


def selective_scan_gradient(
    grad_out: Tensor,
    grad_last: Tensor | None,
    tensors: Sequence[Tensor | None],
    delta_softplus: bool,
    topology: Ragged,
) -> list[Tensor | None]:
    """The gradient in u, delta, A, B, C, D, z, delta_bias and initial, None where it is None; differentiable itself."""

    def run(*tensors: Any) -> tuple[Tensor, Tensor]:
        *others, initial = tensors
        scan: Any = selective_scan
        return scan(*others, delta_softplus, topology, initial)

    return _gradient(run, tensors, (grad_out, grad_last))


def delta_scan_gradient(
    grad_o: Tensor, grad_last: Tensor | None, tensors: Sequence[Tensor | None], topology: Ragged
) -> list[Tensor | None]:
    """The gradient in q, k, v, beta, log_decay and initial, None where it is None; differentiable itself."""

    def run(*tensors: Any) -> tuple[Tensor, Tensor]:
        *others, initial = tensors
        scan: Any = delta_scan
        return scan(*others, topology, initial)

    return _gradient(run, tensors, (grad_o, grad_last))


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
    """See :func:`graphseq.scan.gated_scan`."""

    def scan(decay: Tensor, emitted: Tensor) -> Tensor:
        return dag_scan(decay, emitted, topology)

    return composed(GraphRoutes(topology), scan, query, key, value, source, transition, mark, direct)


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
    """See :func:`graphseq.scan.gated_scan`; source, transition and mark have the axis of directions, of size 1 or 4."""
    ways, batch = source.shape[0], topology.batch
    grid = Grid(topology.height, topology.width, ways * batch, device=topology.device, reversed=topology.reversed)
    vectors: list[Any] = [torch.cat([turned(x, way, 0) for way in range(ways)]) for x in (query, key, value)]
    gates = [
        torch.cat([turned(gate[way], way, gate.dim() - 5) for way in range(ways)], gate.dim() - 5)
        for gate in (source, transition, mark)
    ]
    # Once, in the first direction.
    own = torch.cat([direct, direct.new_zeros(direct.shape).repeat(ways - 1, 1, 1, 1)])

    def scan(decay: Tensor, emitted: Tensor) -> Tensor:
        return grid_scan(decay, emitted, grid)

    inputs = (*vectors, *gates, own)
    read = composed(GridRoutes(grid), scan, *inputs)
    return sum_in_turn([turned(part, way, 0) for way, part in enumerate(read.unflatten(0, (ways, batch)).unbind(0))])


def turned(x: Tensor, way: int, batch_axis: int) -> Tensor:
    """A grid as direction ``way`` sees it; its own inverse."""
    axes = [batch_axis + axis for bit, axis in ((1, 1), (2, 2)) if way & bit]
    return x.flip(axes) if axes else x


def sum_in_turn(parts: Sequence[Tensor]) -> Tensor:
    total, *others = parts
    for other in others:
        total = total + other
    return total


def gated_scan_gradient(run: Callable[..., Tensor], grad: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient in all inputs of a gated scan, ``run``; differentiable itself."""
    return _gradient(lambda *given: (run(*given),), tensors, (grad,))


def _gradient(
    run: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """By autograd, and recorded by it if grad mode is on."""
    again = torch.is_grad_enabled()
    # Views, because one tensor may be given as several inputs, each with a gradient of its own.
    with torch.enable_grad():
        leaves = [
            None if t is None else t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in tensors
        ]
        outputs = run(*leaves)
    # Without a token nothing but the initial state reaches an output, and without that nothing does.
    reached = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None and o.requires_grad]
    given = [leaf for leaf in leaves if leaf is not None]
    if not reached:
        return [None if leaf is None else torch.zeros_like(leaf) for leaf in leaves]
    ends, weights = zip(*reached, strict=True)
    found = iter(torch.autograd.grad(ends, given, weights, create_graph=again, materialize_grads=True))
    return [None if leaf is None else next(found) for leaf in leaves]


def _recomputed(run: Callable[..., Any], *inputs: Any) -> Any:
    """``run(*inputs)``, of which backward computes the intermediate values again."""
    if torch._C._are_functorch_transforms_active():
        # torch.func refuses the hooks that recomputation hangs on.
        return run(*inputs)
    return checkpoint(run, *inputs, use_reentrant=False, preserve_rng_state=False, determinism_check="none")


class _Block(NamedTuple):
    """A run of tokens, with the parts of segments that lie in it."""

    rows: slice
    topology: Ragged
    begins: Tensor  # segments, in scan direction, that start here
    continues: bool  # whether the first part goes on from the block before
    finished: Tensor  # rows, within the block, of the last states of the segments that end here


@kept
def _blocks(topology: Ragged, size: int) -> list[_Block]:
    """Blocks of at most ``size`` tokens, in scan direction."""
    total, blocks = topology.num_states, []
    first, last, occupied = topology.first, topology.last, topology.occupied
    spans = [(a, min(a + size, total)) for a in range(0, total, size)]
    for start, end in reversed(spans) if topology.reversed else spans:
        begins = (first >= start) & (first < end)
        ends = (last >= start) & (last < end)
        inner = topology.ptr[(topology.ptr > start) & (topology.ptr < end)].unique() - start
        bounds = torch.cat([inner.new_zeros(1), inner, inner.new_full((1,), end - start)])
        local = Ragged(bounds, reversed=topology.reversed)
        entered = int(begins.sum())
        blocks.append(
            _Block(slice(start, end), local, occupied[begins], local.num_segments > entered, last[ends] - start)
        )
    return blocks


def _selective_block(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    entering: Tensor | None,
    block: _Block,
    all_enter: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    tokens, (channels, size), groups = u.shape[0], A.shape, B.shape[1]
    local = block.topology
    if all_enter:
        decay = torch.exp(delta[:, :, None] * A)
    else:
        # Nothing reads the decay at a segment's start: neither it nor its derivative may overflow.
        unread = local.first
        if block.continues:
            unread = unread[:-1] if local.reversed else unread[1:]
        exponent = delta.index_fill(0, unread, 0)[:, :, None] * A
        decay = torch.exp(exponent.index_fill_(0, unread, 0))
    source = (delta * u).view(tokens, groups, channels // groups, 1) * B[:, :, None, :]
    source = source.reshape(tokens, channels, size)
    if entering is not None:
        # Added to the source rather than handed on as `initial`: only some of the parts may have such a state.
        first = local.first if all_enter else local.first[-1:] if local.reversed else local.first[:1]
        if all_enter and local.reversed and block.continues:
            entering = torch.cat([entering[1:], entering[:1]])
        source = source.index_add(0, first, decay[first] * entering)
    states = linear_scan(decay, source, local, None)
    grouped = states.view(tokens, groups, channels // groups, size)
    y = torch.einsum("tgcn,tgn->tgc", grouped, C).reshape(tokens, channels)
    # A copy: a view would keep the whole block's states alive.
    final = (states[:1] if local.reversed else states[-1:]).clone()
    return y, states[block.finished], final


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
    """Row after row, each a scan of its own along the row; backward recomputes some rows at a time.

    On a grid with more rows than columns it goes column by column, which is the same with axes and states exchanged.
    """
    # Nothing reads these: they are replaced, so that their inf or NaN cannot leak.
    unread = topology.unread_decays(exchange is not None)
    steps = delta.masked_fill(unread, 0)
    cells = [u[None], steps, delta, B, C, *([] if exchange is None else [exchange.masked_fill(unread, 0)])]
    if topology.reversed:
        cells = [x.flip(2, 3) for x in cells]
    if swap := topology.height > topology.width:
        cells, A = [x.flip(0).transpose(2, 3) for x in cells], A.flip(0)
    outputs, above = [], None
    rows = cells[0].shape[2]
    together = max(1, math.isqrt(rows))
    for begin in range(0, rows, together):
        y, above = _recomputed(_grid_selective_rows, A, above, *(x[:, :, begin : begin + together] for x in cells))
        outputs.append(y)
    y = torch.cat(outputs, 1) if outputs else torch.zeros_like(cells[0][0])
    y = y.transpose(1, 2) if swap else y
    y = y.flip(1, 2) if topology.reversed else y
    return y if D is None else y + D * u


def _grid_selective_rows(
    A: Tensor,
    above: Tensor | None,
    u: Tensor,
    steps: Tensor,
    delta: Tensor,
    B: Tensor,
    C: Tensor,
    exchange: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The output of these rows, and the state that leaves them downwards; ``above`` is the one that enters.

    ``steps`` are those that the decays take, ``delta`` those that the input is multiplied by.
    """
    batch, width, channels = u.shape[1], u.shape[3], u.shape[4]
    line, outputs = Ragged.equal(batch, width, u.device), []
    for row in range(u.shape[2]):
        B_row, C_row = (x[:, :, row].repeat_interleave(channels // x.shape[-2], -2) for x in (B, C))
        decay = torch.exp(steps[:, :, row, ..., None] * A[:, None, None])
        along, down = ((delta * u)[:, :, row, ..., None] * B_row).to(decay.dtype)
        over = None if exchange is None else exchange[:, :, row, ..., None]
        kept, moved = (decay, None) if over is None else (decay * (1 - over), decay * over)
        if above is not None:
            along = along if moved is None else along + moved[0] * above
            down = down + kept[1] * above
        along = linear_scan(kept[0].flatten(0, 1), along.flatten(0, 1), line, None).view(down.shape)
        if moved is not None:
            # Nothing comes from before the first column, and its decay is not read.
            down = torch.cat([down[:, :1], down[:, 1:] + moved[1, :, 1:] * along[:, :-1]], 1)
        above = down
        y = (C_row[0] * along + C_row[1] * above).sum(-1)
        outputs.append(y.real if y.is_complex() else y)
    return torch.stack(outputs, 1), above if above is not None else u.new_zeros(0)


def grid_selective_scan_gradient(
    grad_out: Tensor, tensors: Sequence[Tensor | None], topology: Grid
) -> list[Tensor | None]:
    """The gradient in u, delta, A, B, C, D and exchange, None where it is None; differentiable itself."""

    def run(*tensors: Any) -> tuple[Tensor]:
        scan: Any = grid_selective_scan
        return (scan(*tensors, topology),)

    return _gradient(run, tensors, (grad_out,))


_DELTA_CHUNK = 32


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
    r"""Chunk by chunk in the WY form (Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule").

    With several steps a token, the steps are the rows of a longer sequence, gated at a token's first step and read at
    its last. In a chunk with rows :math:`k_i` and cumulative gates :math:`c_i`, one triangular solve gives what each
    row writes, as a linear function of the state that enters; only that state goes from chunk to chunk.
    """
    heads, steps, key_size, value_size = k.shape[1], k.shape[2], k.shape[3], v.shape[3]
    state = v.new_zeros(topology.num_segments, heads, key_size, value_size) if initial is None else initial
    if topology.num_states == 0:
        return v.new_zeros(0, heads, value_size), state
    if log_decay is not None and initial is None:
        # A gate that has no state to act on may be anything.
        log_decay = log_decay.index_fill(0, topology.first, 0)
    if log_decay is not None:
        # Differences of sums are taken below: of gates that forget everything, exp(-inf), they would be NaN. From the
        # bound on, a gate is zero as well.
        log_decay = log_decay.clamp(min=2 * math.log(torch.finfo(log_decay.dtype).tiny))
    chunks = _delta_chunks(topology, max(1, _DELTA_CHUNK // steps))
    inside, rows = chunks.tokens >= 0, chunks.tokens.clamp(min=0)

    def chunked(values: Tensor) -> Tensor:
        """``[T, heads, steps, …]`` to ``[chunks, heads, size · steps, …]``, zero beyond a segment's end."""
        picked = torch.where(inside.view(*inside.shape, *(1,) * (values.dim() - 1)), values[rows], 0)
        return picked.transpose(1, 2).flatten(2, 3)

    keys, values, rates = chunked(k), chunked(v), chunked(beta)[..., None]
    queries = chunked(q[:, :, None])
    no_gate = q.new_zeros(*q.shape[:2])
    gates = chunked((no_gate if log_decay is None else log_decay)[:, :, None]).cumsum(-1)
    at_row = gates.repeat_interleave(steps, -1)
    row = torch.arange(at_row.shape[-1], device=q.device)
    read_at = row[steps - 1 :: steps]

    def decay_between(later: Tensor, earlier: Tensor, allowed: Tensor) -> Tensor:
        # Exponents that are not allowed would overflow: they are replaced before the exponential, not masked after.
        return torch.where(allowed, later[..., :, None] - earlier[..., None, :], -torch.inf).exp()

    system = rates * (keys @ keys.transpose(-1, -2)) * decay_between(at_row, at_row, row[:, None] > row)
    right = torch.cat([rates * values, rates * at_row.exp()[..., None] * keys], -1)
    solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    written, undone = solved.split([value_size, key_size], -1)
    scores = (queries @ keys.transpose(-1, -2)) * decay_between(gates, at_row, read_at[:, None] >= row)
    scaled_queries = gates.exp()[..., None] * queries
    scaled_keys = ((gates[..., -1:] - at_row).exp()[..., None] * keys).transpose(-1, -2)
    total = gates[..., -1].exp()[..., None, None]

    entering, outputs, finished, begin = state[chunks.ranked], [], [], 0
    for width in chunks.widths:
        wave = slice(begin, begin + width)
        finished.append(entering[width:])
        entering = entering[:width]
        new = written[wave] - undone[wave] @ entering
        outputs.append(scaled_queries[wave] @ entering + scores[wave] @ new)
        entering = total[wave] * entering + scaled_keys[wave] @ new
        begin += width
    # The longest segments come first and end last.
    last = torch.cat([entering, *finished[::-1]])
    by_chunk = torch.cat(outputs).transpose(1, 2)[inside]
    o = torch.empty_like(by_chunk).index_copy(0, chunks.tokens[inside], by_chunk)
    return o, state.index_copy(0, chunks.ranked, last)


class _DeltaChunks(NamedTuple):
    """Segments cut into chunks; the first chunk of each segment, then the second, …, longest segments first."""

    tokens: Tensor  # [num_chunks, size] tokens in scan direction, -1 beyond the segment's end
    ranked: Tensor  # [num_occupied] the segments, longest first
    widths: list[int]  # number of segments that have a first, second, … chunk


@kept
def _delta_chunks(topology: Ragged, size: int) -> _DeltaChunks:
    lengths = topology.lengths
    ranked = topology.occupied[lengths[topology.occupied].argsort(descending=True, stable=True)]
    counts = (lengths[ranked] + size - 1) // size
    widths = [int((counts > number).sum()) for number in range(int(counts.max()))]
    number = torch.arange(len(widths), device=lengths.device).repeat_interleave(torch.tensor(widths).to(lengths))
    segment = torch.cat([ranked[:width] for width in widths])
    step = number[:, None] * size + torch.arange(size, device=lengths.device)
    start = topology.ptr[1:][segment] - 1 if topology.reversed else topology.ptr[:-1][segment]
    tokens = start[:, None] + (-step if topology.reversed else step)
    tokens = torch.where(step < lengths[segment][:, None], tokens, -1)
    return _DeltaChunks(tokens, ranked, widths)


def matrix_scan(
    leaves: Scaled, topology: Ragged, semiring: Semiring, ends: Sequence[tuple[bool, Scaled | None]]
) -> list[Scaled]:
    """One tree of products, read from either end."""
    tree = ProductTree(leaves, topology, semiring)
    return [tree.suffixes(start) if reverse else tree.prefixes(start) for reverse, start in ends]
