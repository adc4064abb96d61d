"""TU graph-classification sets (Morris et al. 2020) and the small expressivity sets kept in the same format."""

from __future__ import annotations

from pathlib import Path

from torch_geometric.datasets import TUDataset
from torch_geometric.transforms import BaseTransform, Constant, OneHotDegree

from graphseq.data.folds import same_for_all, stored_fold, stratified_fold
from graphseq.data.loaded import Loaded
from graphseq.data.manifest import Manifest


def load_tu(manifest: Manifest, root: Path, split: int) -> Loaded:
    """A set in the TU format.

    Features are node attributes, where the set has them, followed by one-hot node labels. Sets without either get the
    one-hot degree (IMDB, as in Xu et al. 2019) or a constant (the regular graphs of CSL, SR25 and WLPAIRS).
    """
    name = manifest.arguments["dataset"]
    dataset = TUDataset(str(root / "tu"), name, pre_transform=_features(manifest), use_node_attr=True)
    labels = dataset.y.numpy()
    folds = manifest.arguments["folds"]
    if folds == "stored":
        return Loaded(dataset, stored_fold(root / "tu" / "folds10" / name, labels, split))
    if folds == "stratified":
        return Loaded(dataset, stratified_fold(labels, manifest.num_splits, split))
    return Loaded(dataset, same_for_all(len(labels)))


def _features(manifest: Manifest) -> BaseTransform | None:
    features = manifest.arguments.get("features")
    if features == "degree":
        return OneHotDegree(manifest.arguments["max_degree"])
    return Constant() if features == "constant" else None
