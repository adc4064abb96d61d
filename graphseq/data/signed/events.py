"""A stream of signed events as PyG's ``TemporalData``, from tensors or from a table of one's own."""

from __future__ import annotations

from datetime import tzinfo
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import TemporalData

from graphseq.data.cells import as_cells, as_numbers, first_row, is_missing, is_plain, shown
from graphseq.data.stamps import read_stamps


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
            Times of a narrower type are refused where they no longer tell whole numbers apart.
        sign: ``[E]``; either all in {-1, +1}, or all in {0, 1} where 0 is the negative sign.
        strength: size of each event, ``[E]`` or ``[E, channels]``; ones if not given.
        num_nodes: ids must be below it.
        sort: put events in time order, those of one time in the order given; otherwise they must be in order.

    Raises:
        ValueError: if sizes differ, times are unsorted, not finite or not exact, a sign is none, or an id is out of
            range.

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
    _check_exact(t)
    t = t.double()
    if not bool((finite := torch.isfinite(t)).all()):
        place = int((~finite).nonzero()[0])
        raise ValueError(f"t must be finite, got {float(t[place])} at event {place}")
    if strength is None:
        strength = torch.ones(len(t), 1)
    if strength.dim() not in (1, 2) or len(strength) != len(t):
        raise ValueError(f"strength must have shape [{len(t)}] or [{len(t)}, channels], got {list(strength.shape)}")
    if not bool(torch.isfinite(strength).all()):
        raise ValueError("strength must be finite, got NaN or infinity")
    largest, kept = strength.double().abs().max() if strength.numel() else 0.0, torch.get_default_dtype()
    if largest > torch.finfo(kept).max:
        raise ValueError(f"strength must be within {kept}, got up to {float(largest):g}")
    strength = strength.to(kept) if strength.dim() == 2 else strength.to(kept)[:, None]
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
    time_format: str | None = None,
    zone: str | tzinfo | None = None,
) -> SignedStream:
    """A stream from a table with one row an event: a pandas ``DataFrame``, or a dictionary of columns.

    Users may be numbers or strings; nodes are numbered in the order of their sorted names. Where one column holds whole
    numbers and the other texts, all are texts.

    Args:
        table: the columns.
        src, dst, t, sign, strength: which column is which. Where ``strength`` is not given, it is the absolute value of
            the sign's column if that holds ratings (any numbers but 0), else 1.
        sort: as in :func:`signed_events`. Times may be ``datetime64``; they become seconds.
        time_format: how times are written that are neither numbers nor dates nor texts with the year first, such as
            ``"%d/%m/%Y %H:%M"``.
        zone: time zone of dates that name none, which without it are taken for UTC.

    Dates, with or without a time zone, become seconds since the beginning of 1970 in UTC.

    Raises:
        ValueError: if a column is missing, is there twice or has another length, a cell is empty or no number where
            one is needed, a time cannot be read without a guess, or as in :func:`signed_events`.

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
    columns = {column: _column(table, column) for column in wanted}
    if len({len(cells) for cells in columns.values()}) > 1:
        lengths = ", ".join(f"{column!r} {len(cells)}" for column, cells in columns.items())
        raise ValueError(f"table must have columns of one length, got {lengths}")
    users, number = np.unique(np.concatenate(_users(columns[src], columns[dst], src, dst)), return_inverse=True)
    ends = torch.from_numpy(number.astype(np.int64)).view(2, -1)
    rating = torch.from_numpy(_filled(columns[sign], sign))
    is_rating = not bool((rating == 0).any()) and not bool((rating.abs() == 1).all())
    if strength is not None:
        size = torch.from_numpy(_filled(columns[strength], strength))
    else:
        size = rating.abs() if is_rating else torch.ones_like(rating)
    times = torch.from_numpy(_seconds(table[t], t, time_format, zone))
    signs = rating.sign() if is_rating else rating
    return SignedStream(signed_events(ends[0], ends[1], times, signs, size, sort=sort), users)


def as_signs(sign: Tensor) -> Tensor:
    """Signs as -1 and +1, int64, from those or from 0 and 1.

    Raises:
        ValueError: if they are neither.
    """
    sign = sign.long() if sign.dtype in (torch.bool, torch.uint8) else sign
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


def _check_exact(t: Tensor) -> None:
    """Times are whole numbers more often than not, and float64 must tell them apart."""
    if not t.numel() or t.dtype == torch.float64:
        return
    if t.is_complex():
        raise ValueError(f"t must be real, got {t.dtype}")
    if t.is_floating_point():
        largest = float(t[t.isfinite()].abs().max()) if bool(t.isfinite().any()) else 0.0
        if largest * torch.finfo(t.dtype).eps > 2:
            raise ValueError(
                f"t must be float64 or int64 for times up to {largest:g}, got {t.dtype}, which does not hold every "
                f"whole number beyond {2 / torch.finfo(t.dtype).eps:g}"
            )
    elif bool((inexact := t.double().long() != t).any()):
        place = int(inexact.nonzero()[0])
        raise ValueError(
            f"t must be exact in float64, got {int(t[place])} at event {place}: take the first time from all, or a "
            "coarser unit"
        )


def _column(table: Any, name: str) -> np.ndarray:
    cells = as_cells(table[name])
    if cells.ndim != 1:
        raise ValueError(
            f"table must have one column {name!r} with a cell for each event, got shape {list(cells.shape)}"
        )
    return cells


def _filled(cells: np.ndarray, name: str) -> np.ndarray:
    numbers = as_numbers(cells, name, "table")
    if not np.isfinite(numbers).all():
        row = int((~np.isfinite(numbers)).argmax())
        raise ValueError(
            f"table must hold a number in every row of column {name!r}, got {shown(cells[row])} in row {row}"
        )
    return numbers


def _users(src: np.ndarray, dst: np.ndarray, *names: str) -> tuple[np.ndarray, np.ndarray]:
    """Both columns in one type, in which no two users become one."""
    for cells, name in zip((src, dst), names, strict=True):
        if (row := first_row(cells, _is_nobody)) is not None:
            raise ValueError(
                f"table must name a user in every row of column {name!r}, got {shown(cells[row])} in row {row}"
            )
    kinds = {_kind(cell) for cells in (src, dst) for cell in (cells if cells.dtype.kind == "O" else cells[:1])}
    if kinds == {"text", "whole number"}:
        return np.array([str(user) for user in src.tolist()]), np.array([str(user) for user in dst.tolist()])
    if kinds == {"number", "whole number"}:
        return as_numbers(src, names[0], "table"), as_numbers(dst, names[1], "table")
    if len(kinds) > 1:
        raise ValueError(f"table must hold users of one kind in {names[0]!r} and {names[1]!r}, got {sorted(kinds)}")
    if kinds == {"whole number"} and np.result_type(src, dst).kind == "f":
        return src.astype(object), dst.astype(object)
    return src, dst


def _is_nobody(cell: Any) -> bool:
    return not cell.strip() if isinstance(cell, str) else is_missing(cell)


def _kind(cell: Any) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, Integral):
        return "whole number"
    return "number" if isinstance(cell, Real) else type(cell).__name__


def _seconds(column: Any, name: str, time_format: str | None, zone: str | tzinfo | None) -> np.ndarray:
    cells = as_cells(column)
    if time_format is None and cells.dtype.kind != "M" and all(map(_is_number, cells)):
        return as_numbers(cells, name, "table")
    times = cells
    if zone is not None or time_format is not None or cells.dtype.kind != "M":
        times = read_stamps(column, name, time_format=time_format, zone=zone).time
    seconds = times.astype("datetime64[us]").astype(np.float64) / 1e6
    if len(np.unique(seconds)) < len(np.unique(times[~np.isnat(times)])):
        raise ValueError(f"table must hold times at least a microsecond apart in column {name!r}, got finer ones")
    return np.where(np.isnat(times), np.nan, seconds)


def _is_number(cell: Any) -> bool:
    return is_plain(cell) if isinstance(cell, str) else isinstance(cell, Real | np.bool_) or is_missing(cell)
