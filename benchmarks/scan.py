"""Time of the scans on one CPU, beside the other backends and public peers: ``python benchmarks/scan.py``.

All methods of a problem run in turn, again and again, so that whatever else the machine does hits each of them. A call
is timed right after an untimed one of the same method, which leaves the memory that it needs with the allocator.
Peers, where installed (``pip install mambapy accelerated-scan``): mamba.py's parallel scan in PyTorch, in its better
layout, and accelerated-scan's PyTorch reference.
"""

from __future__ import annotations

import importlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from jsonargparse import auto_cli
from torch import Tensor

from graphseq.scan import Ragged, available_backends, linear_scan, selective_scan, use_backend

LINEAR_SHAPES = ((8, 1024, 256), (1, 16384, 256), (2, 65536, 64))  # batch, length, channels
SELECTIVE_SHAPE = (4, 1024, 256, 16)  # batch, length, channels, state size
FAST = tuple(name for name in ("native", "torch") if name in available_backends())


def main(repeats: int = 9, threads: int = 2, output: Path | None = None) -> None:
    """Print milliseconds (median and minimum) and how many times as long as the native backend each method takes.

    Args:
        repeats: timed calls of each method.
        threads: for PyTorch and the kernels alike.
        output: where to write the numbers as JSON.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    problems = {f"linear {list(shape)}": linear_problem(*shape) for shape in LINEAR_SHAPES}
    problems[f"selective {list(SELECTIVE_SHAPE)}"] = selective_problem(*SELECTIVE_SHAPE)
    results = {}
    for name, (methods, inputs) in problems.items():
        print(f"\n{name}\n{'':24}{'forward':>28}{'forward + backward':>30}")
        forward = timed({key: without_grad(method, inputs) for key, method in methods.items()}, repeats)
        both = timed({key: with_grad(method, inputs) for key, method in methods.items()}, repeats)
        results[name] = {"forward": forward, "forward + backward": both}
        for key in methods:
            print(f"{key:24}{report(forward, key):>28}{report(both, key):>30}")
    if output is not None:
        output.write_text(json.dumps({"threads": threads, "repeats": repeats, "milliseconds": results}, indent=1))


Method = Callable[..., Tensor]


def linear_problem(batch: int, length: int, channels: int) -> tuple[dict[str, Method], list[Tensor]]:
    topology = Ragged.equal(batch, length)
    inputs = [torch.rand(batch * length, channels), torch.randn(batch * length, channels)]

    def ours(backend: str) -> Method:
        def run(decay: Tensor, source: Tensor) -> Tensor:
            with use_backend(backend):
                return linear_scan(decay, source, topology)

        return run

    methods = {backend: ours(backend) for backend in FAST}
    if (pscan := installed("mambapy.pscan")) is not None:
        shape = (batch, length, 1, channels)
        methods["mamba.py"] = lambda decay, source: pscan.pscan(decay.view(shape), source.view(shape)).view_as(source)
    if (reference := installed("accelerated_scan.ref")) is not None:
        # That package lays channels before time. Which numbers it gets changes nothing, so no copy is made or timed.
        swapped = (batch, channels, length)
        methods["accelerated-scan ref"] = lambda decay, source: reference.scan(
            decay.view(swapped), source.view(swapped)
        ).view_as(source)
    return methods, inputs


def selective_problem(batch: int, length: int, channels: int, size: int) -> tuple[dict[str, Method], list[Tensor]]:
    tokens = batch * length
    topology = Ragged.equal(batch, length)
    u, delta = torch.randn(tokens, channels), torch.rand(tokens, channels)
    A, B, C = -torch.rand(channels, size), torch.randn(tokens, size), torch.randn(tokens, size)

    def ours(backend: str) -> Method:
        def run(*inputs: Tensor) -> Tensor:
            with use_backend(backend):
                return selective_scan(*inputs, topology=topology)

        return run

    methods = {backend: ours(backend) for backend in FAST}
    if (pscan := installed("mambapy.pscan")) is not None:

        def mamba_py(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
            decay = torch.exp(delta[..., None] * A).view(batch, length, channels, size)
            source = ((delta * u)[..., None] * B[:, None, :]).view_as(decay)
            states = pscan.pscan(decay, source).view(tokens, channels, size)
            return (states @ C[..., None]).squeeze(-1)

        methods["mamba.py"] = mamba_py
    return methods, [u, delta, A, B, C]


def installed(module: str) -> ModuleType | None:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def without_grad(method: Method, inputs: list[Tensor]) -> Callable[[], object]:
    return torch.no_grad()(lambda: method(*inputs))


def with_grad(method: Method, inputs: list[Tensor]) -> Callable[[], object]:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    cotangent = torch.randn_like(method(*leaves))
    return lambda: torch.autograd.grad(method(*leaves), leaves, cotangent)


def timed(methods: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds."""
    times: dict[str, list[float]] = {key: [] for key in methods}
    for _ in range(repeats):
        for key, run in methods.items():
            run()
            start = time.perf_counter()
            run()
            times[key].append(1e3 * (time.perf_counter() - start))
    return {key: {"median": statistics.median(all_), "minimum": min(all_)} for key, all_ in times.items()}


def report(times: dict[str, dict[str, float]], key: str) -> str:
    mine, base = times[key], next(iter(times.values()))
    return f"{mine['median']:8.2f} {mine['minimum']:8.2f} {mine['minimum'] / base['minimum']:6.1f} ×"


if __name__ == "__main__":
    auto_cli(main)
