"""The baselines that a network has to beat: past counts of signs, and scikit-learn's classifiers on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from graphseq.extras import needed_by
from graphseq.semba.timelines import Timelines


def count_features(
    lines: Timelines, pairs: Int[Tensor, "2 questions"], t: Float[Tensor, " questions"]
) -> Float[Tensor, "questions 14"]:
    """What was counted strictly before each question.

    For either node, positive and negative events given and received as ``log1p`` (8) and the smoothed share of
    negatives among each (4); whether the destination has rated the source before, and with which sign, last (2).
    """
    given = lines.is_source.double()
    positive = (lines.sign > 0).double()
    kinds = torch.stack(
        [given * positive, given * (1 - positive), (1 - given) * positive, (1 - given) * (1 - positive)], 1
    )
    total = torch.cat([kinds.new_zeros(1, 4), kinds.cumsum(0)])
    parts = []
    for node in pairs:
        row = lines.before(node, t)
        start = lines.topology.ptr[torch.searchsorted(lines.nodes, node).clamp(max=len(lines.nodes) - 1)]
        counts = torch.where((row >= 0)[:, None], total[row + 1] - total[start], 0)
        shares = torch.stack([(counts[:, k + 1] + 0.1) / (counts[:, k] + counts[:, k + 1] + 1) for k in (0, 2)], 1)
        parts += [counts.log1p(), shares]
    return torch.cat([*parts, _reverse(lines, pairs, t)], dim=1)


def count_model(name: str, kind: str, seed: int = 0) -> Any:
    """A scikit-learn pipeline: ``"logistic"`` or ``"trees"``, for classes or a real target.

    Args:
        name: which family; for a real target, ridge regression stands for ``"logistic"``.
        kind: kind of the task, see :class:`graphseq.data.Task`.
        seed: of the trees.

    Raises:
        ValueError: if there is no such model.
    """
    with needed_by("count_model"):
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

    if name not in ("logistic", "trees"):
        raise ValueError(f"name must be 'logistic' or 'trees', got {name!r}")
    if name == "logistic":
        return make_pipeline(StandardScaler(), Ridge() if kind == "regression" else LogisticRegression(max_iter=1000))
    trees = HistGradientBoostingRegressor if kind == "regression" else HistGradientBoostingClassifier
    return trees(random_state=seed)


def _reverse(lines: Timelines, pairs: Tensor, t: Tensor) -> Tensor:
    """Whether the destination acted on the source strictly before, and the last sign: 1, -1, or 0 if it did not."""
    rows = lines.is_source.nonzero().squeeze(1)
    key = (lines.owner[rows] * lines.num_nodes + lines.peer[rows]).numpy()
    times, wanted = lines.t[rows].numpy(), (pairs[1] * lines.num_nodes + pairs[0]).numpy()
    order = np.lexsort((times, key))
    known, rank = np.unique(times, return_inverse=True)
    both = (key * (len(known) + 1) + rank)[order]
    place = np.searchsorted(both, wanted * (len(known) + 1) + np.searchsorted(known, t.double().numpy())) - 1
    found = (place >= 0) & (key[order][place.clip(min=0)] == wanted)
    sign = np.where(found, lines.sign[rows].numpy()[order][place.clip(min=0)], 0)
    return torch.from_numpy(np.stack([found.astype(np.float64), sign.astype(np.float64)], axis=1))
