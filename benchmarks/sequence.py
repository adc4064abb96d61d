"""Every sequence layer beside PyTorch's LSTM and attention: a training step, and a step of a stream."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch
from measure import Call, keep_pages, milliseconds
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from graphseq.sequence import LAYERS, StreamingLayer

CHANNELS = 64
OPTIONS: dict[str, dict] = {
    "long_conv": {"length": 1024},
    "dss_softmax": {"length": 1024},
    "mamba2": {"head_size": 16, "state_size": 16},
}


class TorchLSTM(nn.Module):
    """What a user would otherwise take."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(CHANNELS, CHANNELS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


class TorchAttention(nn.Module):
    """Projections around ``scaled_dot_product_attention``, four heads."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj, self.out_proj = nn.Linear(CHANNELS, 3 * CHANNELS), nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.in_proj(x).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        o = scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(o.transpose(1, 2).flatten(2))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lstm": TorchLSTM,
    "sdpa": TorchAttention,
    **{name: functools.partial(kind, CHANNELS, **OPTIONS.get(name, {})) for name, kind in LAYERS.items()},
}


def training_step(name: str, length: int) -> Call:
    layer, x = MODELS[name](), torch.randn(1, length, CHANNELS)

    def call() -> None:
        layer.zero_grad()
        layer(x).sum().backward()

    return call


def stream_step(name: str, past: int) -> Call | None:
    """One token after ``past`` others, of one stream."""
    layer, token = MODELS[name](), torch.randn(1, CHANNELS)
    if isinstance(layer, TorchLSTM):
        with torch.no_grad():
            _, carried = layer.lstm(torch.randn(1, past, CHANNELS))
        return torch.no_grad()(lambda: layer.lstm(token[None], carried))
    if not isinstance(layer, StreamingLayer):
        return None
    with torch.no_grad():
        _, state = layer.advance(torch.randn(1, past, CHANNELS), layer.initial_state(1))
    return torch.no_grad()(lambda: layer.step(token, state))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="*", default=[1024, 4096, 16384, 65536])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--stream", type=int, nargs="*", default=[1024], help="tokens before the measured step")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="a JSON file that the groups are added to")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    keep_pages()
    groups = []
    for length in arguments.lengths:
        calls = {name: training_step(name, length) for name in arguments.models}
        groups.append(_together("training step", length, calls, arguments.repeats))
    for past in arguments.stream:
        steps = {name: call for name in arguments.models if (call := stream_step(name, past)) is not None}
        groups.append(_together("stream step", past, steps, 30 * arguments.repeats))
    if arguments.out:
        known = json.loads(arguments.out.read_text())["measured together"] if arguments.out.exists() else []
        content = {"benchmark": "sequence layers, float32, one sequence", "channels": CHANNELS}
        content["measured together"] = known + groups
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")


def _together(measure: str, length: int, calls: dict[str, Call], repeats: int) -> dict[str, object]:
    """Rows that may be compared, since they were measured in turn: seconds of another hour are another machine's."""
    rows = []
    for name, taken in milliseconds(calls, repeats).items():
        rows.append({"model": name, "median_ms": taken.median, "min_ms": taken.minimum})
        print(f"{measure:>14} {length:>7} {name:>16} {taken.median:>12.4g} ms, at best {taken.minimum:.4g}")
    machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    return {"measure": measure, "length": length, **machine, "repeats": repeats, "rows": rows}


if __name__ == "__main__":
    main()
