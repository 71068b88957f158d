"""The files below a folder: their paths in the set, and how they look, by which a change is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mlopsfw.errors import DataError


class Look(msgspec.Struct, frozen=True, array_like=True):
    """What the file system tells of a file: other bytes nearly always look otherwise.

    Args:
        size: Bytes.
        modified, changed: Nanoseconds since the epoch, of content and of anything.
        inode: Which file it is.
    """

    size: int
    modified: int
    changed: int
    inode: int


def look_at(file: str | os.DirEntry[str]) -> Look:
    """Return how a file looks now."""
    found = os.stat(file)  # noqa: PTH116 - for 100,000 files; an entry is no Path
    return Look(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def walk(folder: Path) -> Iterator[tuple[str, Look]]:
    """Yield the path of every file below `folder` (parts joined by "/") and how it looks, in order of paths.

    A link to a file counts as that file.

    Raises:
        DataError: The folder is none, cannot be entered, or holds what cannot be kept: a link to a folder or to nothing, a pipe,
            a name that is no UTF-8.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder", hint="Give the folder whose files make the set.")
    found: list[tuple[str, Look]] = []
    _collect(str(folder), "", found)
    yield from sorted(found)


def _collect(folder: str, above: str, found: list[tuple[str, Look]]) -> None:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    for entry in entries:
        path = above + entry.name
        if entry.is_dir(follow_symlinks=False):
            _collect(entry.path, f"{path}/", found)
        elif entry.is_file():
            found.append((_utf8(path), look_at(entry)))
        else:
            what = "a link that leads to no file" if entry.is_symlink() else "neither a file nor a folder"
            raise DataError(f"{entry.path!r} is {what}", hint="Take it away, or add another folder.")


def _utf8(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{os.fsencode(path)!r} is a name that is no UTF-8", hint="Rename the file: not every system can hold it."
        ) from None
    return path
