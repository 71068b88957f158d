"""`MemoryStorage`: a storage of this process alone, for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mlopsfw.kernel.base.errors import NotFound
from mlopsfw.kernel.roles.storage import Entry, Storage, TableLocation, check_key, check_prefix


class MemoryStorage(Storage):
    """A storage without a place for tables. Nothing of it outlives the process."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes | Path) -> None:
        """Store `data` under `key`."""
        content = _content(data)
        with self._lock:
            self._objects[check_key(key)] = content, time.time()

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Store `data` unless `key` exists."""
        content = _content(data)
        with self._lock:
            if check_key(key) in self._objects:
                return False
            self._objects[key] = content, time.time()
            return True

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the bytes of `key`."""
        try:
            content, _ = self._objects[check_key(key)]
        except KeyError:
            raise NotFound(f"there is no object {key!r} in memory") from None
        return content[start : None if length is None else start + length]

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects below `prefix` in order."""
        check_prefix(prefix)
        with self._lock:
            found = sorted((key, kept) for key, kept in self._objects.items() if key.startswith(prefix) and key > after)
        return iter([Entry(key, len(content), modified) for key, (content, modified) in found])

    def delete(self, key: str) -> None:
        """Remove `key`."""
        with self._lock:
            self._objects.pop(check_key(key), None)

    def table_location(self, name: str) -> TableLocation | None:
        """Return None: memory has no place for tables."""
        check_key(name)
        return None

    def describe(self) -> str:
        """Return where this is."""
        return "memory:"


def _content(data: bytes | Path) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()
