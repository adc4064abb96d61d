"""The scan on directed acyclic graphs on the C++ kernels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from graphseq.scan.dag import Dag
from graphseq.scan.native import _library
from graphseq.scan.native._library import address, dense, rows
from graphseq.scan.native._linear import _sharing, _sizes

_SCHEDULE = "Tensor order, Tensor begin, Tensor link, Tensor sender, Tensor part, bool reversed"
_ops = torch.library.Library("graphseq", "FRAGMENT")
_ops.define(f"dag_scan(Tensor decay, Tensor source, {_SCHEDULE}) -> Tensor")
# The gradients of decay and source.
_ops.define(f"dag_scan_backward(Tensor grad, Tensor decay, Tensor states, {_SCHEDULE}) -> (Tensor, Tensor)")

# Parts of a graph that threads may take: enough for any machine, few enough to cost nothing.
_MAX_PARTS = 64


def dag_scan(decay: Tensor, source: Tensor, topology: Dag) -> Tensor:
    """See :func:`graphseq.scan.linear_scan`."""
    return _scan(_sharing(decay, source), source, *_schedule(topology), False)


def _scan(decay: Tensor, source: Tensor, *schedule: Any) -> Tensor:
    if not _library.reaches(source):
        return torch.ops.graphseq.dag_scan(decay, source, *schedule)
    if torch.is_grad_enabled() and (decay.requires_grad or source.requires_grad):
        return _DagScan.apply(decay, source, *schedule)
    return _forward(decay, source, *schedule)


class _Schedule(NamedTuple):
    """The tensors of DagLinks in kernels.h, where they are described."""

    order: Tensor
    begin: Tensor
    link: Tensor
    sender: Tensor
    part: Tensor


def _schedule(topology: Dag) -> _Schedule:
    if "native" not in topology.cache:
        topology.cache["native"] = _scheduled(topology)
    return topology.cache["native"]


def _scheduled(topology: Dag) -> _Schedule:
    states, (sender, receiver) = topology.num_states, topology.edge_index.numpy()
    pairs = coo_array((np.ones(sender.shape, dtype=bool), (sender, receiver)), shape=(states, states))
    components, component = connected_components(pairs, directed=False) if states else (0, np.zeros(0, dtype=np.int64))
    # Neighbouring components together, about as many states in each part.
    sizes = np.bincount(component, minlength=components)
    share = (np.cumsum(sizes) - sizes) * _MAX_PARTS // max(states, 1)
    order = np.lexsort((topology.level.numpy(), share[component]))
    place = np.empty_like(order)
    place[order] = np.arange(states)
    link = np.argsort(place[receiver], kind="stable")
    entering = np.bincount(place[receiver], minlength=states)
    filled = np.bincount(share[component], minlength=_MAX_PARTS) if states else np.zeros(0, dtype=np.int64)
    arrays = order, _bounds(entering), link, sender[link], _bounds(filled[filled > 0])
    return _Schedule(*(torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)) for array in arrays))


def _bounds(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)])


def _forward(decay: Tensor, source: Tensor, *schedule: Any) -> Tensor:
    states = torch.empty(source.shape, dtype=source.dtype)
    _run(decay, source, None, states, None, *schedule)
    return states


def _backward(grad: Tensor, decay: Tensor, states: Tensor, *schedule: Any) -> tuple[Tensor, Tensor]:
    grad_decay, grad_source = _fake_backward(grad, decay, states)
    *links, reversed = schedule
    _run(decay, grad, dense(states), grad_source, grad_decay, *links, not reversed)
    return grad_decay, grad_source


def _run(
    decay: Tensor,
    source: Tensor,
    seen: Tensor | None,
    states: Tensor,
    grad_decay: Tensor | None,
    *schedule: Any,
) -> None:
    order, begin, link, sender, part, reversed = schedule
    heads, width = _sizes(decay, source)
    decay, decay_stride = rows(decay)
    source, source_stride = rows(source)
    links = _library.DagLinks(
        order=order.data_ptr(),
        begin=begin.data_ptr(),
        link=link.data_ptr(),
        sender=sender.data_ptr(),
        part=part.data_ptr(),
        states=order.shape[0],
        count=link.shape[0],
        parts=part.shape[0] - 1,
        reversed=reversed,
    )
    _library.call(
        _library.DagScan(
            decay=decay.data_ptr(),
            source=source.data_ptr(),
            seen=address(seen),
            states=states.data_ptr(),
            grad_decay=address(grad_decay),
            heads=heads,
            width=width,
            decay_stride=decay_stride,
            source_stride=source_stride,
            links=links,
            threads=torch.get_num_threads(),
            dtype=_library.DTYPES[source.dtype],
        )
    )


def _fake_forward(decay: Tensor, source: Tensor, *_: Any) -> Tensor:
    return source.new_empty(source.shape)


def _fake_backward(grad: Tensor, decay: Tensor, states: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return decay.new_empty(decay.shape), states.new_empty(states.shape)


def _setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    decay, _, *links, ctx.reversed = inputs
    ctx.save_for_backward(decay, output, *links)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    decay, states, *links = ctx.saved_tensors
    if torch.is_grad_enabled():
        grads = _differentiable_backward(grad, decay, states, *links, ctx.reversed)
    elif _library.reaches(grad):
        grads = _backward(grad, decay, states, *links, ctx.reversed)
    else:
        grads = torch.ops.graphseq.dag_scan_backward(grad, decay, states, *links, ctx.reversed)
    return (*grads, None, None, None, None, None, None)


def _differentiable_backward(grad: Tensor, decay: Tensor, states: Tensor, *schedule: Any) -> tuple[Tensor, Tensor]:
    """The gradient as a scan in the other direction, for when it is differentiated again."""
    order, begin, link, sender, part, reversed = schedule
    grad_source = _scan(decay.conj(), grad, order, begin, link, sender, part, not reversed)
    # In the numbers of the links, which the schedule has sorted.
    sending = torch.empty_like(sender).index_copy_(0, link, sender)
    receiving = torch.empty_like(sender).index_copy_(0, link, order.repeat_interleave(begin.diff()))
    if reversed:
        sending, receiving = receiving, sending
    return (grad_source[receiving] * states[sending].conj()).sum_to_size(decay.shape), grad_source


class _DagScan(torch.autograd.Function):
    """What the operator does under autograd, without the dispatcher."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _forward(*inputs)
        _setup_context(ctx, inputs, output)
        return output

    backward = staticmethod(_gradient)


_ops.impl("dag_scan", _forward, "CPU")
_ops.impl("dag_scan_backward", _backward, "CPU")
torch.library.register_fake("graphseq::dag_scan", _fake_forward, lib=_ops)
torch.library.register_fake("graphseq::dag_scan_backward", _fake_backward, lib=_ops)
torch.library.register_autograd("graphseq::dag_scan", _gradient, setup_context=_setup_context, lib=_ops)
