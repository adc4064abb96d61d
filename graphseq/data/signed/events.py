"""A stream of signed events as PyG's ``TemporalData``, from tensors or from a table of one's own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import TemporalData


class SignedStream(NamedTuple):
    """Events in time order, and who the nodes are.

    Args:
        events: ``src``, ``dst`` (nodes from 0, without holes), ``t`` (float64), ``msg`` (strength, ``[E, 1]``) and
            ``y`` (the sign, -1 or +1).
        users: the name, in the source, of each node.
    """

    events: TemporalData
    users: np.ndarray


def signed_events(
    src: Tensor,
    dst: Tensor,
    t: Tensor,
    sign: Tensor,
    strength: Tensor | None = None,
    *,
    num_nodes: int | None = None,
    sort: bool = False,
) -> TemporalData:
    """Checked events, in the form that everything about signed streams takes.

    Args:
        src, dst: who acts on whom, ``[E]``, int64, from 0.
        t: time of each event, ``[E]``; kept in float64, since float32 resolves Unix seconds only to about a minute.
        sign: ``[E]``; either all in {-1, +1}, or all in {0, 1} where 0 is the negative sign.
        strength: size of each event, ``[E]`` or ``[E, channels]``; ones if not given.
        num_nodes: ids must be below it.
        sort: put events in time order, those of one time in the order given; otherwise they must be in order.

    Raises:
        ValueError: if sizes differ, times are unsorted or not finite, a sign is none, or an id is out of range.

    Example:
        >>> from graphseq.data import signed_events
        >>> who, whom = torch.tensor([0, 1, 0]), torch.tensor([1, 2, 2])
        >>> signed_events(who, whom, torch.tensor([1.0, 2.0, 2.0]), torch.tensor([1, 0, 1])).y
        tensor([ 1, -1,  1])
    """
    if not src.shape == dst.shape == t.shape == sign.shape or src.dim() != 1:
        shapes = ", ".join(str(list(value.shape)) for value in (src, dst, t, sign))
        raise ValueError(f"src, dst, t and sign must have one entry for each event, got shapes {shapes}")
    check_nodes(src, dst, num_nodes)
    t = t.double()
    if not bool((finite := torch.isfinite(t)).all()):
        place = int((~finite).nonzero()[0])
        raise ValueError(f"t must be finite, got {float(t[place])} at event {place}")
    strength = torch.ones(len(t), 1) if strength is None else strength.to(torch.get_default_dtype())
    strength = strength.reshape(len(t), -1)
    if not bool(torch.isfinite(strength).all()):
        raise ValueError("strength must be finite, got NaN or infinity")
    sign = as_signs(sign)
    if sort:
        order = t.argsort(stable=True)
        src, dst, t, sign, strength = (value[order] for value in (src, dst, t, sign, strength))
    check_sorted(t)
    return TemporalData(src=src, dst=dst, t=t, msg=strength, y=sign)


def events_from_table(
    table: Any,
    *,
    src: str = "src",
    dst: str = "dst",
    t: str = "t",
    sign: str = "sign",
    strength: str | None = None,
    sort: bool = False,
) -> SignedStream:
    """A stream from a table with one row an event: a pandas ``DataFrame``, or a dictionary of columns.

    Users may be numbers or strings; nodes are numbered in the order of their sorted names.

    Args:
        table: the columns.
        src, dst, t, sign, strength: which column is which. Where ``strength`` is not given, it is the absolute value of
            the sign's column if that holds ratings (any numbers but 0), else 1.
        sort: as in :func:`signed_events`. Times may be ``datetime64``; they become seconds.

    Raises:
        ValueError: if a column is missing, or as in :func:`signed_events`.

    Example:
        >>> from graphseq.data import events_from_table
        >>> ratings = {"src": ["ann", "bob"], "dst": ["bob", "eve"], "t": [10, 20], "sign": [8, -10]}
        >>> stream = events_from_table(ratings)
        >>> stream.events.y.tolist(), stream.events.msg.flatten().tolist(), stream.users.tolist()
        ([1, -1], [8.0, 10.0], ['ann', 'bob', 'eve'])
    """
    wanted = [column for column in (src, dst, t, sign, strength) if column is not None]
    if missing := [column for column in wanted if column not in table]:
        raise ValueError(f"table must have the columns {wanted}, got none called {missing[0]!r}")
    users, number = np.unique(np.concatenate([np.asarray(table[src]), np.asarray(table[dst])]), return_inverse=True)
    ends = torch.from_numpy(number.astype(np.int64)).view(2, -1)
    rating = torch.from_numpy(np.array(table[sign], dtype=np.float64))
    is_rating = not bool((rating == 0).any()) and not bool((rating.abs() == 1).all())
    if strength is not None:
        size = torch.from_numpy(np.array(table[strength], dtype=np.float64))
    else:
        size = rating.abs() if is_rating else torch.ones_like(rating)
    times = torch.from_numpy(_seconds(np.asarray(table[t])))
    signs = rating.sign() if is_rating else rating
    return SignedStream(signed_events(ends[0], ends[1], times, signs, size, sort=sort), users)


def as_signs(sign: Tensor) -> Tensor:
    """Signs as -1 and +1, int64, from those or from 0 and 1.

    Raises:
        ValueError: if they are neither.
    """
    allowed = ((sign.abs() == 1) | (sign == 0)) & ~((sign == 0).any() & (sign == -1))
    if not bool(allowed.all()):
        found = sign.unique().tolist()
        shown = f"{found[:6]}{' …' if len(found) > 6 else ''}"
        raise ValueError(f"sign must be all in {{-1, +1}} or all in {{0, 1}}, got {shown}")
    return torch.where(sign > 0, 1, -1)


def check_sorted(t: Tensor) -> None:
    """Times must not decrease."""
    falls = t[1:] < t[:-1]
    if bool(falls.any()):
        place = int(falls.nonzero()[0]) + 1
        raise ValueError(
            f"t must be in ascending order (signed_events(..., sort=True) sorts), "
            f"got {float(t[place])} after {float(t[place - 1])} at event {place}"
        )


def check_nodes(src: Tensor, dst: Tensor, num_nodes: int | None) -> None:
    """Both ends must be nodes."""
    for name, ends in (("src", src), ("dst", dst)):
        if ends.dtype != torch.int64:
            raise ValueError(f"{name} must have dtype torch.int64, got {ends.dtype}")
        if ends.numel() and (int(ends.min()) < 0 or (num_nodes is not None and int(ends.max()) >= num_nodes)):
            limit = "from 0" if num_nodes is None else f"in 0..{num_nodes - 1}"
            raise ValueError(f"{name} must hold nodes {limit}, got values from {int(ends.min())} to {int(ends.max())}")


def _seconds(times: np.ndarray) -> np.ndarray:
    if np.issubdtype(times.dtype, np.datetime64):
        seconds = times.astype("datetime64[us]").astype(np.float64) / 1e6
        return np.where(np.isnat(times), np.nan, seconds)
    return times.astype(np.float64)
