"""Communities of weighted LFR graphs: modularity, map equation and block models against the planted ones."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import infomap
import networkx as nx
import numpy as np
import torch
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_dense_adj

from graphseq.connectome import Leiden, select_communities, standard_methods
from graphseq.data.generated.lfr import weighted_lfr

CONDITIONS: dict[str, dict[str, float]] = {
    "beta=0.5": {"strength_exponent": 0.5},
    "beta=1": {"strength_exponent": 1.0},
    "beta=2": {},
    "mu_t=0.25": {"mixing": 0.25},
    "mu_t=0.5, other seeds": {},
    "mu_t=0.75": {"mixing": 0.75},
    "k=10": {"mean_degree": 10},
    "mu_w=0.25": {"weight_mixing": 0.25},
    "mu_w=0.75": {"weight_mixing": 0.75},
}
SEEDS = {name: range(23, 33) if "other" in name else range(13, 23) for name in CONDITIONS}
CANDIDATES = ("Louvain", "both")


class Infomap:
    """Communities of the shortest two-level code of a random walk (Rosvall & Bergstrom 2008)."""

    def __call__(self, weights: Tensor) -> Tensor:
        search = infomap.Infomap("--two-level --silent --seed 1 --num-trials 5")
        rows, columns = torch.triu(weights, 1).nonzero().T.tolist()
        for one, other in zip(rows, columns, strict=True):
            search.add_link(one, other, float(weights[one, other]))
        search.run()
        found = dict(search.modules)
        # A node without links is in none.
        return torch.tensor([found.get(node, -1 - node) for node in range(len(weights))])


def methods() -> dict[str, Callable[[Tensor], Tensor]]:
    standard = standard_methods()
    models = {name: standard[name] for name in ("degree-corrected", "both")}
    return {"Louvain": standard["Louvain"], "Leiden": Leiden(), "infomap": Infomap(), **models}


def graphs(name: str, count: int) -> dict[int, Data]:
    """Those with several communities, by seed."""
    made = {seed: weighted_lfr(np.random.default_rng(seed), **CONDITIONS[name]) for seed in list(SEEDS[name])[:count]}
    return {seed: data for seed, data in made.items() if data.y.max() > 0}


def measure(data: Data) -> dict[str, dict]:
    weights = to_dense_adj(data.edge_index, edge_attr=data.edge_weight, max_num_nodes=data.num_nodes)[0]
    every = methods()
    found = {name: method(weights) for name, method in every.items()}
    # What was found need not be found again to be judged.
    candidates = {name: lambda _, labels=found[name]: labels for name in CANDIDATES}
    selection = select_communities(weights, candidates)
    found["selected"] = selection.labels
    rows: dict[str, dict] = {
        name: {
            "ami": float(adjusted_mutual_info_score(data.y, labels)),
            "nmi": float(normalized_mutual_info_score(data.y, labels)),
            "communities": len(labels.unique()),
        }
        for name, labels in found.items()
    }
    rows["selected"]["method"] = selection.method
    rows["selected"]["log_posterior_of_a_pair"] = selection.scores
    return rows


def summary(rows: dict[str, dict]) -> dict[str, dict[str, float]]:
    names = next(iter(rows.values()))
    return {
        name: {measure: float(np.mean([row[name][measure] for row in rows.values()])) for measure in ("ami", "nmi")}
        for name in names
    }


def plot(result: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.2), layout="constrained", dpi=160)
    axes = figure.subplots()
    conditions = list(result["conditions"])
    names = list(result["conditions"][conditions[0]]["mean"])
    for place, name in enumerate(names):
        heights = [result["conditions"][condition]["mean"][name]["ami"] for condition in conditions]
        axes.bar([x + 0.1 * (place - len(names) / 2) for x in range(len(conditions))], heights, 0.09, label=name)
    axes.set_xticks(range(len(conditions)), [name.replace(", ", "\n") for name in conditions], fontsize=6)
    axes.set(ylabel="AMI with planted communities", title="Weighted LFR graphs")
    axes.legend(frameon=False, fontsize=6, ncols=4)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("conditions", nargs="*", default=list(CONDITIONS), help="which conditions")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds of each")
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    folder = Path(__file__).parents[1] / "docs" / "results"
    path = folder / "communities.json"
    for name in arguments.conditions:
        start = time.perf_counter()
        rows = {str(seed): measure(data) for seed, data in graphs(name, arguments.seeds).items()}
        means = summary(rows)
        scores = "  ".join(f"{method} {mean['ami']:.3f}/{mean['nmi']:.3f}" for method, mean in means.items())
        print(f"{name} ({len(rows)} graphs, {time.perf_counter() - start:.0f} s)  AMI/NMI: {scores}", flush=True)
        # Read again, as other conditions may have been added by another process.
        result = json.loads(path.read_text()) if path.exists() else {"conditions": {}}
        result["conditions"][name] = {"graphs": rows, "mean": means}
        result["conditions"] = {key: result["conditions"][key] for key in CONDITIONS if key in result["conditions"]}
        result |= {
            "benchmark": "communities of weighted LFR graphs of 125 nodes",
            "candidates_of_selected": CANDIDATES,
            "seeds_of_each_condition": arguments.seeds,
            "networkx": nx.__version__,
            "command": f"OMP_NUM_THREADS={threads} python benchmarks/communities.py --seeds {arguments.seeds}",
        }
        path.write_text(json.dumps(result, indent=2) + "\n")
    plot(result, folder / "communities.png")


if __name__ == "__main__":
    main()
