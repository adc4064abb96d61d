"""Forward-backward and Viterbi by matrix scan, beside loops: ``python benchmarks/matrix_scan.py --save true``.

The peers are loops in PyTorch: in logarithms, and in linear space rescaled at each step, the faster of the two usual
forms. All give the same numbers, which is checked first. Times are taken in turn in one process (see measure.py).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jsonargparse import auto_cli
from measure import milliseconds
from torch import Tensor

from graphseq.connectome import forward_backward, log_evidence, viterbi
from graphseq.scan import Ragged

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "matrix_scan.json"
SIZES = {"512 steps, 5 states": (512, 5), "2000 steps, 12 states": (2000, 12), "16384 steps, 5 states": (16384, 5)}


def log_loop(emission: Tensor, transition: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior and log evidence, message by message, in logarithms."""
    moves = transition.log()
    alpha = [start.log() + emission[0]]
    for row in emission[1:]:
        alpha.append((alpha[-1][:, None] + moves).logsumexp(0) + row)
    beta = [torch.zeros_like(start)]
    for row in emission[1:].flip(0):
        beta.append((moves + row + beta[-1]).logsumexp(1))
    joint = torch.stack(alpha) + torch.stack(beta[::-1])
    return joint.softmax(1), alpha[-1].logsumexp(0)


def scaled_loop(emission: Tensor, transition: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The same in linear space, each message divided by its sum."""
    top = emission.amax(1, keepdim=True)
    likely = (emission - top).exp()
    alpha, totals = [], []
    message = start * likely[0]
    for t in range(len(emission)):
        if t > 0:
            message = (message @ transition) * likely[t]
        total = message.sum()
        message = message / total
        alpha.append(message)
        totals.append(total)
    beta = [torch.ones_like(start)]
    for row in likely[1:].flip(0):
        message = transition @ (row * beta[-1])
        beta.append(message / message.sum())
    joint = torch.stack(alpha) * torch.stack(beta[::-1])
    return joint / joint.sum(1, keepdim=True), torch.stack(totals).log().sum() + top.sum()


def viterbi_loop(emission: Tensor, transition: Tensor, start: Tensor) -> Tensor:
    """The best path, step by step there and back."""
    moves = transition.log()
    score, back = start.log() + emission[0], []
    for row in emission[1:]:
        best, where = (score[:, None] + moves).max(0)
        score = best + row
        back.append(where)
    path = [score.argmax()]
    for where in reversed(back):
        path.append(where[path[-1]])
    return torch.stack(path[::-1])


def chain(length: int, states: int) -> tuple[Tensor, Tensor, Tensor]:
    """A sticky chain, and emissions of some nats."""
    generator = torch.Generator().manual_seed(0)
    emission = 2 * torch.randn(length, states, dtype=torch.float64, generator=generator) - 2
    leave = 0.02 / (states - 1)
    transition = torch.full((states, states), leave, dtype=torch.float64).fill_diagonal_(0.98)
    return emission, transition, torch.full((states,), 1 / states, dtype=torch.float64)


def check(model: tuple[Tensor, Tensor, Tensor], ptr: Ragged) -> None:
    """All agree in float64."""
    found = forward_backward(*model, ptr)
    for loop in (log_loop, scaled_loop):
        gamma, evidence = loop(*model)
        torch.testing.assert_close(found.gamma, gamma, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(found.log_evidence[0], evidence, rtol=1e-12, atol=1e-9)
    assert torch.equal(viterbi(*model, ptr).states, viterbi_loop(*model))


def measure(length: int, states: int, repeats: int) -> dict[str, Any]:
    model, ptr = chain(length, states), Ragged.equal(1, length)
    check(model, ptr)
    calls: dict[str, Callable[[], object]] = {}
    for dtype in (torch.float64, torch.float32):
        same = tuple(tensor.to(dtype) for tensor in model)
        name = str(dtype).removeprefix("torch.")
        calls[f"matrix scan, {name}"] = lambda same=same: forward_backward(*same, ptr)
        calls[f"log loop, {name}"] = lambda same=same: log_loop(*same)
        calls[f"scaled loop, {name}"] = lambda same=same: scaled_loop(*same)
    calls["Viterbi, matrix scan"] = lambda: viterbi(*model, ptr)
    calls["Viterbi, loop"] = lambda: viterbi_loop(*model)
    with torch.no_grad():
        times = milliseconds(calls, repeats)
    ratios = {
        f"{loop} / matrix scan, {name}": times[f"{loop}, {name}"].median / times[f"matrix scan, {name}"].median
        for name in ("float64", "float32")
        for loop in ("log loop", "scaled loop")
    }
    ratios["Viterbi, loop / matrix scan"] = times["Viterbi, loop"].median / times["Viterbi, matrix scan"].median
    return {"milliseconds": {name: time._asdict() for name, time in times.items()}, "ratio": ratios}


def single_precision(length: int = 16384, states: int = 5) -> dict[str, float]:
    """How far the log evidence in float32 is from that in float64."""
    model, ptr = chain(length, states), torch.tensor([0, length])
    exact = float(log_evidence(*model, ptr))
    single = tuple(tensor.float() for tensor in model)
    return {
        "log evidence": exact,
        "error of the matrix scan": abs(float(log_evidence(*single, ptr)) - exact),
        "error of the log loop": abs(float(log_loop(*single)[1]) - exact),
        "error of the scaled loop": abs(float(scaled_loop(*single)[1]) - exact),
    }


def main(repeats: int = 7, threads: int = 1, only: str = "", save: bool = False) -> None:
    """Print ratios to the loops, and the error in single precision.

    Args:
        repeats: timed calls of each.
        threads: of PyTorch.
        only: sizes whose name contains this.
        save: write the numbers to docs/results.
    """
    torch.set_num_threads(threads)
    found: dict[str, Any] = {}
    for name, size in SIZES.items():
        if only in name:
            found[name] = measure(*size, repeats)
            for what, ratio in found[name]["ratio"].items():
                print(f"{name:<24}{what:<40}{ratio:8.1f}", flush=True)
    precision = single_precision()
    print(precision)
    if save:
        machine = {"threads": threads, "machine": platform.machine(), "torch": torch.__version__}
        record = {"command": "python benchmarks/matrix_scan.py --save true", **machine, "repeats": repeats}
        record |= {"sizes": found, "single_precision_16384_steps_5_states": precision}
        RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
