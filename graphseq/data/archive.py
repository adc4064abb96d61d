"""Unpacking of archives that may lie."""

from __future__ import annotations

import lzma
import os
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath


def unpack(archive: Path, into: Path) -> None:
    """Unpack a zip archive into a new folder, without the single top folder that most archives have.

    The folder appears complete or not at all.

    Raises:
        ValueError: if the archive is damaged, or holds a member that would land outside the folder, or a link.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".unpack-") as temporary:
        contents = Path(temporary, "contents")
        try:
            with zipfile.ZipFile(archive) as opened:
                for member in opened.infolist():
                    _check_member(archive, member)
                opened.extractall(contents)
        except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"{archive} is a damaged archive ({error}); delete it and fetch it again") from error
        entries = list(contents.iterdir())
        os.replace(entries[0] if len(entries) == 1 and entries[0].is_dir() else contents, into)


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    # zipfile would bend such a path back into the folder without a word; an archive that needs that is not ours.
    name = member.orig_filename.replace("\\", "/")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or ":" in name or stat.S_ISLNK(member.external_attr >> 16):
        raise ValueError(f"{archive} holds the unsafe member {member.orig_filename!r}; do not use this archive")
