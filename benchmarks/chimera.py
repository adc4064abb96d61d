"""Chimera's selective grid scan beside PyTorch, time and memory: ``python benchmarks/chimera.py --save true``.

Float32, forward and backward together. The peers compute transitions and states a row, or an antidiagonal, at a time,
along the shorter side of the grid; all give the same numbers, which is checked first. Times are taken in turn in one
process (see measure.py), memory in a process of its own.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from jsonargparse import auto_cli
from measure import Call, keep_pages, milliseconds, peak_mebibytes
from torch import Tensor

from graphseq.scan import Grid, Ragged, grid_selective_scan, linear_scan, use_backend

RESULTS = Path(__file__).parents[1] / "docs" / "results"
CHANNELS, STATES = 64, 8
VARIATES, TIMES = (7, 21, 64, 321), (96, 336, 1024)
WANTED_RATIO, WANTED_MEMORY = 10.0, 3.0


def problem(variates: int, time: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """u, delta, A, B, C and exchange, as a layer at the start of its training has them."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    cells = (1, variates, time)
    A = -torch.arange(1.0, STATES + 1, dtype=dtype).expand(2, CHANNELS, STATES).clone()
    delta = torch.nn.functional.softplus(randn(2, *cells, CHANNELS) - 2)
    exchange = (0.22 + 0.1 * randn(2, *cells, CHANNELS)).sin().square()
    return [randn(*cells, CHANNELS), delta, A, randn(2, *cells, STATES), randn(2, *cells, STATES), exchange]


def fused(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, exchange: Tensor) -> Tensor:
    """Ours."""
    return grid_selective_scan(u, delta, A, B, C, exchange=exchange, topology=Grid(u.shape[1], u.shape[2], u.shape[0]))


def along_the_shorter_side(peer: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Exchange axes and states where there are more variates than times."""

    def run(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, exchange: Tensor) -> Tensor:
        if u.shape[1] <= u.shape[2]:
            return peer(u, delta, A, B, C, exchange)
        delta, B, C, exchange = (x.flip(0).transpose(2, 3) for x in (delta, B, C, exchange))
        return peer(u.transpose(1, 2), delta, A.flip(0), B, C, exchange).transpose(1, 2)

    return run


@along_the_shorter_side
def row_by_row(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, exchange: Tensor) -> Tensor:
    """Given the row above, a row is a one-dimensional scan; that one cuts it into pieces and has its own backward."""
    batch, _, time, _ = u.shape
    line, outputs, above = Ragged.equal(batch, time), [], None
    for v in range(u.shape[1]):
        e0, e1 = torch.exp(delta[:, :, v, :, :, None] * A[:, None, None])
        x0, x1 = exchange[:, :, v, :, :, None]
        along, down = (delta[:, :, v] * u[:, v])[..., None] * B[:, :, v, :, None]
        if above is not None:
            along, down = along + e0 * x0 * above, down + e1 * (1 - x1) * above
        with use_backend("torch"):
            along = linear_scan((e0 * (1 - x0)).flatten(0, 1), along.flatten(0, 1), line).view(along.shape)
        before = torch.nn.functional.pad(along[:, :-1], (0, 0, 0, 0, 1, 0))
        above = down + e1 * x1 * before
        outputs.append((along @ C[0, :, v, :, :, None] + above @ C[1, :, v, :, :, None]).squeeze(-1))
    return torch.stack(outputs, 1)


@along_the_shorter_side
def antidiagonals(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, exchange: Tensor) -> Tensor:
    """Cells with the same v + t at once, of which there are at most as many as rows; each reads the diagonal before."""
    rows, columns = u.shape[1:3]
    zero = u.new_zeros(u.shape[0], 1, CHANNELS, STATES)
    h0 = h1 = zero[:, :0]
    outputs = []
    for k in range(rows + columns - 1):
        first, end = max(0, k - columns + 1), min(rows, k + 1)
        v = torch.arange(first, end)
        e0, e1 = torch.exp(delta[:, :, v, k - v, :, None] * A[:, None, None])
        x0, x1 = exchange[:, :, v, k - v, :, None]
        source = (delta[:, :, v, k - v] * u[:, v, k - v])[..., None] * B[:, :, v, k - v, None]
        # The diagonal before starts at row `start`; the cell of row v reads its rows v and v - 1.
        start = max(0, k - columns)
        before = torch.cat([h0, zero], 1)[:, first - start : end - start]
        above = torch.cat([zero, h1], 1)[:, first - start : end - start]
        h0 = e0 * ((1 - x0) * before + x0 * above) + source[0]
        h1 = e1 * (x1 * before + (1 - x1) * above) + source[1]
        outputs.append((h0 @ C[0][:, v, k - v, :, None] + h1 @ C[1][:, v, k - v, :, None]).squeeze(-1))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    diagonal = row + column
    starts = torch.tensor([0, *(y.shape[1] for y in outputs)]).cumsum(0)
    place = starts[diagonal] + row - (diagonal - columns + 1).clamp(min=0)
    return torch.cat(outputs, 1)[:, place]


METHODS = {"fused": fused, "row by row": row_by_row, "antidiagonals": antidiagonals}


def both_passes(variates: int, time: int, method: str) -> Call:
    """Forward and backward."""
    leaves = [tensor.requires_grad_() for tensor in problem(variates, time)]
    weight = torch.ones_like(leaves[0])
    return lambda: torch.autograd.grad(METHODS[method](*leaves), leaves, weight)


def check() -> None:
    """All agree in float64, outputs and gradients."""
    for size in ((3, 5), (5, 3), (4, 4), (7, 20)):
        found = []
        for method in METHODS.values():
            leaves = [tensor.requires_grad_() for tensor in problem(*size, dtype=torch.float64)]
            y = method(*leaves)
            found.append([y, *torch.autograd.grad(y.sin().sum(), leaves)])
        for others in found[1:]:
            for a, b in zip(found[0], others, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def peak(variates: int, time: int) -> dict[str, Any]:
    """Of forward and backward together, the inputs included, and what it is to be compared with."""
    tensors = problem(variates, time)
    inputs, output = (sum(x.numel() for x in part) * 4 / 2**20 for part in (tensors, tensors[:1]))
    found = inputs + peak_mebibytes(both_passes, variates, time, "fused")
    return {"variates": variates, "time": time, "peak_mib": found, "inputs_and_output_mib": inputs + output}


def measure(variates: int, time: int, repeats: int, methods: list[str]) -> dict[str, Any]:
    """Times, and how many times as long as ours the better of the peers takes."""
    taken = milliseconds({name: both_passes(variates, time, name) for name in methods}, repeats)
    found: dict[str, Any] = {"variates": variates, "time": time}
    found["milliseconds"] = {name: times._asdict() for name, times in taken.items()}
    if len(methods) > 1:
        for of in ("median", "minimum"):
            found[f"ratio, {of}"] = min(getattr(taken[name], of) for name in methods[1:]) / getattr(taken["fused"], of)
    return found


def slope(sizes: list[dict[str, Any]]) -> float:
    """Exponent p of the best fit of milliseconds ~ cells^p."""
    cells = torch.tensor([float(s["variates"] * s["time"]) for s in sizes]).log()
    times = torch.tensor([s["milliseconds"]["fused"]["minimum"] for s in sizes]).log()
    cells, times = cells - cells.mean(), times - times.mean()
    return float((cells * times).sum() / (cells * cells).sum())


def draw(record: dict[str, Any]) -> None:
    """Times against the number of cells, and memory against what it is bounded by."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for name in METHODS:
        points = sorted(
            (s["variates"] * s["time"], s["milliseconds"][name]["median"])
            for s in record["sizes"]
            if name in s["milliseconds"]
        )
        left.loglog(*zip(*points, strict=True), "o-", ms=3, label=name)
    left.set(xlabel="cells, variates × time", ylabel="ms, forward + backward")
    left.legend(frameon=False)
    bounds, peaks = zip(*((m["inputs_and_output_mib"], m["peak_mib"]) for m in record["memory"]), strict=True)
    right.loglog(bounds, peaks, "o", label="peak")
    right.loglog(bounds, [WANTED_MEMORY * b for b in bounds], "--", color="0.5", label=f"{WANTED_MEMORY:.0f} × ")
    right.set(xlabel="inputs and output, MiB", ylabel="peak, forward + backward, MiB")
    right.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(RESULTS / "chimera.png", dpi=150)


def main(repeats: int = 7, threads: int = 1, peers: int = 64 * 1024, memory: bool = True, save: bool = False) -> None:
    """Print milliseconds and ratios for each size, the exponent of the growth, and peaks of memory.

    Args:
        repeats: timed calls of each method.
        threads: for PyTorch and the kernels alike.
        peers: cells of the largest grid on which the peers run too; they take minutes on more, and gigabytes.
        memory: also measure peaks.
        save: write the numbers and a figure to docs/results.
    """
    torch.set_num_threads(threads)
    check()
    chosen = [(v, t) for v in VARIATES for t in TIMES]
    peaks = []
    for variates, time in chosen if memory else []:
        peaks.append(peak(variates, time))
        found, bound = peaks[-1]["peak_mib"], peaks[-1]["inputs_and_output_mib"]
        print(f"{variates:4} × {time:4}: peak {found:7.1f} MiB, {found / bound:.2f} × inputs and output", flush=True)
    keep_pages()
    sizes = []
    for variates, time in chosen:
        methods = list(METHODS) if variates * time <= peers else ["fused"]
        sizes.append(measure(variates, time, repeats, methods))
        times = "".join(f"{name} {t['median']:10.2f} ms   " for name, t in sizes[-1]["milliseconds"].items())
        ratio = sizes[-1].get("ratio, median", math.nan)
        print(f"{variates:4} × {time:4}: {times}{ratio:6.1f} ×", flush=True)
    print(f"milliseconds ~ cells^{slope(sizes):.2f}")
    if save:
        record = {
            "benchmark": "selective scan on a grid of variates × time, float32, forward and backward, one window",
            "command": f"python benchmarks/chimera.py --repeats {repeats} --peers {peers} --save true",
            "machine": platform.machine(),
            "threads": threads,
            "torch": torch.__version__,
            "repeats": repeats,
            "channels": CHANNELS,
            "states": STATES,
            "wanted": {"ratio to the better peer": WANTED_RATIO, "peak to inputs and output": WANTED_MEMORY},
            "sizes": sizes,
            "exponent": slope(sizes),
            "memory": peaks,
        }
        (RESULTS / "chimera.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        draw(record)


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
