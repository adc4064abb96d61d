"""Readers of the files in which signed, time-stamped networks are published."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from graphseq.data.signed.events import SignedStream, events_from_table

_DATE_FORMATS = ("%H:%M, %d %B %Y", "%H:%M, %d %b %Y")


def read_bitcoin(path: str | Path) -> SignedStream:
    """Bitcoin-OTC and Bitcoin-Alpha as SNAP publishes them: ``source,target,rating,time``, gzipped or not.

    Sorted by time, ratings of one time in the order of the file. Strength is the rating's absolute value.
    """
    with _opened(Path(path)) as lines:
        columns = np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2)
    table = {"src": columns[:, 0].astype(np.int64), "dst": columns[:, 1].astype(np.int64)}
    return events_from_table({**table, "sign": columns[:, 2], "t": columns[:, 3]}, sort=True)


def read_wiki_rfa(path: str | Path) -> SignedStream:
    """Votes on Wikipedia adminship, from SNAP's ``wiki-RfA.txt.gz`` (https://snap.stanford.edu/data/wiki-RfA.html).

    Neutral votes, and votes without a voter or a readable date, are left out. The file lists late votes first; they
    come back in time order.
    """
    votes = [vote for vote in _votes(Path(path)) if vote is not None]
    columns = zip(*votes, strict=True) if votes else ([], [], [], [])
    return events_from_table(dict(zip(("src", "dst", "sign", "t"), map(np.array, columns), strict=True)), sort=True)


def read_konect(path: str | Path) -> SignedStream:
    """A signed network in KONECT's format, for example ``download.tsv.epinions.tar.bz2``
    (http://konect.cc/networks/epinions): lines of source, target, weight and time after lines that start with ``%``.

    Takes the archive or the ``out.`` file in it. Lines of weight 0 are left out.
    """
    path = Path(path)
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            inside = [name for name in archive.getnames() if Path(name).name.startswith("out.")]
            if len(inside) != 1 or (stream := archive.extractfile(inside[0])) is None:
                raise ValueError(f"{path} must hold one file out.*, got {inside}")
            columns = np.loadtxt(stream, comments="%", ndmin=2)
    else:
        with _opened(path) as lines:
            columns = np.loadtxt(lines, comments="%", ndmin=2)
    if columns.shape[1] != 4:
        raise ValueError(f"{path} must have the columns source, target, weight and time, got {columns.shape[1]}")
    columns = columns[columns[:, 2] != 0]
    table = {"src": columns[:, 0].astype(np.int64), "dst": columns[:, 1].astype(np.int64)}
    return events_from_table({**table, "sign": columns[:, 2], "t": columns[:, 3]}, sort=True)


def _votes(path: Path) -> Iterator[tuple[str, str, int, float] | None]:
    with _opened(path) as lines:
        entry: dict[str, str] = {}
        for line in lines:
            key, colon, value = line.rstrip("\n").partition(":")
            if not line.strip():
                yield _vote(entry)
                entry = {}
            elif colon and key in ("SRC", "TGT", "VOT", "DAT"):
                entry[key] = value.strip()
        yield _vote(entry)


def _vote(entry: dict[str, str]) -> tuple[str, str, int, float] | None:
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
        return gzip.open(path, "rt", encoding="utf-8")  # type: ignore[return-value]
    return path.open(encoding="utf-8")
