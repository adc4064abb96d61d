"""One process at a time turns raw files into processed ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def preparing(root: Path, folder: str) -> Iterator[None]:
    """Guards the preparation of a data set, so that ranks and workers may all ask for it at once.

    A process that dies within leaves a mark, and the next one makes the processed files anew.
    A root that cannot be written to is used as it is.

    Args:
        root: the data root; one lock covers all of it, as data sets share archives.
        folder: the folder of the data set in it.
    """
    if root.exists() and not os.access(root, os.W_OK):
        yield
        return
    (root / folder).mkdir(parents=True, exist_ok=True)
    unfinished = root / folder / ".unfinished"
    with FileLock(root / ".lock"):
        if unfinished.exists():
            shutil.rmtree(root / folder / "processed", ignore_errors=True)
        unfinished.touch()
        yield
        unfinished.unlink()
