"""What is known of whole series without a network: docs/results/series/japanese_vowels_baselines.json.

python examples/series/classification_baselines.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from graphseq.data import load


def measure(out: Path = Path("docs/results/series/japanese_vowels_baselines.json")) -> None:
    """Test accuracy of the nearest neighbour and of ridge regression on five summaries, fitted to all training series.

    Args:
        out: where the record goes.
    """
    bench = load("JapaneseVowels")
    parts = [[*bench.train, *bench.val], list(bench.test)]
    longest = max(len(data.x) for part in parts for data in part)
    labels = [[int(data.y) for data in part] for part in parts]
    features = {
        "nearest neighbour, shorter series filled up with zeros": (
            lambda x: np.pad(x, ((0, longest - len(x)), (0, 0))).ravel(),
            KNeighborsClassifier(1),
        ),
        "ridge on mean, deviation, extremes and mean step of each dimension": (
            _summary,
            make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0)),
        ),
    }
    found = {}
    for title, (describe, model) in features.items():
        train, test = (np.stack([describe(data.x.double().numpy()) for data in part]) for part in parts)
        found[title] = float(model.fit(train, labels[0]).score(test, labels[1]))
    record = {"metric": "accuracy", "command": "python examples/series/classification_baselines.py", "baselines": found}
    out.write_text(json.dumps(record, indent=2) + "\n")
    print(out.read_text())


def _summary(x: np.ndarray) -> np.ndarray:
    steps = np.abs(np.diff(x, axis=0)).mean(0)
    return np.concatenate([x.mean(0), x.std(0), x.min(0), x.max(0), steps])


if __name__ == "__main__":
    auto_cli(measure)
