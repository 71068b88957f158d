"""Tables on this machine's file system: which URI is a folder of it, and what a failed write is called."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlopsfw.kernel.base.errors import StorageError, StorageFull


def local_folder(uri: str) -> Path | None:
    """Return the folder of a table's URI, or None if it is not on this machine's file system."""
    if not uri:  # objects of a storage
        return None
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if not parts.scheme or len(parts.scheme) == 1 else None  # one letter is a Windows drive


@contextlib.contextmanager
def as_storage_error(what: str) -> Iterator[None]:
    """Raise the error that the storage protocol names for a failed write."""
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else StorageError
        raise kind(f"{what}: {error.strerror or error}", hint="Nothing was written. Try again.") from error
