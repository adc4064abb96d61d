"""What neighbourhood tokens cost on power-law graphs: sampling, and the memory of a training step of GMN on all nodes.

The training step goes through the tokens of some thousand nodes at a time, and computes their activations again for the
gradient; with ``recompute`` those of the layers as well. Its memory is what it takes beyond the graph and its tokens.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from graph_mamba_throughput import SIZES, make, training_step, with_tokens
from measure import Call, peak_mebibytes
from torch import Tensor
from torch_geometric.utils import degree

from graphseq.graph_mamba import neighbourhood_tokens, random_walks
from graphseq.graph_mamba.tokens import tokens_of_walks

NODES, EDGES = 169_343, 2_315_598
KEPT, RECOMPUTED = (25_000, 50_000), (25_000, 50_000, 100_000)
m, M, s = 4, 4, 2
PATH = Path(__file__).parents[1] / "docs" / "results" / "tokens.json"


def power_law_graph(nodes: int, edges: int) -> Tensor:
    """Both ways between a uniform node and one whose expected degree falls with its rank to the power 1/2."""
    hub = (torch.rand(edges // 2) ** 2 * nodes).long()
    pairs = torch.stack([hub, torch.randint(nodes, (edges // 2,))])
    return torch.cat([pairs, pairs.flip(0)], dim=1)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    begin = time.perf_counter()
    result = call()
    return result, time.perf_counter() - begin


def sampling() -> dict[str, Any]:
    """Node visits a second, and the seconds of tokens of the largest length and of all lengths."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    edge_index = power_law_graph(NODES, EDGES)
    start = torch.arange(NODES).repeat_interleave(s * M)
    walks, walked = timed(lambda: random_walks(edge_index, start, m, NODES, generator=generator))
    one, united = timed(lambda: tokens_of_walks([walks.view(NODES, s, M, m + 1)], edge_index, NODES))
    every, seconds = timed(lambda: neighbourhood_tokens(edge_index, NODES, m, M, s, generator=generator))
    return {
        "nodes": NODES,
        "edges": EDGES,
        "largest_degree": int(degree(edge_index[0], NODES).max()),
        "visits_per_second": walks.numel() / walked,
        "one_length": {"seconds": walked + united, "tokens": str(one)},
        "all_lengths": {"seconds": seconds, "tokens": str(every)},
    }


def fresh_step(nodes: int, recompute: bool) -> Call:
    """A training step of GMN on one graph of the same density."""
    torch.manual_seed(0)
    batch, channels = with_tokens(power_law_graph(nodes, nodes * EDGES // NODES), nodes)
    return training_step(make("GMN", {**channels, "recompute": recompute}), batch)


def memory() -> dict[str, dict[str, float]]:
    """Peak of the training step in MiB, by number of nodes."""
    return {
        name: {str(nodes): peak_mebibytes(fresh_step, nodes, name == "recomputed") for nodes in sizes}
        for name, sizes in (("kept", KEPT), ("recomputed", RECOMPUTED))
    }


def main() -> None:
    result = {
        "benchmark": "neighbourhood tokens on power-law graphs",
        "m, M, s": [m, M, s],
        **SIZES,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sampling": sampling(),
        "training_step_peak_mib": memory(),
        "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python benchmarks/tokens.py",
    }
    PATH.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
