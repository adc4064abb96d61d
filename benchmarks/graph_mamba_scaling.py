"""Time and memory of a Graph Mamba layer, forward and backward, against the number of nodes and their distribution.

Twice the nodes should cost about twice as much, and a batch of one long graph and many short ones no more than an even
batch with as many nodes. Times are taken in turn, so that what else the machine does strikes all sizes alike.
"""

import json
from pathlib import Path

import torch
from measure import Call, keep_pages, milliseconds, peak_mebibytes
from torch import Tensor
from torch_geometric.utils import to_undirected

from graphseq.graph_mamba import GraphMamba
from graphseq.scan import Ragged

CHANNELS, ROUNDS = 64, 7
SIZES = [1000 * 2**power for power in range(7)]
TOTAL = 8192
BATCHES = {
    "even (64 graphs of 128 nodes)": [128] * 64,
    "uneven (one of 4,096, 128 of 32)": [4096] + [32] * 128,
}


class Layer:
    """One layer and a batch of sparse random graphs of the given sizes."""

    def __init__(self, sizes: list[int]) -> None:
        torch.manual_seed(0)
        self.block = GraphMamba(1, 1, channels=CHANNELS, layers=1).blocks[0]
        ptr = torch.tensor([0, *sizes]).cumsum(0)
        self.segments = Ragged(ptr)
        edges = [
            to_undirected(torch.randint(size, (2, 2 * size)) + start) for size, start in zip(sizes, ptr, strict=False)
        ]
        self.edge_index = torch.cat(edges, dim=1)
        self.x = torch.randn(int(ptr[-1]), CHANNELS, requires_grad=True)
        self.edge_attr = torch.randn(self.edge_index.shape[1], CHANNELS)

    def step(self) -> Tensor:
        out, _ = self.block(self.x, self.edge_index, self.segments, self.edge_attr)
        loss = out.square().mean()
        loss.backward()
        return loss


def step(sizes: list[int]) -> Call:
    """One forward and backward pass of a layer on such a batch."""
    return Layer(sizes).step


def main() -> None:
    batches = [*([size] for size in SIZES), *BATCHES.values()]
    memory = [peak_mebibytes(step, sizes) for sizes in batches]
    pages_kept = keep_pages()
    times = list(milliseconds({str(place): step(sizes) for place, sizes in enumerate(batches)}, ROUNDS).values())

    print(f"one layer, {CHANNELS} channels, forward and backward, {torch.get_num_threads()} threads")
    print(f"{'nodes':>8}{'median ms':>12}{'min ms':>10}{'ratio':>8}{'peak MiB':>10}{'ratio':>8}")
    rows = []
    for place, size in enumerate(SIZES):
        median, least = times[place]
        ratios = [least / times[place - 1][1], memory[place] / memory[place - 1]] if place else [None, None]
        shown = [f"{ratio:.2f}" if ratio else "" for ratio in ratios]
        print(f"{size:>8,}{median:>12.1f}{least:>10.1f}{shown[0]:>8}{memory[place]:>10.1f}{shown[1]:>8}")
        rows.append({"nodes": size, "median_ms": median, "min_ms": least, "peak_mib": memory[place]})

    even, uneven = times[len(SIZES) :]
    print(f"\n{TOTAL:,} nodes:")
    for name, (median, least) in zip(BATCHES, (even, uneven), strict=True):
        print(f"  {name:<36}{median:>10.1f}{least:>10.1f}")
    print(f"  uneven over even: {uneven[1] / even[1]:.2f}")
    result = {
        "benchmark": "one Graph Mamba layer, forward and backward",
        "channels": CHANNELS,
        "threads": torch.get_num_threads(),
        "pages_kept": pages_kept,
        "torch": torch.__version__,
        "sizes": rows,
        "uneven_over_even": {"nodes": TOTAL, "median": uneven[0] / even[0], "min": uneven[1] / even[1]},
        "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python benchmarks/graph_mamba_scaling.py",
    }
    path = Path(__file__).parents[1] / "docs" / "results" / "scaling.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {path.relative_to(path.parents[2])}")


if __name__ == "__main__":
    main()
