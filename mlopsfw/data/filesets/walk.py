"""Find the files below a folder: their paths in the set, and their looks, which show changes."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import msgspec

from mlopsfw.kernel.base.errors import DataError

_SEPARATOR = "\0"  # no path contains it
_FIELDS = 4
_POSITIVE = (1 << 63) - 1


class Look(msgspec.Struct, frozen=True, array_like=True):
    """The file system's facts about a file. A changed file nearly always has another look.

    Args:
        size: Bytes.
        modified, changed: Nanoseconds since the epoch, of the content and of anything.
        inode: The inode number, in 63 bits.
    """

    size: int
    modified: int
    changed: int
    inode: int


class Found(msgspec.Struct, frozen=True):
    """Files in order of their paths.

    Args:
        paths: Relative to the folder, parts joined by "/".
        looks: Their looks, the fields of `Look` one after another, since 100,000 objects would take much memory.
    """

    paths: list[str]
    looks: array[int]

    def look(self, number: int) -> Look:
        """Return the look of the file at this position."""
        return Look(*self.looks[number * _FIELDS : (number + 1) * _FIELDS])

    def listing(self) -> bytes:
        """Return the paths as the cache stores them. Raise `DataError` if one is not UTF-8."""
        try:
            return _SEPARATOR.join(self.paths).encode()
        except UnicodeEncodeError as error:
            before = error.object[: error.start].count(_SEPARATOR)
            name = os.fsencode(self.paths[before])
            hint = "Rename the file, since not every system can store this name."
            raise DataError(f"the file name {name!r} is not UTF-8", hint=hint) from None


def listed(listing: bytes) -> list[str]:
    """Return the paths in a listing."""
    return listing.decode().split(_SEPARATOR) if listing else []


def look_at(file: str) -> Look:
    """Return the current look of a file."""
    return Look(*_fields(os.stat(file)))  # noqa: PTH116 - as `walk` does


def _fields(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & _POSITIVE


def walk(folder: Path) -> Found:
    """Return every file below `folder`. A link to a file below it counts as that file.

    Raises:
        DataError: The folder is no folder, cannot be read, or holds an entry that cannot be stored: a pipe, or a link to a folder, to
            nothing or out of the folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", hint="Name the folder that holds the files of the set.")
    listing = Found([], array("q"))
    _collect(str(folder), "", listing, os.path.realpath(folder) + os.sep)
    return listing


def _collect(folder: str, above: str, listing: Found, root: str) -> None:
    for name, entry in _entries(folder):
        if name.endswith("/"):
            _collect(entry.path, above + name, listing, root)
        elif entry.is_symlink() and not os.path.realpath(entry.path).startswith(root):
            hint = "Copy its target into the folder, or remove the link."
            raise DataError(f"{entry.path!r} is a link that leads out of the folder", hint=hint)
        elif entry.is_file():
            listing.paths.append(above + name)
            listing.looks.extend(_fields(entry.stat()))
        else:
            problem = "a link that leads to no file" if entry.is_symlink() else "neither a file nor a folder"
            raise DataError(f"{entry.path!r} is {problem}", hint="Remove it, or add another folder.")


def _entries(folder: str) -> list[tuple[str, os.DirEntry[str]]]:
    """Return the entries of a folder, with "/" after a folder's name: so sorted, the files below come in order of their paths."""
    try:
        with os.scandir(folder) as entries:
            named = [(f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name, e) for e in entries]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    return sorted(named, key=lambda each: each[0])
