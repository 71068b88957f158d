"""What was read before, so that files which look as they did are not read again: a file for each folder, in the project's private one.

It is a cache: without it everything is read anew and found the same.
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

from mlopsfw.data.filesets.index import Place
from mlopsfw.data.filesets.walk import Found, listed

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.kernel.workspace import Workspace

SETTLED = 2_000_000_000
"""Nanoseconds. A file that was changed less than this before it was read may be changed again within one tick of its file system's clock, and
look the same: it is read again (Git calls such entries racily clean). Two seconds is FAT's tick; others are finer."""


class Known(msgspec.Struct, kw_only=True):
    """What is remembered of one folder, as columns.

    Args:
        listing: The paths, as `Found.listing` returns them.
        looks: How the files looked, as `Found.looks`.
        digests: The sha256 of what they held, 32 bytes each.
        settled: For each a byte that is 1 where it was read, and cannot have changed since without looking otherwise.
        made: The change that was made of them and the digest of the version that came of it; empty where it did not come to that.
        places: Content (hex) → where an addition stored it that did not come to its end.
    """

    listing: bytes = b""
    looks: bytes = b""
    digests: bytes = b""
    settled: bytes = b""
    made: str = ""
    places: dict[str, Place] = {}

    def is_all_of(self, found: Found) -> bool:
        """Return whether these very files were found, and none can have changed."""
        same = self.looks == found.looks.tobytes() and self.listing == found.listing()
        return same and b"\0" not in self.settled

    def match(self, found: Found) -> np.ndarray:
        """Return for each file found its number here where it cannot have changed, else -1."""
        import numpy as np

        if not self.settled:
            return np.full(len(found.paths), -1)
        numbers = {path: number for number, path in enumerate(listed(self.listing))}
        at = np.fromiter((numbers.get(path, -1) for path in found.paths), np.int64, len(found.paths))
        looks, settled = np.frombuffer(self.looks, np.int64).reshape(-1, 4), np.frombuffer(self.settled, np.bool_)
        same = (looks[at] == np.frombuffer(found.looks, np.int64).reshape(-1, 4)).all(axis=1) & settled[at]
        return np.where(same & (at >= 0), at, -1)


def file_of(workspace: Workspace, name: str, folder: str) -> Path:
    """Return the file of what is remembered of a dataset's folder."""
    return (
        workspace.private_folder("filesets", name) / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.msgpack"
    )


def forget(workspace: Workspace, name: str) -> None:
    """Remember nothing more of a dataset's folders."""
    shutil.rmtree(workspace.private_folder("filesets") / name, ignore_errors=True)


def load(file: Path) -> Known:
    """Return what is remembered; nothing where the file is gone or damaged."""
    try:
        known = msgspec.msgpack.decode(file.read_bytes(), type=Known)
    except (OSError, msgspec.DecodeError):
        return Known()
    files = len(known.settled)
    whole = (len(known.looks), len(known.digests)) == (4 * files * array("q").itemsize, 32 * files)
    return known if whole and (known.listing.count(b"\0") + 1 == files or not files) else Known()


def save(known: Known, file: Path) -> None:
    """Remember; a reader sees the old file or the new one."""
    file.parent.mkdir(mode=0o700, exist_ok=True)  # an erasure may have taken it away
    descriptor, temporary = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.msgpack.encode(known))
    Path(temporary).replace(file)
