"""The ``ogbg-mol*`` molecule sets of the Open Graph Benchmark (Hu et al. 2020)."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from graphseq.data.loaded import Loaded, Split
from graphseq.data.manifest import Manifest
from graphseq.data.trusted import trusted_pyg_classes
from graphseq.extras import needed_by


def load_ogb(manifest: Manifest, root: Path, split: int) -> Loaded:
    """A molecule set by OGB's own reader, with its scaffold split. Labels are real numbers, NaN where missing."""
    with _without_update_check(), needed_by(f"the data set {manifest.name}"):
        from ogb.graphproppred import PygGraphPropPredDataset
        from ogb.utils.features import get_atom_feature_dims, get_bond_feature_dims

    # OGB would prefer this folder, which nobody has checked, and may ask on stdin whether to delete it.
    rival = root / f"{manifest.folder}_pyg"
    if rival.exists():
        raise ValueError(f"root must not hold {rival}, which ogb reads instead of the checked files: move it away")
    with trusted_pyg_classes(), contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        # ogb copies each label, so that pandas handing it out read-only does no harm.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable", category=UserWarning)
        dataset = PygGraphPropPredDataset(manifest.name, root=str(root / "ogb"))
        index = dataset.get_idx_split()
    dataset._data.y = dataset._data.y.float()
    return Loaded(
        dataset,
        Split(index["train"], index["valid"], index["test"]),
        node_categories=tuple(get_atom_feature_dims()),
        edge_categories=tuple(get_bond_feature_dims()),
    )


@contextlib.contextmanager
def _without_update_check() -> Iterator[None]:
    # On its first import ogb asks PyPI for a newer version, in a thread, if the package `outdated` is there.
    missing = object()
    before = sys.modules.get("outdated", missing)
    sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is missing:
            del sys.modules["outdated"]
        else:
            sys.modules["outdated"] = before  # type: ignore[assignment]
