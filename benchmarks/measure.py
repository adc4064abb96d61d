"""Time and memory of calls, so that they can be compared: in turn, on a warm heap, median and minimum."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

Call = Callable[[], object]


class Milliseconds(NamedTuple):
    """Of some calls."""

    median: float
    minimum: float


def keep_pages() -> bool:
    """Have glibc keep freed memory; whether it does.

    It hands blocks above 32 MiB back to the kernel, which clears their pages again for the next call: beyond a few
    million elements that would take longer than a scan, whoever runs it.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return False
    trim_threshold, mmap_max = -1, -4
    return bool(libc.mallopt(trim_threshold, 2**31 - 1) and libc.mallopt(mmap_max, 0))


def milliseconds(calls: Mapping[str, Call], repeats: int) -> dict[str, Milliseconds]:
    """Each call in turn, again and again, so that whatever else the machine does strikes all of them.

    Every timed call follows an untimed one of its own, which leaves the memory that it needs with the allocator.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: Milliseconds(statistics.median(taken), min(taken)) for name, taken in times.items()}


def triad(repeats: int = 15, elements: int = 1 << 25) -> float:
    """Memory bandwidth in GB/s of ``a = b + s c`` on arrays far larger than any cache, three transfers an element."""
    a, b, c = (torch.ones(elements) for _ in range(3))
    best = milliseconds({"triad": lambda: torch.add(b, c, alpha=2.0, out=a)}, repeats)["triad"].minimum
    return 3 * 4 * elements / best / 1e6


def peak_mebibytes(make: Callable[..., Call], *arguments: Any) -> float:
    """Resident memory that ``make(*arguments)()`` takes at its peak beyond what it found, in a process of its own."""
    # There every block of some size goes back to the system as soon as it is freed, so the peak is what is alive.
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(_rise, (make, torch.get_num_threads(), *arguments))
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _rise(make: Callable[..., Call], threads: int, *arguments: Any) -> float:
    torch.set_num_threads(threads)
    call = make(*arguments)
    call()  # whatever is loaded or compiled once
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    start = _status("VmRSS")
    call()
    return (_status("VmHWM") - start) / 1024


def _status(key: str) -> int:
    """In KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
