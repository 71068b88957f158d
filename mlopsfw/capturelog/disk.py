"""What this machine's file system refuses, as the errors of the storage protocol: a full disk is the same for a log, a table and a figure."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

from mlopsfw.kernel.base.errors import MlopsfwError, StorageError, StorageFull, text_of
from mlopsfw.kernel.plugins.blame import is_blamed

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The numbers of a disk, a quota or a file that takes no more."""
REFUSED = FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO}
"""The numbers by which a system refuses a file: a state of the machine, and no fault of the code."""
SOME_FILE = "a file of the project, a temporary one, or the output"
"""Where an error names no file."""
_NUMBER = re.compile(r"(?:[(\[](?:os error|errno)|Os \{ code:) (\d+)")  # of Rust, Arrow, a panic in Rust


def refused(error: BaseException) -> int:
    """Return the number in `REFUSED` by which the system refused a file; 0 for another error.

    An `OSError` has it. Polars, Arrow and delta-rs raise errors of their own that have it in their text alone.
    """
    if isinstance(error, OSError) and error.errno:
        number = error.errno
    elif isinstance(error, MlopsfwError) or not (stated := _NUMBER.search(text_of(error))):
        return 0
    else:
        number = int(stated[1])
    return number if number in REFUSED else 0


def storage_error(what: str, error: BaseException, hint: str = "Nothing was written. Try again.") -> StorageError:
    """Return the error that the storage protocol names for a failed write.

    Args:
        what: What failed, such as `writing to data.csv`.
        error: What the system or a library raised.
        hint: What to do next.
    """
    kind = StorageFull if refused(error) in FULL else StorageError
    return kind(f"{what}: {getattr(error, 'strerror', None) or error}", hint=hint)


@contextlib.contextmanager
def as_storage_error(what: str) -> Iterator[None]:
    """Raise the error that the storage protocol names for a failed write."""
    try:
        yield
    except Exception as error:
        if not refused(error) and not isinstance(error, OSError):
            raise
        raise storage_error(what, error) from error


@contextlib.contextmanager
def full_as_storage_error() -> Iterator[None]:
    """Raise `StorageFull` where a disk took no more; all else, and what a plugin raised, passes as it is."""
    try:
        yield
    except Exception as error:
        if refused(error) not in FULL or is_blamed(error):
            raise
        where = getattr(error, "filename2", None) or getattr(error, "filename", None) or SOME_FILE  # 2: a copy's target
        full = storage_error(where, error, "Free some space there, and do it again.")
        raise full.with_traceback(error.__traceback__) from error
