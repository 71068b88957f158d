"""A cache of what was read from each folder, so that a file whose size and times are unchanged is not read again.

Each folder has one cache file in the project's private folder. Without it every file is read again, with the same result.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.filesets.index import Location
from mlopsfw.data.filesets.walk import Found, listed

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.kernel.workspace import Workspace

STABLE = 2_000_000_000
"""Nanoseconds. A file changed less than this before it was read may change again within one tick of its file system's clock and
look the same, so it is read again (Git calls such entries racily clean). FAT's tick takes two seconds; others are finer."""


class Known(msgspec.Struct, kw_only=True):
    """What was read from one folder, as columns.

    Args:
        listing: The paths, as `Found.listing` returns them.
        looks: The size, times and inode of each file, as `Found.looks`.
        digests: The sha256 of each file's content, 32 bytes each.
        stable: One byte for each file: 1 if it was read and any change since would show in its look.
        made: The mode of the change, and the digest of the version that it made; empty if the addition did not finish.
        locations: Content (hex) → where an unfinished addition stored it.
    """

    listing: bytes = b""
    looks: bytes = b""
    digests: bytes = b""
    stable: bytes = b""
    made: str = ""
    locations: dict[str, Location] = {}

    def is_all_of(self, found: Found) -> bool:
        """Return whether exactly these files were found, and none can have changed."""
        same = self.looks == found.looks.tobytes() and self.listing == found.listing()
        return same and b"\0" not in self.stable

    def match(self, found: Found) -> np.ndarray:
        """Return, for each file found, its number in this cache, or -1 if it is new or may have changed."""
        import numpy as np

        if not self.stable:
            return np.full(len(found.paths), -1)
        numbers = {path: number for number, path in enumerate(listed(self.listing))}
        at = np.fromiter((numbers.get(path, -1) for path in found.paths), np.int64, len(found.paths))
        looks, stable = np.frombuffer(self.looks, np.int64).reshape(-1, 4), np.frombuffer(self.stable, np.bool_)
        same = (looks[at] == np.frombuffer(found.looks, np.int64).reshape(-1, 4)).all(axis=1) & stable[at]
        return np.where(same & (at >= 0), at, -1)


def file_of(workspace: Workspace, name: str, folder: str) -> Path:
    """Return the cache file of a dataset's folder."""
    return (
        workspace.private_folder("filesets", name) / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.msgpack"
    )


def forget(workspace: Workspace, name: str) -> None:
    """Delete the cache of all folders of a dataset."""
    shutil.rmtree(workspace.private_folder("filesets") / name, ignore_errors=True)


def load(file: Path) -> Known:
    """Return the cache; an empty one if the file is gone or damaged."""
    try:
        known = msgspec.msgpack.decode(file.read_bytes(), type=Known)
    except (OSError, msgspec.DecodeError):
        return Known()
    files = len(known.stable)
    whole = (len(known.looks), len(known.digests)) == (4 * files * array("q").itemsize, 32 * files)
    return known if whole and (known.listing.count(b"\0") + 1 == files or not files) else Known()


def save(known: Known, file: Path) -> None:
    """Write the cache atomically: a reader sees the old file or the new one."""
    file.parent.mkdir(mode=0o700, exist_ok=True)  # an erasure may have taken it away
    descriptor, temporary = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.msgpack.encode(known))
    Path(temporary).replace(file)
