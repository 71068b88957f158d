"""Tables on this machine's file system: which URI is a folder of it, and whether it has room."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LITTLE = 1 << 16


def local_folder(uri: str) -> Path | None:
    """Return the folder of a table's URI, or None if it is not on this machine's file system."""
    if not uri:  # objects of a storage
        return None
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if not parts.scheme or len(parts.scheme) == 1 else None  # one letter is a Windows drive


def check_room(folder: Path) -> None:
    """Write a little without a name where a folder is or will be, as a library is about to: delta-rs panics, at length, where it cannot.

    Raises:
        OSError: Nothing can be written there.
    """
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(_LITTLE))
