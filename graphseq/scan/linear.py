"""First-order linear recurrences."""

from __future__ import annotations

import torch
from jaxtyping import Inexact
from torch import Tensor

from graphseq.scan import _check, _dispatch
from graphseq.scan.dag import Dag
from graphseq.scan.grid import Grid
from graphseq.scan.topology import Ragged


def linear_scan(
    decay: Inexact[Tensor, "*links_and_decay_channels"],
    source: Inexact[Tensor, "*states_and_channels"],
    topology: Ragged | Grid | Dag,
    *,
    initial: Inexact[Tensor, "segments *channels"] | None = None,
    reverse: bool = False,
) -> Inexact[Tensor, "*states_and_channels"]:
    r"""First-order linear recurrence over the links of a topology.

    .. math::
        h_i = b_i + \sum_{l\,:\,j \to i} a_l \, h_j

    ==================  ============================  =======================================================
    topology            ``source``, and the result    ``decay``
    ==================  ============================  =======================================================
    :class:`Ragged`     ``[T, *channels]``            ``[T, *channels]``, of the receiving state
    :class:`Grid`       ``[2, B, H, W, *channels]``   ``[2, 2, B, H, W, *channels]``, incoming to outgoing state
    :class:`Dag`        ``[num_states, *channels]``   ``[num_links, *channels]``, in the order of ``edge_index``
    ==================  ============================  =======================================================

    On :class:`Ragged` this is :math:`h_t = a_t h_{t-1} + b_t` inside each segment.

    Args:
        decay: coefficient :math:`a_l` of each link, any sign, real or complex. An entry that belongs to no link (at a
            segment's start without ``initial``, at a grid's border) is never read, be it NaN or infinite. Trailing
            channel axes that are missing or of size 1 are shared by all channels and never expanded in memory.
        source: input :math:`b_i` of each state.
        topology: which state feeds which.
        initial: on :class:`Ragged`, the state before the first one of each segment, ``[num_segments, *channels]``.
        reverse: run against the links, the same as ``topology.reverse()``. On :class:`Ragged` and :class:`Grid` decays
            stay those of the receiving state: :math:`h_t = a_t h_{t+1} + b_t`.

    Returns:
        The states :math:`h_i`, in the order and dtype of ``source``. Half precision is computed in float32.
        Differentiable, any number of times, in ``decay``, ``source`` and ``initial``.

    Raises:
        TypeError: if a dtype is not floating or complex, or ``decay`` and ``source`` differ in dtype.
        ValueError: if sizes or devices do not fit one another.

    Example:
        >>> linear_scan(torch.full((3, 1), 0.5), torch.ones(3, 1), Ragged(torch.tensor([0, 3]))).squeeze()
        tensor([1.0000, 1.5000, 1.7500])

    Cost: one pass over ``decay`` and ``source``; memory for the result only.
    """
    if initial is None and _check.plain(decay, source, topology):
        topology = topology.reverse() if reverse else topology
        return _dispatch.operation("linear_scan", source)(decay, source, topology, None)
    _check.topology(topology, Ragged, Grid, Dag)
    _check.tensors(topology, decay=decay, source=source, initial=initial)
    lead = _check.laid_out(topology, decay, source)
    decay = _check.shared_channels(decay, source, lead)
    if initial is not None:
        if not isinstance(topology, Ragged):
            raise ValueError(f"initial must be None on a {type(topology).__name__}, got shape {list(initial.shape)}")
        _check.shape("initial", initial, (topology.num_segments, *source.shape[1:]))
    out_dtype = source.dtype
    decay, source, initial = _check.widened(decay=decay, source=source, initial=initial)
    topology = topology.reverse() if reverse else topology
    if isinstance(topology, Ragged):
        states = _dispatch.operation("linear_scan", source)(decay, source, topology, initial)
    else:
        name = "grid_scan" if isinstance(topology, Grid) else "dag_scan"
        states = _dispatch.operation(name, source)(decay, source, topology)
    return states if states.dtype == out_dtype else states.to(out_dtype)


def last_states(states: Tensor, topology: Ragged, initial: Tensor | None = None) -> Tensor:
    """The last state of each segment in scan direction, ``[num_segments, *channels]``.

    An empty segment keeps its ``initial`` state, or zero.
    """
    empty = states.new_zeros(topology.num_segments, *states.shape[1:]) if initial is None else initial.to(states.dtype)
    return torch.index_copy(empty, 0, topology.occupied, states[topology.last])
