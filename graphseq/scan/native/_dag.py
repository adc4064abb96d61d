"""The scan on directed acyclic graphs on the C++ kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from graphseq.scan import torch_backend
from graphseq.scan.dag import Dag
from graphseq.scan.native import _library
from graphseq.scan.native._library import address, dense, like, rows
from graphseq.scan.native._linear import _sharing, _sizes
from graphseq.scan.native._operator import Operator, Pass, like_decay_and_states, like_source


def dag_scan(decay: Tensor, source: Tensor, topology: Dag) -> Tensor:
    """See :func:`graphseq.scan.linear_scan`."""
    return _scan(_sharing(decay, source), source, *scheduled(topology), topology.reversed)


def scheduled(topology: Dag) -> tuple[Tensor, ...]:
    """The tensors of DagLinks in kernels.h, where they are described; the same for both directions."""
    schedule = topology.schedule
    return schedule.state, schedule.begin, schedule.link, schedule.sender, schedule.part


def _forward(decay: Tensor, source: Tensor, *schedule: Any) -> Tensor:
    states = like(source)
    if not states.numel():
        return states
    _run(decay, source, None, states, None, *schedule)
    return states


def _backward(grad: Tensor, decay: Tensor, states: Tensor, *schedule: Any) -> tuple[Tensor, Tensor]:
    grad_decay, grad_source = like(decay), like(states)
    if not states.numel():
        return grad_decay.zero_(), grad_source
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


# Graphs that were scanned without kernels, by a tensor that each schedule has of its own: their levels take a search.
_graphs = WeakTensorKeyDictionary()


def _in_pytorch(decay: Tensor, source: Tensor, *schedule: Any) -> Tensor:
    order, begin, link, sender, part, reversed = schedule
    graph = _graphs.get(sender)
    if graph is None:
        links = torch.stack(_links(order, begin, link, sender, part, False))
        _graphs[sender] = graph = Dag(links, source.shape[0])
    return torch_backend.dag_scan(decay, source, graph.reverse() if reversed else graph)


def _links(
    order: Tensor, begin: Tensor, link: Tensor, sender: Tensor, part: Tensor, reversed: bool
) -> tuple[Tensor, Tensor]:
    """Where each link comes from and leads to, in scan direction and in the numbers of the links."""
    sending = torch.empty_like(sender).index_copy_(0, link, sender)
    receiving = torch.empty_like(sender).index_copy_(0, link, order.repeat_interleave(begin.diff()))
    return (receiving, sending) if reversed else (sending, receiving)


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    decay, _, *links, ctx.reversed = inputs
    ctx.save_for_backward(decay, output, *links)


def _gradient(ctx: Any, backward: Callable, grad: Tensor) -> tuple[Tensor | None, ...]:
    decay, states, *links = ctx.saved_tensors
    return (*backward(grad, decay, states, *links, ctx.reversed), None, None, None, None, None, None)


def _differentiable_backward(grad: Tensor, decay: Tensor, states: Tensor, *schedule: Any) -> tuple[Tensor, Tensor]:
    """The gradient as a scan in the other direction."""
    *links, reversed = schedule
    grad_source = _scan(decay.conj(), grad, *links, not reversed)
    sending, receiving = _links(*schedule)
    return (grad_source[receiving] * states[sending].conj()).sum_to_size(decay.shape), grad_source


_SCHEDULE = "Tensor order, Tensor begin, Tensor link, Tensor sender, Tensor part, bool reversed"
_scan = Operator(
    "dag_scan",
    Pass(
        f"(Tensor decay, Tensor source, {_SCHEDULE}) -> Tensor",
        kernel=_forward,
        anywhere=_in_pytorch,
        shapes=like_source,
    ),
    # The gradients of decay and source.
    Pass(
        f"(Tensor grad, Tensor decay, Tensor states, {_SCHEDULE}) -> (Tensor, Tensor)",
        kernel=_backward,
        anywhere=_differentiable_backward,
        shapes=like_decay_and_states,
    ),
    save=_save,
    gradient=_gradient,
    differentiable=_differentiable_backward,
)
