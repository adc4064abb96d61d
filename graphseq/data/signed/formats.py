"""Readers of the files in which signed, time-stamped networks are published."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from graphseq.data.signed.events import SignedStream, events_from_table

_DATE_FORMATS = ("%H:%M, %d %B %Y", "%H:%M, %d %b %Y")


def read_bitcoin(path: str | Path) -> SignedStream:
    """Bitcoin-OTC and Bitcoin-Alpha as SNAP publishes them: ``source,target,rating,time``, gzipped or not.

    Sorted by time, ratings of one time in the order of the file. Strength is the rating's absolute value.

    Raises:
        ValueError: if a line does not hold these four, or a rating is 0.
    """
    with _opened(Path(path)) as lines:
        table = _columns(lines, path, ("source", "target", "rating", "time"), delimiter=",", comments=None)
    return events_from_table(table, sort=True)


def read_wiki_rfa(path: str | Path) -> SignedStream:
    """Votes on Wikipedia adminship, from SNAP's ``wiki-RfA.txt.gz`` (https://snap.stanford.edu/data/wiki-RfA.html).

    Neutral votes, and votes without a voter or a readable date, are left out; a warning says how many dates there were
    that cannot be read. The file lists late votes first; they come back in time order.

    Raises:
        ValueError: if a vote is none of 1, 0 and -1, or the file holds no votes in this format.
    """
    entries = list(_entries(Path(path)))
    if not entries:
        raise ValueError(f"{path} must hold votes in lines that begin with SRC:, TGT:, VOT: and DAT:, got none")
    unread = [entry["DAT"] for entry in entries if entry.get("DAT") and _date(entry["DAT"]) is None]
    if unread:
        warnings.warn(
            f"{path}: {len(unread)} votes are left out, as their date cannot be read: {unread[0]!r}", stacklevel=2
        )
    votes = [vote for entry in entries if (vote := _vote(entry, path)) is not None]
    columns = zip(*votes, strict=True) if votes else ([], [], [], [])
    return events_from_table(dict(zip(("src", "dst", "sign", "t"), map(np.array, columns), strict=True)), sort=True)


def read_konect(path: str | Path) -> SignedStream:
    """A signed network in KONECT's format, for example ``download.tsv.epinions.tar.bz2``
    (http://konect.cc/networks/epinions): lines of source, target, weight and time after lines that start with ``%``.

    Takes the archive or the ``out.`` file in it. Lines of weight 0 are left out.

    Raises:
        ValueError: if a line does not hold these four, or the archive another number of such files than one.
    """
    path = Path(path)
    names = ("source", "target", "weight", "time")
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            inside = [name for name in archive.getnames() if Path(name).name.startswith("out.")]
            if len(inside) != 1 or (stream := archive.extractfile(inside[0])) is None:
                raise ValueError(f"{path} must hold one file out.*, got {inside}")
            table = _columns(io.TextIOWrapper(stream, encoding="utf-8-sig"), path, names, comments="%")
    else:
        with _opened(path) as lines:
            table = _columns(lines, path, names, comments="%")
    weighed = table["sign"] != 0
    return events_from_table({name: column[weighed] for name, column in table.items()}, sort=True)


def _columns(lines: Iterable[str], path: str | Path, names: tuple[str, ...], **form: Any) -> dict[str, np.ndarray]:
    """Two ids, which are whole numbers, and two numbers a line."""
    rows = list(lines)
    comments, delimiter = form["comments"], form.get("delimiter")
    filled = [line for line in rows if line.strip() and not (comments and line.startswith(comments))]
    if not filled:
        raise ValueError(f"{path} must have the columns {_listed(names)}, got no line")
    if (width := len(filled[0].split(delimiter))) != len(names):
        raise ValueError(f"{path} must have the columns {_listed(names)}, got {width}")
    kinds = [("src", np.int64), ("dst", np.int64), ("sign", np.float64), ("t", np.float64)]
    try:
        with warnings.catch_warnings():
            # NumPy would cut the fraction off an id.
            warnings.simplefilter("error", DeprecationWarning)
            columns = np.loadtxt(rows, dtype=kinds, ndmin=1, **form)
    except (ValueError, DeprecationWarning) as error:
        raise ValueError(
            f"{path} must hold {_listed(names)} as numbers in each line, ids as whole ones: {error}"
        ) from error
    return {name: columns[name] for name, _ in kinds}


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _entries(path: Path) -> Iterator[dict[str, str]]:
    with _opened(path) as lines:
        entry: dict[str, str] = {}
        for line in lines:
            key, colon, value = line.rstrip("\n").partition(":")
            known = bool(colon) and key in ("SRC", "TGT", "VOT", "DAT")
            # A vote ends with a blank line, or where the next one names its voter.
            if entry and (not line.strip() or (known and key == "SRC")):
                yield entry
                entry = {}
            if known:
                entry[key] = value.strip()
        if entry:
            yield entry


def _vote(entry: dict[str, str], path: str | Path) -> tuple[str, str, int, float] | None:
    if entry.get("VOT", "") not in ("1", "0", "-1", ""):
        raise ValueError(f"{path} must hold votes of 1, 0 or -1, got {entry['VOT']!r} of {entry.get('SRC')!r}")
    time = _date(entry.get("DAT", ""))
    if not entry.get("SRC") or not entry.get("TGT") or entry.get("VOT") not in ("1", "-1") or time is None:
        return None
    return entry["SRC"], entry["TGT"], int(entry["VOT"]), time


def _date(text: str) -> float | None:
    text = re.sub(r"\s+", " ", text)
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            continue
    return None


def _opened(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")  # type: ignore[return-value]
    return path.open(encoding="utf-8-sig")
