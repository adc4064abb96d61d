"""Seven freely moving worms (Dag et al. 2023) with the anatomy of Cook et al. (2019)."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from graphseq.data.catalogue import data_root
from graphseq.data.manifest import File
from graphseq.data.mirror import fetch
from graphseq.data.worms.recordings import Recordings

MANIFEST = resources.files("graphseq.data.worms") / "manifest.json"
BEHAVIOUR = ("velocity", "reversal", "head_angle", "angular_velocity", "worm_curvature")
"""Pumping has its place in the archive, too, but holds nothing in these seven."""


def describe_worms() -> dict[str, Any]:
    """What is stated about the recordings: title, licence, citation, source and files. Nothing is read or fetched.

    Example:
        >>> len(describe_worms()["files"])
        3
    """
    entries = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return {**entries, "files": tuple(File(**file) for file in entries["files"])}


def load_worms(
    root: str | Path | None = None,
    mirror: str | Path | None = None,
    *,
    confidence: float = 3.0,
    animals: int = 4,
) -> Recordings:
    """Calcium traces of identified neurons in seven worms, eight minutes at 0.6 s, with behaviour and anatomy.

    A trace counts as identified with enough confidence in its name and no question mark in it. Where two traces of one
    animal bear the same name, the more confident one is taken. The recordings have no common stimulus: frame 100 of one
    worm has nothing to do with frame 100 of another.

    Args:
        root: where files live; without it, the environment variable ``GRAPHSEQ_DATA``, else ``datasets``.
        mirror: folder with raw files; without it, the environment variable ``GRAPHSEQ_MIRROR``.
        confidence: of an identification, 0 to 5.
        animals: in how many worms a neuron must be identified to be taken.

    Raises:
        ValueError: if no neuron is identified in so many worms, or a file is not the one of the manifest.
        FileNotFoundError: if a file is not in the mirror; there is no official address with these very files.
    """
    root = data_root(root)
    root.mkdir(parents=True, exist_ok=True)
    files = describe_worms()["files"]
    with FileLock(root / ".lock"):
        fetch(files, root, mirror)
    recordings, anatomy, positions = (root / file.to for file in files)
    with np.load(recordings) as arrays:
        worms = [_Worm(arrays, str(uid), confidence) for uid in arrays["uids"]]
    seen = Counter(name for worm in worms for name in worm.rows)
    names = sorted(name for name, count in seen.items() if count >= animals)
    if not names:
        raise ValueError(
            f"animals must be at most {max(seen.values(), default=0)}, the most worms in which a neuron was identified "
            f"with confidence {confidence}, got {animals}"
        )
    traces = np.stack([worm.traces(names) for worm in worms])
    with np.load(anatomy) as arrays:
        place = [arrays["neurons"].tolist().index(name) for name in names]
        chemical, gap = (arrays[key][np.ix_(place, place)].astype(np.int64) for key in ("chemical", "gap"))
        kind = tuple(arrays["cell_type"][place].tolist())
    return Recordings(
        traces=torch.from_numpy(traces),
        observed=torch.from_numpy(~np.isnan(traces).all(-1)),
        dt=round(float(np.median([np.median(np.diff(worm.time)) for worm in worms])), 3),
        neurons=tuple(names),
        animals=tuple(worm.uid for worm in worms),
        behaviour={name: torch.from_numpy(np.stack([worm.behaviour[name] for worm in worms])) for name in BEHAVIOUR},
        chemical=torch.from_numpy(chemical),
        # Some counts differ slightly between the two directions of a junction, which has none.
        gap=torch.from_numpy(np.maximum(gap, gap.T)),
        position=torch.from_numpy(_positions(positions, names)),
        kind=kind,
    )


class _Worm:
    """What the archive holds of one animal."""

    def __init__(self, arrays: Any, uid: str, confidence: float) -> None:
        prefix = f"w{uid.replace('-', '')}_"
        self.uid, self.time = uid, arrays[prefix + "t"]
        self.fluorescence = arrays[prefix + "F"].astype(np.float64)
        self.behaviour = {name: arrays[prefix + name].astype(np.float64) for name in BEHAVIOUR}
        labels, certain = arrays[prefix + "label"], arrays[prefix + "conf"]
        self.rows: dict[str, int] = {}
        # Least certain first, so that a more certain one of the same name overwrites it.
        for row in np.argsort(certain, kind="stable"):
            name = str(labels[row])
            if name and "?" not in name and certain[row] >= confidence:
                self.rows[name] = int(row)

    def traces(self, names: list[str]) -> np.ndarray:
        """One row a neuron, NaN for those that were not identified."""
        result = np.full((len(names), len(self.fluorescence)), np.nan)
        for index, name in enumerate(names):
            if name in self.rows:
                result[index] = self.fluorescence[:, self.rows[name]]
        return result


def _positions(path: Path, names: list[str]) -> np.ndarray:
    header = path.read_text(encoding="utf-8").splitlines()[0].lstrip("#").split()
    table = dict(zip(header, np.loadtxt(path), strict=True))
    return np.stack([table[name] for name in names])
