"""The few file operations that make a write survive power loss. Which key lies where is `local`'s.

Every one of them is a step that a crash can fall between, so they are functions of their own: a kill test counts them.
"""
# System calls by their own names: which of them happen, and in which order, is the point.
# ruff: noqa: PTH105, PTH108, PTH118, PTH120

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlopsfw.errors import StorageError, StorageFull, StorageUnavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What link() answers on a file system without hard links: FAT says EPERM, SMB and FUSE say the others."""
_NO_RENAME = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})
"""What renameat2() answers where the file system or the kernel does not know RENAME_NOREPLACE."""
_RENAME_NOREPLACE = 1
_WORKING_FOLDER = -100  # AT_FDCWD
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
    """Give a finished file its name unless that is taken; return whether it got it. The temporary name is gone after.

    A file system without hard links gets a rename that does not overwrite. Raise `NoExclusiveNameError` if it has neither.
    """
    try:
        _name(temporary, path)
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):  # renamed
            os.unlink(temporary)
    return True


def _name(temporary: str, path: str) -> None:
    """Give a file another name by link, or by rename where there are no links. Raise `FileExistsError` if it is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        rename_exclusive(temporary, path)


def has_links(folder: str) -> bool:
    """Return whether a file in `folder` can have two names: delta-rs commits to a folder by link alone."""
    probe = os.path.join(folder, f"{os.getpid()}-{secrets.token_hex(8)}")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        os.link(probe, f"{probe}.link")
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    else:
        os.unlink(f"{probe}.link")
        return True
    finally:
        os.unlink(probe)


def rename_exclusive(temporary: str, path: str) -> None:
    """Rename a file in one system call that never overwrites. Raise `FileExistsError` if the name is taken."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux, glibc 2.28 or newer
    if call is None:
        raise NoExclusiveNameError(errno.ENOSYS, os.strerror(errno.ENOSYS), path)
    names = os.fsencode(temporary), os.fsencode(path)
    if call(_WORKING_FOLDER, names[0], _WORKING_FOLDER, names[1], ctypes.c_uint(_RENAME_NOREPLACE)) == 0:
        return
    number = ctypes.get_errno()
    failure = NoExclusiveNameError if number in _NO_RENAME else OSError
    raise failure(number, os.strerror(number), path)


class NoExclusiveNameError(OSError):
    """The file system has neither hard links nor a rename that does not overwrite."""


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
        if isinstance(error, NoExclusiveNameError):
            raise StorageError(
                f"{what} of {key!r} failed: the file system of {os.path.dirname(error.filename)} has no hard links "
                "and no rename that never overwrites (renameat2 with RENAME_NOREPLACE)",
                hint='Put the store on another file system or in a bucket: [storage.object] url = "…".',
            ) from error
        if error.errno in _FULL:
            raise StorageFull(
                reason, hint="Make room (or raise the quota) and try again. No partial file remains."
            ) from error
        if error.errno in _EXHAUSTED:
            raise StorageUnavailable(
                reason, hint="Raise the limit (ulimit -n), or end programs that hold many files open."
            ) from error
        raise StorageError(reason, hint="Check the folder's permissions and the disk.") from error
