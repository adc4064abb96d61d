"""Sampling of neighbourhood tokens on a power-law graph of 169 thousand nodes: node visits a second, and seconds."""

import time

import torch
from torch import Tensor
from torch_geometric.utils import degree

from graphseq.graph_mamba import neighbourhood_tokens, random_walks
from graphseq.graph_mamba.tokens import tokens_of_walks

NODES, EDGES = 169_343, 2_315_598
m, M, s = 4, 4, 2


def power_law_graph(nodes: int, edges: int) -> Tensor:
    """Both ways between a uniform node and one whose expected degree falls with its rank to the power 1/2."""
    hub = (torch.rand(edges // 2) ** 2 * nodes).long()
    pairs = torch.stack([hub, torch.randint(nodes, (edges // 2,))])
    return torch.cat([pairs, pairs.flip(0)], dim=1)


def main() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    edge_index = power_law_graph(NODES, EDGES)
    hub = int(degree(edge_index[0], NODES).max())
    print(f"{NODES:,} nodes, {EDGES:,} edges, largest degree {hub:,}, {torch.get_num_threads()} threads")

    start = torch.arange(NODES).repeat_interleave(s * M)
    begin = time.perf_counter()
    walks = random_walks(edge_index, start, m, NODES, generator=generator)
    walked = time.perf_counter() - begin
    print(f"walks of {m} steps: {walks.numel() / walked / 1e6:.1f} million node visits a second")

    begin = time.perf_counter()
    tokens = tokens_of_walks([walks.view(NODES, s, M, m + 1)], edge_index, NODES)
    united = time.perf_counter() - begin
    print(f"tokens of length {m}: {walked + united:.1f} s, {tokens}")

    begin = time.perf_counter()
    tokens = neighbourhood_tokens(edge_index, NODES, m, M, s, generator=generator)
    print(f"tokens of all lengths: {time.perf_counter() - begin:.1f} s, {tokens}")


if __name__ == "__main__":
    main()
