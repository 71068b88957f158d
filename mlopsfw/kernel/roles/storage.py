"""The storage role: bytes under keys, with stated guarantees.

Ledger, blobs, datasets and registry are built on it once.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from mlopsfw.kernel.base.errors import StorageError

_KEY = re.compile(r"[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]{0,199}(?:/[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]{0,199}){0,15}")
PART = 16 << 20  # the most bytes of one part of a stream
_PREFIX = re.compile(rf"(?:{_KEY.pattern}/?)?")


class Entry(msgspec.Struct, frozen=True):
    """One stored object.

    Args:
        key: Its key.
        size: Bytes.
        modified: Seconds since the epoch by the store's own clock.
    """

    key: str
    size: int
    modified: float


class TableLocation(msgspec.Struct, frozen=True):
    """Where a Delta table lives.

    Args:
        uri: What `deltalake` opens.
        options: Its options: credentials, endpoint, region.
        key: The prefix under which `Storage.list` shows the table's files as objects, `PREFIX/NAME` with one PREFIX for
            all tables. Empty where `list` does not show them: mlopsfw then reaches them by `uri` alone.
    """

    uri: str
    options: Mapping[str, str] = {}
    key: str = ""


def check_key(key: str) -> str:
    """Return `key` if it is one, else raise `StorageError`; every implementation asks this before anything else."""
    if _KEY.fullmatch(key):
        return key
    raise StorageError(f"{key!r} is not a storage key", hint="Keys are relative paths of letters, digits and ._=@+-")


def check_prefix(prefix: str) -> str:
    """Return `prefix` if a key can start with it, else raise `StorageError`."""
    if _PREFIX.fullmatch(prefix):
        return prefix
    raise StorageError(f"{prefix!r} is not a prefix of a storage key")


def check_size(data: bytes | Path, limit: int | None) -> int:
    """Return how many bytes `data` has. Raise `StorageError` if that is more than a `max_object`."""
    size = data.stat().st_size if isinstance(data, Path) else len(data)
    if limit is not None and size > limit:
        hint = "Split the file, or use a storage that takes larger objects, such as 'object'."
        raise StorageError(
            f"an object of {size:,} bytes is larger than the {limit:,} that this storage takes", hint=hint
        )
    return size


@runtime_checkable
class Storage(Protocol):
    """Bytes under keys. A subclass inherits the methods that are not abstract.

    Keys are relative, `/`-separated, of at most 16 segments of 1 to 200 characters `[A-Za-z0-9._=@+-]` that do not
    start with a dot; anything else is refused with `StorageError` before the store is touched (`check_key`). Guarantees
    that every implementation gives, and `mlopsfw.testing` checks:

    - *durable*: when `put` or `put_if_absent` returns, the bytes survive power loss; what was never acknowledged is
      either absent or whole.
    - *atomic*: a reader sees all of an object or none of it; of any number of racing `put_if_absent`, exactly one
      returns True. If the store's answer was lost, False may hide the caller's own success. A caller that must
      know puts something of its own into the bytes and reads it back.
    - *read your writes*: after a write returns, every reader anywhere sees it.

    Errors: `NotFound`, `StorageFull`, `StorageUnavailable` (after the implementation's own bounded retries),
    `StorageError`.
    """

    @abstractmethod
    def put(self, key: str, data: bytes | Path) -> None:
        """Store `data` (bytes, or a file's content, read in parts) under `key`, replacing what was there."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Store `data` unless `key` exists; return whether this call created it. The base of all agreement."""

    @abstractmethod
    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the object's bytes, or `length` of them from `start` (fewer at the end). Raise `NotFound`."""

    @abstractmethod
    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects whose key starts with `prefix` and sorts after `after`, in ascending key order."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; an absent one is no error. After power loss it may be there again."""

    @abstractmethod
    def table_location(self, name: str) -> TableLocation | None:
        """Return where the Delta table `name` lives (it need not exist yet), or None if there is no place for tables.

        mlopsfw then keeps the files of the table as objects below the key `tables/NAME/`.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return where this is, for people, without credentials: `file:///…`, `s3://bucket/prefix`."""

    @property
    def max_object(self) -> int | None:
        """The most bytes of one object; None for no limit. What is larger is refused before a write (`check_size`)."""
        return None

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object that nobody replaces, in parts of at most 16 MiB. Raise `NotFound`."""
        start = 0
        while part := self.get(key, start=start, length=PART):
            yield part
            start += len(part)

    def close(self) -> None:
        """Let go of connections and files: mlopsfw makes no call afterwards. A second call does nothing.

        What was acknowledged stays. Any other call then raises `StorageError`, or works as before.
        """
        return
