"""An epoch of SEMBA: signed scan and gated units against dictionaries walked node by node; and growth of the scan.

``epoch``: one pass over the training events of Bitcoin OTC, forward and backward, in chunks of 1000 events where a
network needs them; passes in turn. ``growth``: a pass over generated streams, chunk after chunk, in a process of its
own: seconds of the processor, which other work on the machine stretches less than those of the clock, and memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from functools import partial
from pathlib import Path

import torch
from measure import Call, keep_pages, milliseconds
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch_geometric.data import Data

from graphseq.data import SignedNetwork, load, signed_benchmark
from graphseq.semba import GRUSEMBA, EventNetwork, HalfEvents, ScanSEMBA
from graphseq.semba.gru import GRUUpdater

EVENTS = [100_000, 1_000_000, 10_000_000]
GROWTH_CHUNK = 100_000


class DictionaryMemory(nn.Module):
    """Messages kept in a dictionary a sign and a role, walked node by node for all nodes, as public code keeps them."""

    def __init__(self, num_nodes: int, updater: GRUUpdater, memory_dim: int) -> None:
        super().__init__()
        self.updater, self.num_nodes, self.memory_dim = updater, num_nodes, memory_dim
        self.reset_state()

    def reset_state(self) -> None:
        self.memory = torch.zeros(self.num_nodes, 2, self.memory_dim)
        self.last = torch.zeros(self.num_nodes, 2, dtype=torch.float64)
        self.forget_messages()

    def forget_messages(self) -> None:
        nobody = torch.empty(0, dtype=torch.int64)
        nothing = (nobody, nobody, nobody, torch.empty(0, dtype=torch.float64), torch.empty(0, 1))
        self.stores = {key: dict.fromkeys(range(self.num_nodes), nothing) for key in ("+s", "+d", "-s", "-d")}

    def read(self) -> tuple[Tensor, Tensor]:
        """The memories of all nodes after the messages that they hold."""
        parts = [store[node] for store in self.stores.values() for node in range(self.num_nodes)]
        owner, peer, sign, t, message = (torch.cat(columns) for columns in zip(*parts, strict=True))
        return self.updater(self.memory, self.last, HalfEvents(owner, self.memory[peer], sign, t, message))

    @torch.no_grad()
    def update(self, src: Tensor, dst: Tensor, t: Tensor, message: Tensor, sign: Tensor) -> None:
        self.memory, self.last = self.read()
        self.forget_messages()
        for role, owner, peer in (("s", src, dst), ("d", dst, src)):
            for symbol, value in (("+", 1), ("-", -1)):
                rows = (sign == value).nonzero().squeeze(1)
                nodes, order = owner[rows].sort(stable=True)
                nodes, count = nodes.unique_consecutive(return_counts=True)
                for node, mine in zip(nodes.tolist(), rows[order].split(count.tolist()), strict=True):
                    self.stores[symbol + role][node] = (owner[mine], peer[mine], sign[mine], t[mine], message[mine])


class DictionarySEMBA(GRUSEMBA):
    """The published network on such a memory; attention goes over all events so far and embeds all nodes."""

    def __init__(self, *sizes: object, **options: object) -> None:
        super().__init__(*sizes, **options)  # type: ignore[arg-type]
        self.dictionaries = DictionaryMemory(self.num_nodes, self.memory.store.updater, self.memory.memory_dim)

    def reset_state(self) -> None:
        self.dictionaries.reset_state()
        self.edges = torch.empty(2, 0, dtype=torch.int64)
        self.past_t, self.past_message = torch.empty(0, dtype=torch.float64), torch.empty(0, self.edge_channels)

    def answer(
        self, edge_index: Tensor, t: Tensor, sign: Tensor, message: Tensor, pairs: Tensor, pairs_t: Tensor
    ) -> Tensor:
        memory, last = self.dictionaries.read()
        z = self.attention(memory.flatten(1), last.amax(1), self.edges, self.past_t, self.past_message)
        self.dictionaries.update(edge_index[0], edge_index[1], t, message, sign)
        self.edges = torch.cat([self.edges, edge_index], dim=1)
        self.past_t, self.past_message = torch.cat([self.past_t, t]), torch.cat([self.past_message, message])
        return self.decoder(z[pairs[0]], z[pairs[1]])


def one_pass(network: EventNetwork, chunks: list[Data]) -> None:
    network.train()
    for chunk in chunks:
        structure = {name: chunk[name] for name in network.needs}
        logits = network(chunk.x, chunk.edge_index, None, chunk.edge_attr, **structure)
        binary_cross_entropy_with_logits(logits, chunk.edge_label).backward()


def measure_epoch(repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a training pass."""
    whole, chunked = (list(load("Bitcoin-OTC", chunk=chunk).train) for chunk in (None, 1000))
    sizes = ((int(whole[0].num_nodes),), 1)
    kinds = {"scan": (ScanSEMBA, whole), "GRU": (GRUSEMBA, chunked), "dictionaries": (DictionarySEMBA, chunked)}
    calls: dict[str, Call] = {}
    for name, (kind, chunks) in kinds.items():
        torch.manual_seed(0)
        calls[name] = partial(one_pass, kind(*sizes, edge_channels=1), chunks)
    times = milliseconds({name: calls[name] for name in ("scan", "GRU")}, repeats)
    times |= milliseconds({"dictionaries": calls["dictionaries"]}, 2)
    for name, taken in times.items():
        ratio = times["dictionaries"].median / taken.median
        print(f"{name:<14}{taken.median:10.0f} ms a pass, dictionaries take {ratio:6.1f} times that", flush=True)
    return {name: taken._asdict() for name, taken in times.items()}


def generated_pass(events: int, threads: int) -> dict[str, float]:
    """A training pass over a generated stream, ten events a node, after one over its first chunk to warm up."""
    torch.set_num_threads(threads)
    keep_pages()
    num_nodes = max(events // 10, 3)
    stream = SignedNetwork(num_nodes=num_nodes, num_events=events).events
    chunks = signed_benchmark(stream, chunk=GROWTH_CHUNK, val_ratio=0.01, test_ratio=0.01).train
    torch.manual_seed(0)
    network = ScanSEMBA((num_nodes,), 1, edge_channels=1)
    one_pass(network, [chunks[0]])
    seconds = []
    for chunk in chunks:
        start = time.process_time()
        one_pass(network, [chunk])
        seconds.append(time.process_time() - start)
    return {
        "events": events,
        "passed": sum(len(chunk.event_t) for chunk in chunks),
        "cpu_seconds": sum(seconds),
        "slowest_chunk": max(seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_growth(sizes: list[int]) -> list[dict[str, float]]:
    rows = []
    for events in sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(generated_pass, (events, torch.get_num_threads()))
        rows.append(row)
        micro = 1e6 * row["cpu_seconds"] / row["passed"]
        print(f"{events:>12,} events {micro:8.2f} us an event {row['peak_mib']:9.0f} MiB", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["epoch", "growth"], help="epoch, growth")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--events", type=int, nargs="*", default=EVENTS)
    arguments = parser.parse_args()
    path = Path(__file__).parents[1] / "docs" / "results" / "semba.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    result |= {
        "benchmark": "a training pass of SEMBA over a stream, forward and backward",
        "threads": torch.get_num_threads(),
        "pages_kept": keep_pages(),
        "torch": torch.__version__,
        "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python benchmarks/semba.py",
    }
    if "epoch" in arguments.parts:
        result["epoch"] = measure_epoch(arguments.repeats)
    if "growth" in arguments.parts:
        result["growth"] = measure_growth(arguments.events)
    path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
