"""pLSTM's scan beside its peers on one CPU, time and memory: ``python benchmarks/plstm.py``.

Float32, forward and backward together; every method of a problem gives the same numbers, which is checked first. Times
are taken in turn in one process (see measure.py), so their ratios hold on a busy machine too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from jsonargparse import auto_cli
from measure import Call, keep_pages, milliseconds, peak_mebibytes
from torch import Tensor

from graphseq.plstm import plstm_scan
from graphseq.scan import Grid, LineGraph, Ragged, line_graph

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "plstm.json"
HEADS, SIZE = 4, 16


class Problem(NamedTuple):
    """The first method is ours."""

    inputs: list[Tensor]
    methods: dict[str, Callable[..., Tensor]]


def molecule() -> Tensor:
    """25 atoms: a chain with two rings, bonds from the smaller number to the larger."""
    chain = torch.stack([torch.arange(24), torch.arange(1, 25)])
    return torch.cat([chain, torch.tensor([[2, 11, 17], [8, 16, 23]])], 1)


def molecules(count: int = 64) -> Problem:
    edges = torch.cat([molecule() + 25 * graph for graph in range(count)], 1)
    graphs = Ragged.equal(count, 25)
    return graph(line_graph(edges, 25 * count), graphs, EdgeLoop(edges, 25 * count))


def grid_as_graph(side: int = 64) -> Problem:
    """Ours scans the grid; the peer its edges, as a graph."""
    grid, height, width = Grid(side, side), side, side
    cell = torch.arange(side * side).view(side, side)
    right = torch.stack([cell[:, :-1].flatten(), cell[:, 1:].flatten()])
    down = torch.stack([cell[:-1].flatten(), cell[1:].flatten()])
    lines = line_graph(torch.cat([right, down], 1), side * side)
    peer = LevelWise(lines)
    earlier, later = lines.link_index
    along = (torch.arange(lines.num_states) >= right.shape[1]).long()
    tail, head = lines.node_edge_index
    middle = tail[later]

    def on_edges(q: Tensor, k: Tensor, v: Tensor, source: Tensor, transition: Tensor, mark: Tensor, direct: Tensor):
        nodes = (x.view(height * width, *x.shape[3:]) for x in (q, k, v))
        source, mark = source.view(2, -1, HEADS)[along, tail], mark.view(2, -1, HEADS)[along, head]
        transition = transition.view(2, 2, -1, HEADS)[along[earlier], along[later], middle]
        return peer(*nodes, source, transition, mark, direct.view(-1, HEADS)).view(v.shape)

    cells = (1, height, width)
    return Problem(
        _inputs(cells, (2, *cells), (2, 2, *cells)),
        {"ours": lambda *inputs: plstm_scan(*inputs, grid), "a level at a time": on_edges},
    )


def random_dag(nodes: int, links: int, reach: int = 50) -> LineGraph:
    """Edges from smaller numbers to larger ones, at most ``reach`` apart."""
    generator = torch.Generator().manual_seed(0)
    head = torch.randint(1, nodes, (links,), generator=generator)
    tail = head - 1 - (torch.rand(links, generator=generator) * head.clamp(max=reach)).long()
    return line_graph(torch.stack([tail, head]), nodes)


def graph(lines: LineGraph, graphs: Ragged | None = None, loop: EdgeLoop | None = None) -> Problem:
    methods: dict[str, Callable[..., Tensor]] = {
        "ours": lambda *inputs: plstm_scan(*inputs, lines, graphs=graphs),
        "ours, recurrent": lambda *inputs: plstm_scan(*inputs, lines, form="recurrent"),
        "a level at a time": LevelWise(lines),
    }
    if loop is not None:
        methods["an edge at a time"] = loop
    return Problem(_inputs((lines.num_nodes,), (lines.num_states,), (lines.num_links,)), methods)


class LevelWise:
    """A gather and an ``index_add`` for each level of the line graph, on the states of all edges."""

    def __init__(self, lines: LineGraph) -> None:
        level = lines.level[lines.link_index[1]]
        self.links = [(level == depth).nonzero().squeeze(1) for depth in range(1, lines.depth)]
        self.earlier, self.later = lines.link_index
        self.tail, self.head = lines.node_edge_index

    def __call__(self, q, k, v, source, transition, mark, direct) -> Tensor:
        states = source[..., None, None] * (k[..., :, None] * v[..., None, :])[self.tail]
        for links in self.links:
            passed = transition[links][..., None, None] * states[self.earlier[links]]
            states = states.index_add(0, self.later[links], passed)
        read = mark[..., None] * torch.einsum("ehk,ehkv->ehv", q[self.head], states)
        return ((direct * (q * k).sum(-1))[..., None] * v).index_add(0, self.head, read)


class EdgeLoop:
    """One edge after another, as the released code walks a graph."""

    def __init__(self, edges: Tensor, num_nodes: int) -> None:
        lines = line_graph(edges, num_nodes)
        self.order = lines.level.argsort(stable=True).tolist()
        self.tail, self.head = edges.tolist()
        self.entering: list[list[tuple[int, int]]] = [[] for _ in range(edges.shape[1])]
        for link, (earlier, later) in enumerate(lines.link_index.t().tolist()):
            self.entering[later].append((link, earlier))

    def __call__(self, q, k, v, source, transition, mark, direct) -> Tensor:
        q, k, v, d = q.unbind(0), k.unbind(0), v.unbind(0), direct.unbind(0)
        source, transition, mark = source.unbind(0), transition.unbind(0), mark.unbind(0)
        y = [d[n][:, None] * (q[n] * k[n]).sum(-1, keepdim=True) * v[n] for n in range(len(q))]
        states: dict[int, Tensor] = {}
        for e in self.order:
            u = self.tail[e]
            states[e] = source[e][:, None, None] * k[u][:, :, None] * v[u][:, None, :]
            for link, earlier in self.entering[e]:
                states[e] = states[e] + transition[link][:, None, None] * states[earlier]
            w = self.head[e]
            y[w] = y[w] + mark[e][:, None] * (q[w][:, None, :] @ states[e]).squeeze(1)
        return torch.stack(y)


def _inputs(nodes: tuple[int, ...], edges: tuple[int, ...], links: tuple[int, ...]) -> list[Tensor]:
    torch.manual_seed(0)
    q, k, v = (torch.randn(*nodes, HEADS, SIZE) for _ in range(3))
    source, mark = (torch.rand(*edges, HEADS) for _ in range(2))
    return [q / SIZE**0.5, k, v, source, torch.rand(*links, HEADS) / 3, mark, torch.rand(*nodes, HEADS)]


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "64 molecules": molecules,
    "grid of 64 × 64": grid_as_graph,
    "2000 nodes, 4000 edges": lambda: graph(random_dag(2000, 4000)),
}
# Problem, peer, at least how many times as long as ours.
BARS = [
    ("64 molecules", "a level at a time", 8),
    ("grid of 64 × 64", "a level at a time", 20),
    ("64 molecules", "an edge at a time", 100),
]
LARGE = (100_000, 200_000)


def both_passes(problem: Problem, method: str) -> Call:
    """Forward and backward."""
    leaves = [tensor.clone().requires_grad_() for tensor in problem.inputs]
    cotangent = torch.randn_like(problem.inputs[2])
    return lambda: torch.autograd.grad(problem.methods[method](*leaves), leaves, cotangent)


def large() -> Call:
    """A graph of 100,000 nodes."""
    return both_passes(graph(random_dag(*LARGE)), "ours")


def check(problem: Problem) -> None:
    first, *others = (method(*problem.inputs) for method in problem.methods.values())
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-3, atol=1e-3)


def growth(repeats: int) -> list[list[float]]:
    """Links of a line graph, and microseconds for each of them."""
    found = {}
    calls = {}
    for nodes in (2000, 8000, 32000):
        lines = random_dag(nodes, 2 * nodes)
        found[str(nodes)] = lines.num_links
        calls[str(nodes)] = both_passes(graph(lines), "ours, recurrent")
    taken = milliseconds(calls, repeats)
    return [[found[nodes], 1000 * taken[nodes].minimum / found[nodes]] for nodes in found]


def draw(content: dict[str, Any]) -> None:
    """How many times as long as ours the peers take, and the cost of a link."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 2.4), layout="constrained", width_ratios=(3, 2))
    names, ratios = [], []
    for name, methods in content["problems"].items():
        for peer, times in methods.items():
            if not peer.startswith("ours"):
                names.append(f"{name}\n{peer}")
                ratios.append(times["median"] / methods["ours"]["median"])
    bars = left.barh(names, ratios, color="C0")
    left.bar_label(bars, [f"{ratio:.0f} ×" for ratio in ratios], padding=2, fontsize=7)
    left.set(xscale="log", xlim=(1, 4 * max(ratios)), xlabel="time over that of plstm_scan")
    left.tick_params(labelsize=7)
    links, microseconds = zip(*content["microseconds_per_link"], strict=True)
    right.plot(links, microseconds, "o-")
    right.set(xscale="log", ylim=(0, None), xlabel="links of the line graph", ylabel="µs for each")
    figure.savefig(RESULTS.with_suffix(".png"), dpi=150)


def main(repeats: int = 7, threads: int = 2, only: str = "", memory: bool = True, save: bool = False) -> None:
    """Print milliseconds, ratios, the cost of a link, and the memory of a large graph.

    Args:
        repeats: timed calls of each method.
        threads: for PyTorch and the kernels alike.
        only: problems whose name contains this.
        memory: also measure the peak of a graph of 100,000 nodes.
        save: write the numbers to docs/results.
    """
    torch.set_num_threads(threads)
    peak = peak_mebibytes(large) if memory else None
    keep_pages()
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, make in PROBLEMS.items():
        if only not in name:
            continue
        problem = make()
        check(problem)
        calls = {method: both_passes(problem, method) for method in problem.methods}
        results[name] = {method: time._asdict() for method, time in milliseconds(calls, repeats).items()}
        print(f"\n{name}")
        for method, times in results[name].items():
            ratio = times["median"] / results[name]["ours"]["median"]
            print(f"{method:24}{times['median']:10.2f} ms{times['minimum']:10.2f} ms{ratio:8.1f} ×")
    bars = []
    for name, peer, wanted in BARS:
        if name in results:
            ours, other = results[name]["ours"], results[name][peer]
            bars.append({"what": f"{name}, over {peer}", "wanted": wanted, "median": other["median"] / ours["median"]})
            print(f"{bars[-1]['what']:50} wanted {wanted:4}, median {bars[-1]['median']:7.1f}")
    per_link = growth(repeats) if not only else []
    for links, microseconds in per_link:
        print(f"{links:.0f} links: {microseconds:.3f} µs each")
    if peak is not None:
        print(f"{LARGE[0]} nodes and {LARGE[1]} edges: {peak:.0f} MiB")
    if save:
        content = {
            "benchmark": "the scan of pLSTM beside its peers, float32, forward and backward, milliseconds",
            "command": f"python benchmarks/plstm.py --repeats {repeats} --threads {threads} --save true",
            "threads": threads,
            "torch": torch.__version__,
            "heads": HEADS,
            "size": SIZE,
            "problems": results,
            "wanted": bars,
            "microseconds_per_link": per_link,
            "large_peak_mib": peak,
        }
        RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        draw(content)


if __name__ == "__main__":
    auto_cli(main)
