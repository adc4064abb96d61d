"""Nodes per second of a training step: Graph Mamba without padding, with it, and GraphGPS with attention.

The padded model is the same model with the same weights. Each of its scans runs on ``to_dense_batch``, backward ones on
sequences that were turned round within their own length, so that padding changes no result: the two are compared before
they are timed. ``GMN`` is Graph Mamba with neighbourhood tokens (m, M, s) = (4, 4, 2), sampled beforehand.

Run it in parts, each of which is written as it ends: ``python benchmarks/graph_mamba_throughput.py peptides 1000 4000
16000 memory``.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from measure import Call, keep_pages, milliseconds, peak_mebibytes
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_dense_batch, to_undirected

from graphseq.data import load
from graphseq.graph_mamba import AddNeighbourhoodTokens, GraphMamba, gmn
from graphseq.scan import Ragged
from graphseq.training.baselines import GPS

SIZES = {"channels": 64, "layers": 3}
BATCH, ROUNDS = 32, 7
NODES = (1000, 4000, 16000)
PATH = Path(__file__).parents[1] / "docs" / "results" / "throughput.json"


class Padded(nn.Module):
    """A bidirectional encoder of ours, its scans on padded rows."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, segments: Ragged) -> Tensor:
        encoder, mamba = self.encoder, self.encoder.mamba
        h = encoder.norm(x)
        turned = (segments.ptr[:-1] + segments.ptr[1:] - 1)[segments.segment] - torch.arange(len(x))
        ahead = self._padded(mamba.ahead, h, segments)
        back = self._padded(mamba.back, h[turned], segments)[turned]
        return x + encoder.dropout(mamba.scale * mamba.out_proj(ahead + back))

    def _padded(self, block: nn.Module, x: Tensor, segments: Ragged) -> Tensor:
        dense, there = to_dense_batch(x, segments.segment, batch_size=segments.num_segments)
        return block(dense)[there]


def padded(model: GraphMamba) -> GraphMamba:
    """The same model and weights, with padding."""
    model = copy.deepcopy(model)
    for layer in model.blocks:
        layer.encoder = Padded(layer.encoder)
    return model


def training_step(model: nn.Module, batch: Batch) -> Call:
    """Forward, backward and a step of AdamW."""
    optimizer = torch.optim.AdamW(model.parameters())
    needed = {key: batch[key] for key in model.needs if key in batch}

    def step() -> float:
        optimizer.zero_grad()
        loss = model(batch.x, batch.edge_index, batch.batch, batch.edge_attr, batch_size=batch.num_graphs, **needed)
        loss = loss.square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def peptides() -> tuple[Batch, dict[str, Any]]:
    """A random training batch of Peptides-func and what a model needs to know of it."""
    data = load("Peptides-func")
    torch.manual_seed(0)
    graphs = [data.train[int(number)] for number in torch.randperm(len(data.train))[:BATCH]]
    batch = Batch.from_data_list([AddNeighbourhoodTokens(4, 4, 2, seed=0)(graph) for graph in graphs])
    return batch, {"in_channels": data.in_channels, "out_channels": 10, "edge_channels": data.edge_channels}


def generated(nodes: int) -> tuple[Batch, dict[str, Any]]:
    """One sparse random graph, four edges a node."""
    torch.manual_seed(0)
    return with_tokens(to_undirected(torch.randint(nodes, (2, 2 * nodes))), nodes)


def with_tokens(edge_index: Tensor, nodes: int) -> tuple[Batch, dict[str, Any]]:
    """A graph with random features and its tokens, and what a model needs to know of it."""
    graph = Data(x=torch.randn(nodes, 16), edge_index=edge_index, num_nodes=nodes)
    batch = Batch.from_data_list([AddNeighbourhoodTokens(4, 4, 2, seed=0)(graph)])
    return batch, {"in_channels": 16, "out_channels": 10}


def make(name: str, channels: dict[str, Any]) -> nn.Module:
    """One of the models, from the same seed."""
    torch.manual_seed(1)
    if name == "GPS":
        return GPS(**channels, **SIZES)
    if name == "GMN":
        return gmn(**channels, **SIZES, m=4, s=2)
    model = GraphMamba(**channels, **SIZES, recompute=name == "recomputed")
    return padded(model) if name == "padded" else model


def largest_difference(batch: Batch, channels: dict[str, Any]) -> float:
    """Between predictions without and with padding, relative to their size."""
    outputs = []
    for name in ("Graph Mamba", "padded"):
        model = make(name, channels).eval()
        with torch.no_grad():
            outputs.append(model(batch.x, batch.edge_index, batch.batch, batch.edge_attr))
    return float((outputs[0] - outputs[1]).abs().max() / outputs[0].abs().max())


def throughput(batch: Batch, channels: dict[str, Any]) -> dict[str, Any]:
    """Nodes per second of each model, timed in turn."""
    names = ["Graph Mamba", "padded", "GPS"]
    # A step with all tokens of the largest graph takes a minute.
    names += ["GMN"] if batch.num_nodes < 10_000 else []
    if (difference := largest_difference(batch, channels)) > 1e-4:
        raise RuntimeError(f"padding must change nothing, got a relative difference of {difference:.0e}")
    models = {name: make(name, channels) for name in names}
    times = milliseconds({name: training_step(model, batch) for name, model in models.items()}, ROUNDS)
    longest = int(batch.ptr.diff().max())
    return {
        "nodes": batch.num_nodes,
        "graphs": batch.num_graphs,
        "padded_nodes": longest * batch.num_graphs,
        "repeats": ROUNDS,
        "load": os.getloadavg()[0],
        "parameters": {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()},
        "median_ms": {name: taken.median for name, taken in times.items()},
        "min_ms": {name: taken.minimum for name, taken in times.items()},
        "nodes_per_second": {name: 1000 * batch.num_nodes / taken.median for name, taken in times.items()},
    }


def fresh_step(name: str, nodes: int) -> Call:
    """A training step in a new process."""
    batch, channels = generated(nodes)
    return training_step(make(name, channels), batch)


def memory() -> dict[str, dict[str, float]]:
    """Peak of a training step in MiB, by model and number of nodes."""
    return {
        name: {str(nodes): peak_mebibytes(fresh_step, name, nodes) for nodes in NODES}
        for name in ("Graph Mamba", "recomputed", "GPS")
    }


def main() -> None:
    written = json.loads(PATH.read_text()) if PATH.exists() else {"parts": {}}
    pages_kept = keep_pages() if "memory" not in sys.argv else None
    for part in sys.argv[1:] or ["peptides", *map(str, NODES), "memory"]:
        if part == "memory":
            result: Any = memory()
        else:
            result = throughput(*(peptides() if part == "peptides" else generated(int(part))))
        print(part, json.dumps(result, indent=2))
        written["parts"][part] = result
        written |= {
            "benchmark": "a training step of whole models",
            **SIZES,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python benchmarks/graph_mamba_throughput.py",
        }
        if pages_kept is not None:
            written["pages_kept"] = pages_kept
        PATH.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
