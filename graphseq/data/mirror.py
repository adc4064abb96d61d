"""Raw files, from a mirror on disk or from their official address, held to their checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

from torch_geometric.data import download_url

from graphseq.data.archive import unpack
from graphseq.data.manifest import File

VARIABLE = "GRAPHSEQ_MIRROR"


def fetch(files: Iterable[File], into: str | Path, mirror: str | Path | None = None) -> None:
    """Put each file under ``into``, where it is not there yet, and hold it to its SHA-256.

    A file comes from the mirror if that has it, else from its official address. It gets its name only once it is
    complete and checked, so that an interrupted run leaves nothing half done.

    Args:
        files: what is needed.
        into: the data root.
        mirror: folder with raw files; without it, the one in the environment variable ``GRAPHSEQ_MIRROR``, if any.

    Raises:
        FileNotFoundError: if a file is in neither place, or the network is down.
        ValueError: if a file is not the one that its manifest states, or an archive is damaged or unsafe.
    """
    into, mirror = Path(into), mirror_folder(mirror)
    for file in files:
        target = into / file.to
        if target.exists():
            check(file, target)
        else:
            _obtain(file, target, mirror)
        if file.unpack is not None and not (into / file.unpack).exists():
            unpack(target, into / file.unpack)


def mirror_folder(mirror: str | Path | None = None) -> Path | None:
    """The mirror in force: the one given, else the one of the environment, else none."""
    chosen = mirror or os.environ.get(VARIABLE)
    if not chosen:
        return None
    if not Path(chosen).is_dir():
        raise FileNotFoundError(f"mirror must be a folder with raw files, got {chosen} ({VARIABLE} or mirror=)")
    return Path(chosen)


def check(file: File, path: Path) -> None:
    """Hold a file on disk to its manifest, if that states a checksum.

    Raises:
        ValueError: if its SHA-256 is another.
    """
    if file.sha256 is not None and (found := sha256(path)) != file.sha256:
        raise ValueError(
            f"{path} must have SHA-256 {file.sha256} ({file.size} bytes), got {found} ({path.stat().st_size} bytes): "
            "it is damaged or another version; delete it and fetch it again"
        )


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits, without holding the file in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _obtain(file: File, target: Path, mirror: Path | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as temporary:
        arrived = Path(temporary, target.name)
        if mirror is not None and (mirror / file.path).is_file():
            shutil.copyfile(mirror / file.path, arrived)
        elif file.url is not None:
            _download(file, file.url, arrived)
        else:
            raise FileNotFoundError(
                f"{file.path} is needed, and {_where_sought(mirror)}: "
                f"set {VARIABLE} (or mirror=) to a folder that holds it; no official address has this very file"
            )
        try:
            check(file, arrived)
        except ValueError as error:
            origin = mirror / file.path if mirror is not None and (mirror / file.path).is_file() else file.url
            raise ValueError(f"{origin}, fetched as {error}") from error
        if file.sha256 is None:
            warnings.warn(
                f"no checksum is known for {file.path}: what came has SHA-256 {sha256(arrived)}; keep it with your "
                "results, to know next time whether it is the same file",
                stacklevel=2,
            )
        os.replace(arrived, target)


def _download(file: File, url: str, arrived: Path) -> None:
    try:
        # PyG does not check the server's certificate; the checksum that follows is what counts.
        download_url(url, str(arrived.parent), filename=arrived.name)
    except OSError as error:
        raise FileNotFoundError(
            f"{file.path} could not be fetched from {url} ({error}): "
            f"go online, or set {VARIABLE} (or mirror=) to a folder that holds it"
        ) from error


def _where_sought(mirror: Path | None) -> str:
    return "no mirror is set" if mirror is None else f"the mirror {mirror} does not have it"
