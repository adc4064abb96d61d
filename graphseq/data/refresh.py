"""Bring checksums and sizes in the manifests up to date with a mirror: ``python -m graphseq.data.refresh MIRROR``."""

from __future__ import annotations

import json
from pathlib import Path

from graphseq.data.manifest import FOLDER
from graphseq.data.mirror import sha256


def refresh(mirror: Path) -> None:
    """Rewrite each manifest's ``sha256`` and ``size``; all else in it is written by hand and stays.

    Where the mirror is the one the manifests were made from, nothing changes.

    Args:
        mirror: folder with all raw files.
    """
    for path in sorted(Path(str(FOLDER)).glob("*.json")):
        path.write_text(refreshed(path.read_text(encoding="utf-8"), mirror), encoding="utf-8")


def refreshed(manifest: str, mirror: Path) -> str:
    """The text of a manifest with the checksums and sizes that the files of a mirror have."""
    entries = json.loads(manifest)
    for file in entries.get("files", []):
        raw = mirror / file["path"]
        file.update(sha256=sha256(raw), size=raw.stat().st_size)
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(refresh)
