"""A SPEN layer against the same layer on padded dense tensors and one network after another; and its growth.

On four data sets: one layer, forward and backward, on batches of graphs; times in turn, memory in processes of its own.
On random 4-regular graphs: time and memory against the number of nodes, beside one order-2 network on the whole graph.
"""

import argparse
import json
from pathlib import Path

import torch
from measure import Call, keep_pages, milliseconds, peak_mebibytes
from torch import Tensor
from torch.nn.functional import elu
from torch_geometric.data import Batch, Data
from torch_geometric.utils import scatter, to_undirected

from graphseq.data import load
from graphseq.spen import EgoNetworks, SPENLayer, ego_networks

CHANNELS, GRAPHS, REPEATS = 16, 32, 7
DATASETS = ("MUTAG", "NCI1", "PROTEINS", "IMDB-BINARY")
NODES = [1_000, 3_000, 10_000, 30_000, 100_000]
GLOBAL_NODES = [100, 200, 400, 800]


class Ragged:
    """The layer as it is."""

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        torch.manual_seed(0)
        self.nets = EgoNetworks(*ego_networks(edge_index, num_nodes))
        self.layer = SPENLayer((CHANNELS, CHANNELS), CHANNELS, norm=False)
        self.pair = torch.randn(self.nets.num_pairs, CHANNELS, requires_grad=True)
        self.node = torch.randn(num_nodes, CHANNELS, requires_grad=True)

    def __call__(self) -> Tensor:
        pair, node = self.forward()
        loss = pair.square().mean() + node.square().mean()
        loss.backward()
        return loss.detach()

    def forward(self) -> tuple[Tensor, Tensor]:
        return self.layer(self.pair, self.node, self.nets)


class Padded(Ragged):
    """Every network padded to the largest, all operations stacked and then contracted, as in the authors' code."""

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        super().__init__(edge_index, num_nodes)
        blocks, nets = self.nets.blocks, self.nets
        m = int(blocks.size.max())
        within = torch.arange(blocks.num_members) - blocks.ptr[blocks.block]
        self.mask = torch.zeros(num_nodes, m, dtype=torch.bool).index_put((blocks.block, within), torch.tensor(True))
        self.place1 = torch.zeros(num_nodes, m, dtype=torch.long).index_put((blocks.block, within), nets.member)
        row, col = blocks.pair_row, blocks.pair_col
        where = (blocks.block[row], within[row], within[col])
        self.place2 = torch.zeros(num_nodes, m, m, dtype=torch.long).index_put(where, nets.pair)

    def forward(self) -> tuple[Tensor, Tensor]:
        pair_mask = (self.mask[:, :, None] & self.mask[:, None])[..., None]
        x = self.node[self.place1] * self.mask[..., None]
        X = self.pair[self.place2] * pair_mask
        new_pair, new_node = dense_maps(self.layer, X, x, self.mask.sum(1).to(X.dtype))
        pair = scatter(new_pair[pair_mask[..., 0]], self.place2[pair_mask[..., 0]], 0, self.nets.num_pairs)
        node = scatter(new_node[self.mask], self.place1[self.mask], 0, self.nets.num_nodes)
        return elu(pair / self.nets.pair_count[:, None]), elu(node / self.nets.node_count[:, None])


class Loop(Ragged):
    """One network after another."""

    def forward(self) -> tuple[Tensor, Tensor]:
        nets, ptr, pair_ptr = self.nets, self.nets.blocks.ptr.tolist(), self.nets.blocks.pair_ptr.tolist()
        pairs, nodes = [], []
        for s, m in enumerate(nets.size.tolist()):
            X = self.pair[nets.pair[pair_ptr[s] : pair_ptr[s + 1]]].view(1, m, m, CHANNELS)
            x = self.node[nets.member[ptr[s] : ptr[s + 1]]][None]
            new_pair, new_node = dense_maps(self.layer, X, x, X.new_tensor([m]))
            pairs.append(new_pair.flatten(0, 2))
            nodes.append(new_node[0])
        pair = scatter(torch.cat(pairs), nets.pair, 0, nets.num_pairs)
        node = scatter(torch.cat(nodes), nets.member, 0, nets.num_nodes)
        return elu(pair / nets.pair_count[:, None]), elu(node / nets.node_count[:, None])


class Global(Ragged):
    """One order-2 network on the whole graph."""

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        torch.manual_seed(0)
        self.layer = SPENLayer((CHANNELS, CHANNELS), CHANNELS, norm=False)
        self.X = torch.randn(1, num_nodes, num_nodes, CHANNELS, requires_grad=True)
        self.x = torch.randn(1, num_nodes, CHANNELS, requires_grad=True)

    def forward(self) -> tuple[Tensor, Tensor]:
        pair, node = dense_maps(self.layer, self.X, self.x, self.x.new_tensor([self.x.shape[1]]))
        return elu(pair), elu(node)


def dense_maps(layer: SPENLayer, X: Tensor, x: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's maps on dense tensors ``[B, m, m, C]`` and ``[B, m, C]``, every operation on its own."""
    m = X.shape[1]
    over = 1 / size.view(-1, 1, 1)
    d = X.diagonal(dim1=1, dim2=2).transpose(1, 2)
    r, c, s = X.sum(2) * over, X.sum(1) * over, x.sum(1, True) * over
    t, a = d.sum(1, True) * over, r.sum(1, True) * over
    eye = torch.eye(m)[None, :, :, None]

    def full(value: Tensor) -> Tensor:
        return value.expand(-1, m, m, -1)

    def diagonal(value: Tensor) -> Tensor:
        return eye * value.expand(-1, m, -1)[:, :, None]

    row = [value[:, :, None] for value in (c, r, d, x)]
    col = [value[:, None] for value in (c, r, d, x)]
    ops22 = [diagonal(value) for value in (d, t, r, c, a)] + [full(v) for v in (*row[:2], *col[:2])]
    ops22 += [X, X.transpose(1, 2), full(row[2]), full(col[2]), full(t[:, None]), full(a[:, None])]
    ops12 = [diagonal(x), diagonal(s), full(col[3]), full(row[3]), full(s[:, None])]
    ops21 = [d, t.expand_as(d), r, c, a.expand_as(d)]
    ops11 = [x, s.expand_as(x)]
    maps = layer.maps[0]

    def contracted(ops: list[Tensor], equivariant: torch.nn.Module) -> Tensor:
        return torch.einsum("o...c,ocd->...d", torch.stack(ops), equivariant.weight[0])

    def biased(values: Tensor, equivariant: torch.nn.Module) -> Tensor:
        return values + equivariant.bias[0, 1] + eye * equivariant.bias[0, 0]

    pair = [biased(contracted(ops, layer), layer) for ops, layer in zip((ops22, ops12), maps.to_pair, strict=True)]
    node = [contracted(ops, layer) + layer.bias[0, 0] for ops, layer in zip((ops21, ops11), maps.to_node, strict=True)]
    return torch.cat(pair, -1), torch.cat(node, -1)


def batch_of(name: str) -> Data:
    graphs = load(name).train
    return Batch.from_data_list([graphs[place] for place in range(min(GRAPHS, len(graphs)))])


def on_dataset(kind: type[Ragged], name: str) -> Call:
    batch = batch_of(name)
    return kind(batch.edge_index, batch.num_nodes)


def on_regular_graph(kind: type[Ragged], nodes: int) -> Call:
    """Two random Hamiltonian cycles: nearly always 4-regular, and quick to draw."""
    torch.manual_seed(0)
    cycles = [torch.randperm(nodes) for _ in range(2)]
    edges = torch.cat([torch.stack([cycle, cycle.roll(1)]) for cycle in cycles], 1)
    return kind(to_undirected(edges), nodes)


def agree(name: str) -> None:
    """All do the same, to rounding."""
    outs = [on_dataset(kind, name).forward() for kind in (Ragged, Padded, Loop)]
    for other in outs[1:]:
        for one, two in zip(outs[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def measure_dataset(name: str) -> dict[str, object]:
    kinds = {"ragged": Ragged, "padded": Padded, "loop": Loop}
    memory = {label: peak_mebibytes(on_dataset, kind, name) for label, kind in kinds.items()}
    calls = {label: on_dataset(kind, name) for label, kind in kinds.items()}
    agree(name)
    times = milliseconds({label: calls[label] for label in ("ragged", "padded")}, REPEATS)
    # The loop takes so long that fewer repeats tell enough.
    times |= milliseconds({"loop": calls["loop"]}, 2)
    nets = calls["ragged"].nets
    batch = batch_of(name)
    whole = int(torch.bincount(batch.batch).square().sum())
    row = {
        "graphs": int(batch.num_graphs),
        "pairs_in_networks": nets.blocks.num_pairs,
        "pairs_of_nodes": nets.num_pairs,
        "pairs_of_whole_graphs": whole,
        "median_ms": {label: time.median for label, time in times.items()},
        "min_ms": {label: time.minimum for label, time in times.items()},
        "peak_mib": memory,
    }
    ratios = {label: times[label].median / times["ragged"].median for label in ("padded", "loop")}
    memories = {label: memory[label] / memory["ragged"] for label in ("padded", "loop")}
    print(
        f"{name:<12} ragged {times['ragged'].median:8.1f} ms {memory['ragged']:7.0f} MiB"
        f"   padded x{ratios['padded']:6.1f} (memory x{memories['padded']:5.1f})   loop x{ratios['loop']:6.1f}"
        f"   networks / whole graphs {nets.blocks.num_pairs / whole:.2f}",
        flush=True,
    )
    return row


def measure_growth() -> dict[str, list[dict[str, float]]]:
    rows: dict[str, list[dict[str, float]]] = {}
    for label, kind, sizes in (("SPEN, one hop", Ragged, NODES), ("order 2 on the whole graph", Global, GLOBAL_NODES)):
        rows[label] = []
        for nodes in sizes:
            memory = peak_mebibytes(on_regular_graph, kind, nodes)
            call = on_regular_graph(kind, nodes)
            time = milliseconds({label: call}, 3)[label].median
            rows[label].append({"nodes": nodes, "peak_mib": memory, "median_ms": time})
            print(f"{label:<28}{nodes:>9,} nodes {time:10.1f} ms {memory:9.1f} MiB", flush=True)
    return rows


def plot(result: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.0), layout="constrained", dpi=160)
    growth, bars = figure.subplots(1, 2)
    for label, rows in result["growth"].items():
        growth.loglog([row["nodes"] for row in rows], [row["peak_mib"] for row in rows], "o-", label=label, ms=3)
    growth.set(xlabel="nodes, 4-regular", ylabel="peak memory, MiB", title="Memory of one layer")
    growth.legend(frameon=False, fontsize=7)
    names = list(result["datasets"])
    for offset, label in enumerate(("ragged", "padded", "loop")):
        heights = [result["datasets"][name]["median_ms"][label] for name in names]
        bars.bar([place + 0.27 * (offset - 1) for place in range(len(names))], heights, 0.25, label=label)
    bars.set_yscale("log")
    bars.set_xticks(range(len(names)), names, fontsize=7)
    bars.set(ylabel="ms, forward and backward", title="Time of one layer")
    bars.legend(frameon=False, fontsize=7)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=["growth", *DATASETS], help="growth, or names of data sets")
    parts = parser.parse_args().parts
    folder = Path(__file__).parents[1] / "docs" / "results"
    path = folder / "spen.json"
    result = json.loads(path.read_text()) if path.exists() else {"datasets": {}, "growth": {}}
    result |= {
        "benchmark": "one SPEN layer, forward and backward",
        "channels": CHANNELS,
        "threads": torch.get_num_threads(),
        "pages_kept": keep_pages(),
        "torch": torch.__version__,
        "command": f"OMP_NUM_THREADS={torch.get_num_threads()} python benchmarks/spen.py",
    }
    for part in parts:
        if part == "growth":
            result["growth"] = measure_growth()
        else:
            result["datasets"][part] = measure_dataset(part)
        path.write_text(json.dumps(result, indent=2) + "\n")
    if result["growth"] and result["datasets"]:
        plot(result, folder / "spen.png")


if __name__ == "__main__":
    main()
