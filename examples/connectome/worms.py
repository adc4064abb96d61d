"""From the traces of seven worms to motifs, communities and figures.

python examples/connectome/worms.py --out runs/worms

Each worm behaved by itself, without a stimulus that all would share, so a motif's time course means something within a
worm only, and most motifs load on one or two of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from jsonargparse import auto_cli
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from graphseq.connectome import (
    DynamicConnectome,
    Louvain,
    MeanWindow,
    NonNegativeCP,
    WeightedSBM,
    atlas,
    plot_communities,
    plot_neurons,
    plot_recording,
)
from graphseq.data.worms import load_worms


def worms(rank: int = 6, restarts: int = 3, communities: str = "sbm", out: Path = Path("runs/worms")) -> None:
    """Fit, print what can be checked, and draw.

    Args:
        rank: number of motifs.
        restarts: of the factorisation.
        communities: sbm (weighted stochastic block model) or louvain.
        out: folder for figures, the atlas and scores.json.
    """
    recordings = load_worms()
    method = Louvain() if communities == "louvain" else WeightedSBM()
    model = DynamicConnectome(
        NonNegativeCP(rank, restarts=restarts, max_sweeps=40), method, window=MeanWindow(10, 5), sigma=1.2
    )
    found = model.fit(recordings.traces, recordings.observed, dt=recordings.dt)
    twins = {tuple(sorted(pair)) for pair in recordings.homologues()}
    homologous = torch.tensor([tuple(pair) in twins for pair in found.pairs.t().tolist()])
    mean = (found.values.mean(1) * found.mask).sum(1) / found.mask.sum(1)
    seen = found.mask.any(1)
    scores = {
        "relative error": found.motifs.relative_error,
        "homologues, ROC-AUC": roc_auc(mean[seen], homologous[seen]),
        "gap junctions, ROC-AUC": roc_auc(mean[seen], recordings.gap[found.pairs[0], found.pairs[1]][seen] > 0),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    print(*(f"{name:<24}{value:.4f}" for name, value in scores.items()), sep="\n")
    reversal = recordings.behaviour["reversal"].unfold(1, 10, 5).mean(-1) > 0.5
    for animal, uid in enumerate(recordings.animals):
        table = atlas(found, {"reversal": reversal[animal]}, names=recordings.neurons, animal=animal)
        table.to_csv(out / f"atlas_{uid}.csv", index=False)
    print(table.sort_values("contrast", ascending=False).head(4).to_string(index=False, max_colwidth=70))
    plot_communities(found).savefig(out / "communities.png", dpi=150)
    plot_recording(found, recordings.traces, dt=recordings.dt).savefig(out / "recording.png", dpi=150)
    for motif in range(rank):
        figure = plot_neurons(found, recordings.position, motif, names=recordings.neurons)
        figure.savefig(out / f"neurons_{motif}.png", dpi=150)
    print(f"figures and atlas in {out}")


def roc_auc(values: Tensor, label: Tensor) -> float:
    """Of affinities, for a relation between the neurons."""
    return float(binary_auroc(values / values.max(), label.long()))


if __name__ == "__main__":
    auto_cli(worms)
