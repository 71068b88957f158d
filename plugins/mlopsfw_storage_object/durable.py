"""The few file operations that make a write survive power loss. Which key lies where is `local`'s.

Every one of them is a step that a crash can fall between, so they are functions of their own: a kill test counts them.
"""
# System calls by their own names: which of them happen, and in which order, is the point.
# ruff: noqa: PTH105, PTH108

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlopsfw.errors import StorageError, StorageFull, StorageUnavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_CHUNK = 1 << 20
_FULL_FSYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's cache


def write_temporary(path: str, data: bytes | Path) -> None:
    """Write `data` to a new file at `path` and bring it to the disk; on failure nothing is left."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        try:
            fill(descriptor, data)
            flush(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def fill(descriptor: int, data: bytes | Path) -> None:
    """Write all of `data` (bytes, or a file's content)."""
    if isinstance(data, Path):
        with data.open("rb", buffering=0) as source, os.fdopen(os.dup(descriptor), "wb", buffering=0) as sink:
            shutil.copyfileobj(source, sink, _CHUNK)
        return
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def flush(descriptor: int) -> None:
    """Bring a file or folder to the disk itself, past the drive's cache where the system can ask for that."""
    if _FULL_FSYNC is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, _FULL_FSYNC)


def flush_folder(path: str) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: str, path: str) -> bool:
    """Give a finished file its name unless that is taken; return whether it got it. The temporary name is gone after."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def replace(temporary: str, path: str) -> None:
    """Give a finished file its name, whatever had it before."""
    try:
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


@contextmanager
def as_storage_error(what: str, key: str) -> Iterator[None]:
    """Raise the errors of the storage protocol for those of the system."""
    try:
        yield
    except OSError as error:
        reason = f"{what} of {key!r} failed: {error.strerror or error}"
        if error.errno in _FULL:
            raise StorageFull(
                reason, hint="Make room (or raise the quota) and try again. No partial file remains."
            ) from error
        if error.errno in _EXHAUSTED:
            raise StorageUnavailable(
                reason, hint="Raise the limit (ulimit -n), or end programs that hold many files open."
            ) from error
        raise StorageError(reason, hint="Check the folder's permissions and the disk.") from error
