"""The scans beside their peers on one CPU, time and memory: ``python benchmarks/scan.py``.

Float32; every method of a problem gives the same numbers, which is checked first. Times are taken in turn in one
process (see measure.py), so their ratios hold on a busy machine too, where absolute times do not.
"""

from __future__ import annotations

import functools
import json
import math
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from jsonargparse import auto_cli
from measure import Call, Milliseconds, keep_pages, milliseconds, peak_mebibytes, triad
from peers import LevelWise, associative, chunked_delta_rule, installed, mamba_py_selective, unbound_loop
from torch import Tensor

from graphseq.scan import (
    Dag,
    Grid,
    Ragged,
    available_backends,
    causal_conv,
    delta_scan,
    linear_scan,
    selective_scan,
    use_backend,
)

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "scan"
BACKENDS = tuple(name for name in ("native", "torch") if name in available_backends())


class Method(NamedTuple):
    """A function of a problem's inputs, and how it wants them laid out, which is not timed."""

    run: Callable[..., Tensor]
    arranged: Callable[[list[Tensor]], list[Tensor]] = list
    restored: Callable[[Tensor], Tensor] = lambda output: output


class Problem(NamedTuple):
    """The first method is ours."""

    inputs: list[Tensor]
    methods: dict[str, Method]


def ours(scan: Callable[..., Tensor]) -> dict[str, Method]:
    """The scan on each backend."""

    def on(backend: str, *inputs: Tensor) -> Tensor:
        with use_backend(backend):
            return scan(*inputs)

    return {backend: Method(functools.partial(on, backend)) for backend in BACKENDS}


def linear(batch: int, length: int, channels: int) -> Problem:
    topology, shape = Ragged.equal(batch, length), (batch, length, channels)

    def dense(inputs: list[Tensor]) -> list[Tensor]:
        return [tensor.view(shape) for tensor in inputs]

    def flat(output: Tensor) -> Tensor:
        return output.reshape(batch * length, channels)

    methods = ours(lambda decay, source: linear_scan(decay, source, topology))
    if (pscan := installed("mambapy.pscan")) is not None:
        # In the better of its two layouts.
        shaped = (batch, length, 1, channels)
        methods["mamba.py"] = Method(pscan.pscan, lambda inputs: [tensor.view(shaped) for tensor in inputs], flat)
    methods["associative_scan"] = Method(associative, dense, flat)
    methods["associative_scan, compiled"] = Method(torch.compile(associative, dynamic=False), dense, flat)
    if (reference := installed("accelerated_scan.ref")) is not None:
        methods["accelerated-scan ref"] = Method(
            reference.scan,
            lambda inputs: [tensor.view(shape).transpose(1, 2).contiguous() for tensor in inputs],
            lambda output: flat(output.transpose(1, 2)),
        )
    if length <= 1024:
        methods["loop"] = Method(unbound_loop, dense, flat)
    return Problem([torch.rand(batch * length, channels), torch.randn(batch * length, channels)], methods)


def selective(batch: int, length: int, channels: int, size: int) -> Problem:
    tokens, topology = batch * length, Ragged.equal(batch, length)
    methods = ours(lambda *inputs: selective_scan(*inputs, topology=topology))
    if (pscan := installed("mambapy.pscan")) is not None:
        methods["mamba.py"] = Method(
            functools.partial(mamba_py_selective, pscan),
            lambda inputs: [x if x.shape[0] == channels else x.view(batch, length, -1) for x in inputs],
            lambda output: output.reshape(tokens, channels),
        )
    u, delta = torch.randn(tokens, channels), torch.rand(tokens, channels)
    return Problem([u, delta, -torch.rand(channels, size), *torch.randn(2, tokens, size)], methods)


def delta(batch: int, length: int, heads: int, size: int) -> Problem:
    tokens, topology = batch * length, Ragged.equal(batch, length)
    methods = ours(lambda *inputs: delta_scan(*inputs, topology=topology))
    methods["chunks of 32"] = Method(
        functools.partial(chunked_delta_rule, chunk=32),
        lambda inputs: [x.view(batch, length, *x.shape[1:]).transpose(1, 2).contiguous() for x in inputs],
        lambda output: output.transpose(1, 2).reshape(tokens, heads, size),
    )
    q, k, v = torch.randn(3, tokens, heads, size)
    k = torch.nn.functional.normalize(k, dim=-1)
    return Problem([q / math.sqrt(size), k, v, torch.rand(tokens, heads)], methods)


def conv(batch: int, length: int, channels: int, width: int = 4) -> Problem:
    topology = Ragged.equal(batch, length)
    methods = ours(lambda x, weight, bias: causal_conv(x, weight, bias, topology, silu=True))

    def dense(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = torch.nn.functional.conv1d(x, weight[:, None], bias, padding=width - 1, groups=channels)
        return torch.nn.functional.silu(y[..., :length])

    def channels_first(inputs: list[Tensor]) -> list[Tensor]:
        return [inputs[0].view(batch, length, channels).transpose(1, 2).contiguous(), *inputs[1:]]

    methods["conv1d"] = Method(dense, channels_first, lambda y: y.transpose(1, 2).reshape(-1, channels))
    inputs = [torch.randn(*shape) for shape in ((batch * length, channels), (channels, width), (channels,))]
    return Problem(inputs, methods)


def dag(topology: Dag, channels: int = 64) -> Problem:
    methods = ours(lambda decay, source: linear_scan(decay, source, topology))
    if topology.depth < 200:
        methods["index_add a level"] = Method(LevelWise(topology))
    return Problem([torch.rand(topology.num_links, channels) / 3, torch.randn(topology.num_states, channels)], methods)


def molecules() -> Dag:
    """64 graphs of 25 atoms: a chain with two rings, bonds from the smaller number to the larger."""
    chain = torch.stack([torch.arange(24), torch.arange(1, 25)])
    one = torch.cat([chain, torch.tensor([[2, 11, 17], [8, 16, 23]])], 1)
    return Dag(torch.cat([one + 25 * graph for graph in range(64)], 1), 25 * 64)


def random_dag(nodes: int = 20_000, links: int = 60_000, reach: int | None = None) -> Dag:
    """Links from smaller numbers to larger ones, at most ``reach`` apart."""
    generator = torch.Generator().manual_seed(0)
    receiver = torch.randint(1, nodes, (links,), generator=generator)
    span = receiver if reach is None else receiver.clamp(max=reach)
    sender = receiver - 1 - (torch.rand(links, generator=generator) * span).long()
    return Dag(torch.stack([sender, receiver]), nodes)


def cells(height: int, width: int) -> Dag:
    """One state a cell, which enters the cell to its right and the one below."""
    cell = torch.arange(height * width).view(height, width)
    right = torch.stack([cell[:, :-1].flatten(), cell[:, 1:].flatten()])
    down = torch.stack([cell[:-1].flatten(), cell[1:].flatten()])
    return Dag(torch.cat([right, down], 1), height * width)


def grid(height: int, width: int, batch: int, channels: int = 64) -> Problem:
    topology = Grid(height, width, batch)
    shape = (batch, height, width, channels)
    methods = ours(lambda decay, source: linear_scan(decay, source, topology))
    return Problem([torch.rand(2, 2, *shape) / 2, torch.randn(2, *shape)], methods)


def ragged(segments: int = 128, shortest: int = 8, longest: int = 4096, channels: int = 64) -> Problem:
    """Lengths that are even on a logarithmic scale, packed and padded."""
    generator = torch.Generator().manual_seed(0)
    scale = math.log(longest / shortest)
    lengths = (shortest * torch.exp(scale * torch.rand(segments, generator=generator))).long()
    ptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    packed, padded = Ragged(ptr), Ragged.equal(segments, int(lengths.max()))
    place = packed.segment * int(lengths.max()) + packed.position

    def pad(inputs: list[Tensor]) -> list[Tensor]:
        return [x.new_zeros(padded.num_states, channels).index_copy(0, place, x) for x in inputs]

    methods = {"native": ours(lambda decay, source: linear_scan(decay, source, packed))[BACKENDS[0]]}
    same = ours(lambda decay, source: linear_scan(decay, source, padded))[BACKENDS[0]]
    methods["padded"] = Method(same.run, pad, lambda output: output[place])
    return Problem([torch.rand(packed.num_states, channels), torch.randn(packed.num_states, channels)], methods)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "linear 8×1024×256": functools.partial(linear, 8, 1024, 256),
    "linear 1×16384×256": functools.partial(linear, 1, 16384, 256),
    "linear 2×65536×64": functools.partial(linear, 2, 65536, 64),
    "selective 4×1024×256×16": functools.partial(selective, 4, 1024, 256, 16),
    "delta 4×1024×4×64": functools.partial(delta, 4, 1024, 4, 64),
    "causal conv 8×1024×256": functools.partial(conv, 8, 1024, 256),
    "graph, 64 molecules": lambda: dag(molecules()),
    "graph, 20k random nodes": lambda: dag(random_dag()),
    "graph, 20k nodes, links within 50": lambda: dag(random_dag(reach=50)),
    "graph, 64×64 cells": lambda: dag(cells(64, 64)),
    "grid 64×64, two states a cell": lambda: grid(64, 64, 1),
    "grid 16 of 64×64, two states a cell": lambda: grid(64, 64, 16),
    "ragged, 128 segments of 8 to 4096": ragged,
}

MEMORY_LIKE_FIRST = ("linear 1×16384×256", "linear 2×65536×64", "graph, 20k nodes, links within 50")

# Problem, method to beat, at least how many times as fast forward, and forward with backward.
BARS = [
    ("linear 8×1024×256", "mamba.py", 4.0, 4.5),
    ("linear 1×16384×256", "mamba.py", 4.0, 4.5),
    ("linear 2×65536×64", "mamba.py", 4.0, 4.5),
    ("linear 8×1024×256", "associative_scan, compiled", None, 7.0),
    ("linear 1×16384×256", "associative_scan, compiled", None, 7.0),
    ("linear 2×65536×64", "associative_scan, compiled", None, 7.0),
    ("selective 4×1024×256×16", "mamba.py", 35.0, 20.0),
    ("delta 4×1024×4×64", "chunks of 32", 5.0, 6.0),
    ("graph, 64 molecules", "torch", None, 8.0),
    ("graph, 20k random nodes", "torch", None, 5.0),
    ("graph, 64×64 cells", "torch", None, 20.0),
    ("ragged, 128 segments of 8 to 4096", "padded", 3.0, 3.0),
]


def call(key: str, method: str, backward: bool) -> Call:
    """One call of a problem's method; rebuilt from its key in the processes that measure memory."""
    torch.manual_seed(0)
    problem = PROBLEMS[key]()
    return _call(problem, problem.methods[method], backward)


def _call(problem: Problem, method: Method, backward: bool) -> Call:
    inputs = [tensor.detach().clone() for tensor in method.arranged(problem.inputs)]
    if not backward:
        return torch.no_grad()(lambda: method.run(*inputs))
    leaves = [tensor.requires_grad_() for tensor in inputs]
    cotangent = torch.randn_like(method.run(*leaves))
    return lambda: torch.autograd.grad(method.run(*leaves), leaves, cotangent)


def check(problem: Problem) -> None:
    """All methods give the same numbers."""
    first, *others = (m.restored(m.run(*m.arranged(problem.inputs))) for m in problem.methods.values())
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-3, atol=1e-3)


def growth(repeats: int) -> dict[str, dict[str, list[list[float]]]]:
    """Milliseconds, forward and backward, of the first backend: points ``[size, minimum]`` of each curve."""

    def curve(problems: dict[int, Problem]) -> list[list[float]]:
        calls = {str(size): _call(p, p.methods[BACKENDS[0]], True) for size, p in problems.items()}
        taken = milliseconds(calls, repeats)
        return [[size, taken[str(size)].minimum] for size in problems]

    def sequence(length: int, channels: int) -> Problem:
        topology = Ragged.equal(1, length)
        methods = ours(lambda decay, source: linear_scan(decay, source, topology))
        return Problem([torch.rand(length, channels), torch.randn(length, channels)], methods)

    return {
        "steps (64 channels)": {"sequence": curve({2**p: sequence(2**p, 64) for p in range(10, 21, 2)})},
        "channels (16,384 steps)": {"sequence": curve({c: sequence(16384, c) for c in (16, 64, 256, 1024)})},
        "depth (20k nodes, 60k links)": {
            "graph": curve({g.depth: dag(g) for g in (random_dag(reach=r) for r in (None, 2000, 200, 50, 10))})
        },
    }


def main(repeats: int = 9, threads: int = 2, only: str = "", memory: bool = True, save: bool = False) -> None:
    """Print milliseconds (median and minimum), memory, and how the ratios stand to what is wanted of them.

    Args:
        repeats: timed calls of each method.
        threads: for PyTorch and the kernels alike.
        only: problems whose name contains this.
        memory: also measure the peak of each method, in a process of its own.
        save: write the numbers as JSON and the figure to docs/results.
    """
    torch.set_num_threads(threads)
    # Every shape is compiled for itself; beyond the limit PyTorch would run the peer without compiling it.
    torch._dynamo.config.recompile_limit = 64
    kept = {name: make for name, make in PROBLEMS.items() if only in name}
    # The first of the linear ones stands for all three.
    peaks = {name: peaks_of(name, make()) for name, make in kept.items() if memory and name not in MEMORY_LIKE_FIRST}
    pages = keep_pages()
    bandwidth = triad()
    print(f"{threads} threads, triad {bandwidth:.1f} GB/s, freed pages kept: {pages}")
    results: dict[str, Any] = {}
    for name, make in kept.items():
        torch.manual_seed(0)
        problem = make()
        check(problem)
        forward, both = (
            milliseconds({key: _call(problem, method, backward) for key, method in problem.methods.items()}, repeats)
            for backward in (False, True)
        )
        results[name] = {
            key: {
                "forward": forward[key]._asdict(),
                "forward + backward": both[key]._asdict(),
                **peaks.get(name, {}).get(key, {}),
            }
            for key in problem.methods
        }
        print_problem(name, results[name])
    bars = print_bars(results, bandwidth)
    if not save:
        return
    curves = growth(repeats)
    RESULTS.parent.mkdir(exist_ok=True)
    content = {
        "benchmark": "scans beside their peers, float32, milliseconds",
        "command": f"python benchmarks/scan.py --repeats {repeats} --memory {str(memory).lower()} --save true",
        "machine": {"processor": processor(), "threads": threads, "torch": torch.__version__},
        "triad_gb_per_s": bandwidth,
        "pages_kept": pages,
        "repeats": repeats,
        "problems": results,
        "wanted": bars,
        "growth": curves,
    }
    RESULTS.with_suffix(".json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    draw(results, curves)


def peaks_of(name: str, problem: Problem) -> dict[str, dict[str, float]]:
    return {
        key: {
            "peak MiB forward": peak_mebibytes(call, name, key, False),
            "peak MiB forward + backward": peak_mebibytes(call, name, key, True),
        }
        for key in problem.methods
        if key in ("native", "torch", "mamba.py", "chunks of 32", "padded")
    }


def print_problem(name: str, result: dict[str, Any]) -> None:
    print(f"\n{name}\n{'':28}{'forward':^28}{'forward + backward':^28}{'peak MiB':^20}")
    base = next(iter(result.values()))
    for key, found in result.items():
        columns = []
        for direction in ("forward", "forward + backward"):
            times = found[direction]
            ratio = times["median"] / base[direction]["median"]
            columns.append(f"{times['median']:9.3f} {times['minimum']:9.3f} {ratio:6.1f} ×")
        peaks = [found.get(f"peak MiB {direction}") for direction in ("forward", "forward + backward")]
        print(f"{key:28}{'  '.join(columns)}", *(f"{peak:8.1f}" for peak in peaks if peak is not None))


def print_bars(results: dict[str, Any], bandwidth: float) -> list[dict[str, Any]]:
    """How often as fast as each peer we are, beside what is wanted."""
    rows = []
    for name, peer, *wanted in BARS:
        if peer not in results.get(name, {}):
            continue
        mine, other = results[name][BACKENDS[0]], results[name][peer]
        for direction, bar in zip(("forward", "forward + backward"), wanted, strict=True):
            if bar is not None:
                ratios = {of: other[direction][of] / mine[direction][of] for of in Milliseconds._fields}
                rows.append({"what": f"{name}, {direction}, over {peer}", "wanted": bar, **ratios})
    for (batch, length, channels), name in zip(((1, 16384, 256), (2, 65536, 64)), list(PROBLEMS)[1:3], strict=True):
        if name in results:
            times = results[name][BACKENDS[0]]["forward + backward"]
            # Forward reads two arrays and writes one; backward reads three and writes two.
            moved = 8 * 4 * batch * length * channels / 1e6
            reached = {of: moved / times[of] / bandwidth for of in Milliseconds._fields}
            rows.append({"what": f"{name}, share of the triad's bandwidth", "wanted": 0.7, **reached})
    print(f"\n{'':72}{'wanted':>8}{'median':>8}{'minimum':>9}")
    for row in rows:
        print(f"{row['what']:72}{row['wanted']:8.1f}{row['median']:8.1f}{row['minimum']:9.1f}")
    return rows


def draw(results: dict[str, Any], curves: dict[str, dict[str, list[list[float]]]]) -> None:
    """Ratios over all problems, and the growth curves."""
    figure, (bars, *axes) = plt.subplots(1, 1 + len(curves), figsize=(16, 4.5), width_ratios=[2, 1, 1, 1])
    labels, values = [], []
    for name, result in results.items():
        mine, *others = result
        for key in others:
            labels.append(f"{name}: {key}")
            both = "forward + backward"
            values.append(result[key][both]["median"] / result[mine][both]["median"])
    bars.barh(labels, values, color="tab:blue")
    bars.set(xscale="log", xlabel="times as long as ours, forward + backward")
    bars.axvline(1, color="black", linewidth=0.8)
    bars.tick_params(axis="y", labelsize=6)
    bars.invert_yaxis()
    for axis, (label, lines) in zip(axes, curves.items(), strict=True):
        for points in lines.values():
            axis.plot(*zip(*points, strict=True), marker="o")
        least, most = (of(y for points in lines.values() for _, y in points) for of in (min, max))
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel="ms, forward + backward")
        axis.set_ylim(least / 3, 3 * most)
    figure.tight_layout()
    figure.savefig(RESULTS.with_suffix(".png"), dpi=130)


def processor() -> str:
    """As the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    auto_cli(main)
