"""Planted motifs in generated recordings: who acts together when, by factorisation and by what else is at hand.

python examples/connectome/planted_motifs.py

Prints the mean over windows of the adjusted mutual information (AMI) between found and planted communities, for the
factorisation and for baselines, over seeds and signal-to-noise ratios, and writes docs/results/planted_motifs.json.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from jsonargparse import auto_cli
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor

from graphseq.connectome import (
    CPFit,
    DynamicCommunities,
    DynamicConnectome,
    Louvain,
    MeanWindow,
    NonNegativeCP,
    top_quantile,
)
from graphseq.connectome.dynamic import BACKGROUND
from graphseq.data import CalciumRecordings

WINDOW = MeanWindow(12, 6)
MODEL = DynamicConnectome(NonNegativeCP(4, restarts=5), Louvain(), window=WINDOW)


def factorised(recordings: CalciumRecordings) -> DynamicCommunities:
    return MODEL.fit(recordings.traces, recordings.observed, dt=recordings.dt)


def zero_filled(recordings: CalciumRecordings) -> DynamicCommunities:
    """The same without masks, missing traces as zeros, factorised by tensorly."""
    from tensorly.decomposition import non_negative_parafac_hals

    filled = recordings.traces.nan_to_num(0)
    everything = torch.ones_like(recordings.observed)

    class Tensorly(NonNegativeCP):
        def fit(self, x: Tensor, mask: Tensor | None = None, start: object = None) -> CPFit:
            fits = [
                non_negative_parafac_hals(x.numpy(), self.rank, n_iter_max=200, tol=1e-6, init="random", random_state=k)
                for k in range(self.restarts)
            ]
            errors = [float(torch.linalg.vector_norm(x - torch.from_numpy(fit.to_tensor()))) for fit in fits]
            best = fits[errors.index(min(errors))]
            factors = [torch.from_numpy(factor) for factor in best.factors]
            norms = [factor.norm(dim=0).clamp(min=1e-300) for factor in factors]
            weights = norms[0] * norms[1] * norms[2]
            unit = tuple(factor / norm for factor, norm in zip(factors, norms, strict=True))
            error = min(errors) / float(x.norm())
            return CPFit(weights, unit, torch.tensor([error]), torch.tensor([error]), error, True)

    model = DynamicConnectome(Tensorly(4, restarts=MODEL.factorise.restarts), Louvain(), window=WINDOW)
    return model.fit(filled, everything, dt=recordings.dt)


def correlation_and_louvain(recordings: CalciumRecordings) -> Tensor:
    """Pearson correlation in each window, mean over the animals that have both neurons, then Louvain."""
    labels = []
    for segment in _segments(recordings):
        centred = segment - segment.mean(-1, keepdim=True)
        unit = centred / centred.norm(dim=-1, keepdim=True)
        matrix = torch.einsum("ant,amt->anm", unit, unit).nanmean(0).nan_to_num(0).clamp(min=0)
        graph = top_quantile(matrix, MODEL.keep)
        linked = (graph > 0).any(1)
        label = torch.full((len(graph),), BACKGROUND)
        label[linked] = Louvain()(graph[linked][:, linked])
        labels.append(label)
    return torch.stack(labels)


def components_and_kmeans(recordings: CalciumRecordings) -> Tensor:
    """Principal components of the standardised traces of all animals in each window, then four means."""
    labels = []
    for segment in _segments(recordings):
        standard = (segment - segment.mean(-1, keepdim=True)) / segment.std(-1, keepdim=True)
        rows = standard.nan_to_num(0).permute(1, 0, 2).flatten(1).numpy()
        scores = PCA(5, random_state=0).fit_transform(rows)
        labels.append(torch.from_numpy(KMeans(4, n_init=10, random_state=0).fit_predict(scores)))
    return torch.stack(labels)


METHODS: dict[str, Callable[[CalciumRecordings], DynamicCommunities | Tensor]] = {
    "factorisation, masked": factorised,
    "tensorly, zero-filled": zero_filled,
    "correlation, Louvain in each window": correlation_and_louvain,
    "PCA, k-means in each window": components_and_kmeans,
}


def planted(recordings: CalciumRecordings) -> tuple[Tensor, Tensor]:
    """The communities of the strongest motif in each window, and whether it is on for at least half of it."""
    on = _window_means(recordings.activity)
    strongest_motif = (on * recordings.gains.mean(1, keepdim=True)).argmax(0)
    return recordings.communities[strongest_motif], on.gather(0, strongest_motif[None])[0] >= 0.5


def ami_per_window(found: Tensor, recordings: CalciumRecordings) -> float:
    truth, on = planted(recordings)
    scores = [adjusted_mutual_info_score(t, f) for t, f in zip(truth[on], found[on], strict=True)]
    return statistics.fmean(scores)


def motif_scores(found: DynamicCommunities, recordings: CalciumRecordings) -> dict[str, float]:
    """Motifs matched to planted ones by their time courses: what else came back."""
    planted_courses = _window_means(recordings.activity)
    number = len(planted_courses)
    courses = found.motifs.factors[1].t()
    correlation = torch.corrcoef(torch.cat([planted_courses, courses]))[:number, number:].nan_to_num(0)
    rows, columns = linear_sum_assignment(-correlation.numpy())
    cosine = torch.nn.functional.cosine_similarity(
        recordings.gains[rows], found.motifs.factors[2].t()[columns].to(recordings.gains), dim=1
    )
    labels = [
        adjusted_mutual_info_score(recordings.communities[row], found.labels[column])
        for row, column in zip(rows, columns, strict=True)
    ]
    return {
        "time course correlation": float(correlation[rows, columns].mean()),
        "animal loading cosine": float(cosine.mean()),
        "AMI of motifs": statistics.fmean(labels),
    }


def study(snr: list[float] = [1.0, 3.0, 10.0], seeds: int = 5, results: Path = Path("docs/results")) -> None:  # noqa: B006
    """Compare the methods.

    Args:
        snr: ratios of signal to noise.
        seeds: recordings of each ratio.
        results: folder of the record.
    """
    rows = []
    for ratio in snr:
        for seed in range(seeds):
            recordings = CalciumRecordings(snr=ratio, seed=seed)
            for name, method in METHODS.items():
                start = time.perf_counter()
                found = method(recordings)
                row = {"snr": ratio, "seed": seed, "method": name, "seconds": time.perf_counter() - start}
                if isinstance(found, DynamicCommunities):
                    row |= motif_scores(found, recordings)
                    found = found.labels_at()
                rows.append(row | {"ami": ami_per_window(found, recordings)})
        for name in METHODS:
            scores = [row["ami"] for row in rows if row["snr"] == ratio and row["method"] == name]
            spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
            print(f"SNR {ratio:<5} {name:<38} AMI {statistics.fmean(scores):.3f} ± {spread:.3f}", flush=True)
    path = results / "planted_motifs.json"
    path.write_text(
        json.dumps({"command": "python examples/connectome/planted_motifs.py", "rows": rows}, indent=1) + "\n"
    )
    print(f"in {path}")


def _segments(recordings: CalciumRecordings) -> list[Tensor]:
    starts = WINDOW.frames(recordings.traces.shape[-1]).tolist()
    return [recordings.traces[:, :, start : start + WINDOW.length] for start in starts]


def _window_means(courses: Tensor) -> Tensor:
    return courses.unfold(1, WINDOW.length, WINDOW.step).mean(-1)


if __name__ == "__main__":
    auto_cli(study)
