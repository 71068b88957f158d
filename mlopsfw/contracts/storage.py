"""The storage role: bytes under keys, with stated guarantees. Ledger, blobs, datasets and registry are built on it once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec


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
    """Where a Delta table lives: a URI that `deltalake` opens, and its options (credentials, endpoint, region)."""

    uri: str
    options: Mapping[str, str] = {}


@runtime_checkable
class Storage(Protocol):
    """Bytes under keys.

    Keys are relative, `/`-separated, of `[A-Za-z0-9._=@+-]` segments; `..`, empty segments and anything else is refused with
    `StorageError` before the store is touched. Guarantees that every implementation gives, and `mlopsfw.testing` checks:

    - *durable*: when `put` or `put_if_absent` returns, the bytes survive power loss; what was never acknowledged is
      either absent or whole.
    - *atomic*: a reader sees all of an object or none of it; of any number of racing `put_if_absent`, exactly one
      returns True.
    - *read your writes*: after a write returns, every reader anywhere sees it.

    Errors: `NotFound`, `StorageFull`, `StorageUnavailable` (after the implementation's own bounded retries), `StorageError`.
    """

    def put(self, key: str, data: bytes | Path) -> None:
        """Store `data` (bytes, or a file's content) under `key`, replacing what was there."""
        ...

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Store `data` unless `key` exists; return whether this call created it. The base of all agreement."""
        ...

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the object's bytes, or `length` of them from `start` (fewer at the end). Raise `NotFound`."""
        ...

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects whose key starts with `prefix` and sorts after `after`, in ascending key order."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; an absent one is no error."""
        ...

    def table_location(self, name: str) -> TableLocation | None:
        """Return where the Delta table `name` lives (it need not exist yet), or None if this store holds no tables."""
        ...

    def describe(self) -> str:
        """Return where this is, for people, without credentials: `file:///…`, `s3://bucket/prefix`."""
        ...
