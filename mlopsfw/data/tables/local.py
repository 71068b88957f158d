"""Tables on this machine's file system: which URI is a folder of it, and what a failed write is called."""

from __future__ import annotations

import contextlib
import errno
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlopsfw.kernel.base.errors import MlopsfwError, StorageError, StorageFull


def local_folder(uri: str) -> Path | None:
    """Return the folder of a table's URI, or None if it is not on this machine's file system."""
    if not uri:  # objects of a storage
        return None
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(uri) if not parts.scheme or len(parts.scheme) == 1 else None  # one letter is a Windows drive


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The numbers of a disk, a quota or a file that takes no more."""
REFUSED = FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO}
"""The numbers by which a system refuses a file: a state of the machine, and no fault of the code."""
_LITTLE = 1 << 16
_NUMBER = re.compile(r"(?:[(\[](?:os error|errno)|Os \{ code:) (\d+)")  # of Rust, of Arrow, and of a panic in Rust


def refused(error: BaseException) -> int:
    """Return the number in `REFUSED` by which the system refused a file; 0 for another error.

    An `OSError` has it. Polars, Arrow and delta-rs raise errors of their own that have it in their text alone.
    """
    if isinstance(error, OSError) and error.errno:
        number = error.errno
    elif isinstance(error, MlopsfwError) or not (stated := _NUMBER.search(str(error))):
        return 0
    else:
        number = int(stated[1])
    return number if number in REFUSED else 0


def check_room(folder: Path) -> None:
    """Write a little without a name where a folder is or will be, as a library is about to: delta-rs panics, at length, where it cannot.

    Raises:
        OSError: Nothing can be written there.
    """
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(_LITTLE))


@contextlib.contextmanager
def as_storage_error(what: str) -> Iterator[None]:
    """Raise the error that the storage protocol names for a failed write."""
    try:
        yield
    except Exception as error:
        number = refused(error)
        if not number and not isinstance(error, OSError):
            raise
        kind = StorageFull if number in FULL else StorageError
        message = getattr(error, "strerror", None) or error
        raise kind(f"{what}: {message}", hint="Nothing was written. Try again.") from error
