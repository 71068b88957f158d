"""`LocalStorage`: the storage protocol on a folder. A file is durable before it has its name; a name is durable before we return.

Not for keys of other stores: one root, one layout, key = path. Not for a file system with neither hard links nor renameat2's
RENAME_NOREPLACE: nothing else gives a finished file a name that nobody else has taken.
"""
# System calls by their own names: which of them happen, and in which order, is the point.
# ruff: noqa: PTH100, PTH102, PTH108, PTH112, PTH118, PTH120

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

from mlopsfw.errors import NotFound, StorageError
from mlopsfw.roles import Entry, Storage, TableLocation, check_key, check_prefix
from mlopsfw_storage_object import durable

_TEMPORARY = ".tmp"  # keys cannot start with a dot
_NAME = itemgetter(0)
_ABANDONED = 86_400.0  # seconds after which a temporary file has lost its writer


class LocalStorage(Storage):
    """Bytes under keys in the folder `root`, made (mode 0700) on the first write."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root)
        self._durable: set[str] = set()  # folders whose own name is known to be on the disk
        self._links: bool | None = None  # whether the file system has hard links; asked once

    # -- writing ---------------------------------------------------------------------------------------------------------

    def put(self, key: str, data: bytes | Path) -> None:
        """Store `data` under `key`, replacing what was there."""
        path = self._path(key)
        with durable.as_storage_error("put", key):
            folder = self._ensure_folder(os.path.dirname(path))
            durable.replace(self._write(data), path)
            durable.flush_folder(folder)

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Store `data` unless `key` exists; return whether this call created it.

        False, too, is returned only once what is there is durable: the caller may build on it.
        """
        path = self._path(key)
        with durable.as_storage_error("put_if_absent", key):
            folder = self._ensure_folder(os.path.dirname(path))
            created = not os.path.lexists(path) and durable.publish(self._write(data), path)
            if not created and os.path.isdir(path):
                raise StorageError(f"{key!r} in {self.describe()} is a folder of other keys")
            durable.flush_folder(folder)
        return created

    def delete(self, key: str) -> None:
        """Remove the object; an absent one is no error."""
        with durable.as_storage_error("delete", key), suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._path(key))

    # -- reading ---------------------------------------------------------------------------------------------------------

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the object's bytes, or `length` of them from `start`. Raise `NotFound`."""
        path = self._path(key)
        with durable.as_storage_error("get", key):
            try:
                with open(path, "rb", buffering=0, opener=_open_plain) as file:
                    return _read(file.fileno(), start, length)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise NotFound(f"{key!r} is not in {self.describe()}") from None
            except _NotPlainError:
                raise self._not_plain(key) from None

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects whose key starts with `prefix` and sorts after `after`, in ascending key order."""
        above = check_prefix(prefix).rpartition("/")[0]
        with durable.as_storage_error("list", prefix):
            yield from self._walk(f"{above}/" if above else "", prefix, after)

    def _walk(self, at: str, prefix: str, after: str) -> Iterator[Entry]:
        for name, entry in self._entries(at):
            key = at + name
            if name[-1] == "/":
                if (key.startswith(prefix) or prefix.startswith(key)) and (key > after or after.startswith(key)):
                    yield from self._walk(key, prefix, after)
            elif key > after and key.startswith(prefix):
                with suppress(FileNotFoundError):  # deleted since the folder was read
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISREG(status.st_mode):
                        raise self._not_plain(key)
                    yield Entry(key, status.st_size, status.st_mtime)

    def _entries(self, at: str) -> Sequence[tuple[str, os.DirEntry[str]]]:
        """Return what is in a folder, by name, in the order of the keys: a folder sorts as `name/`."""
        try:
            with os.scandir(f"{self._root}/{at}") as entries:
                found = [
                    (f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name, e)
                    for e in entries
                    if e.name[0] != "."
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return found if len(found) <= 1 else sorted(found, key=_NAME)

    def _not_plain(self, key: str) -> StorageError:
        return StorageError(
            f"{key!r} in {self.describe()} is a link, a pipe or a device",
            hint="A store holds only plain files and folders, and mlopsfw follows no link. Find out who put it there.",
        )

    # -- where things are ------------------------------------------------------------------------------------------------

    def table_location(self, name: str) -> TableLocation | None:
        """Return the folder of the Delta table `name`; delta-rs makes it, so only its parent is made here.

        None on a file system without hard links, where delta-rs cannot commit: the same files are then objects.
        """
        key = f"tables/{name}"
        path = self._path(key)
        if os.access(self._root, os.W_OK) or not os.path.isdir(self._root):  # a copy may lie where nobody can write
            with durable.as_storage_error("table_location", name):
                self._ensure_folder(os.path.dirname(path))
                if not self._has_links():
                    return None
        return TableLocation(uri=path, key=key)

    def _has_links(self) -> bool:
        if self._links is None:
            self._links = durable.has_links(os.path.join(self._root, _TEMPORARY))
        return self._links

    def describe(self) -> str:
        """Return the folder as a URL."""
        return Path(self._root).as_uri()

    def _path(self, key: str) -> str:
        return self._join(check_key(key))

    def _join(self, key: str) -> str:
        return os.path.join(self._root, *key.split("/"))

    # -- durability ------------------------------------------------------------------------------------------------------

    def _write(self, data: bytes | Path) -> str:
        temporary = os.path.join(self._root, _TEMPORARY, f"{os.getpid()}-{secrets.token_hex(8)}")
        durable.write_temporary(temporary, data)
        return temporary

    def _ensure_folder(self, folder: str) -> str:
        """Make `folder`, and what is missing above it, exist on the disk; once per process and folder."""
        if folder in self._durable:
            return folder
        above = os.path.dirname(folder)
        if folder.startswith(self._root + os.sep) or not os.path.isdir(above):
            self._ensure_folder(above)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        with suppress(PermissionError):  # above the root others rule
            durable.flush_folder(above)  # also where another made `folder`: it may not have got this far
        if folder == self._root:  # before other threads see it as settled: they write to the folder of temporary files
            with suppress(FileExistsError):
                os.mkdir(os.path.join(folder, _TEMPORARY), 0o700)
            durable.flush_folder(folder)
            self._sweep()
        self._durable.add(folder)
        return folder

    def _sweep(self) -> None:
        """Remove the temporary files of writers that died."""
        with os.scandir(os.path.join(self._root, _TEMPORARY)) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime < time.time() - _ABANDONED:
                        os.unlink(entry.path)


class _NotPlainError(Exception):
    """What is to be opened is neither a file nor a folder."""


def _open_plain(path: str, flags: int) -> int:
    """Open a file that is no link; a pipe is not waited for."""
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise _NotPlainError from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise IsADirectoryError(path) if stat.S_ISDIR(mode) else _NotPlainError


def _read(descriptor: int, start: int, length: int | None) -> bytes:
    """Return `length` bytes from `start`; an interrupted or short read goes on until the end of the file."""
    wanted = max(0, os.fstat(descriptor).st_size - start)
    wanted = wanted if length is None else min(wanted, length)
    parts, at = [], start
    while wanted > 0 and (part := os.pread(descriptor, min(wanted, 1 << 30), at)):
        parts.append(part)
        at, wanted = at + len(part), wanted - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
