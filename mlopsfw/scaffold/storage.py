"""The storage `sample`: one SQLite file, whose transactions give the guarantees of the role."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import NotFound, StorageError, StorageFull
from mlopsfw.roles import Entry, Storage, StorageHost, check_key, check_prefix

_PAGE = 500


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[storage]` with `use = "sample"`.

    Args:
        file: The database, relative to the project.
    """

    file: str = "sample.sqlite"


class SampleStorage(Storage):
    """Bytes under keys in `file`. It has no place for tables, so mlopsfw keeps their files here as well."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._local = threading.local()  # a connection belongs to its thread
        with self._transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, data BLOB, modified REAL)")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = sqlite3.connect(self._file, timeout=60, isolation_level=None)
            db.execute("PRAGMA synchronous=FULL")  # what a commit acknowledged survives a loss of power
            db.execute("PRAGMA secure_delete=ON")  # what is deleted leaves no bytes in the file
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            kind = StorageFull if "full" in str(error) else StorageError
            raise kind(f"{self._file}: {error}") from error
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def put(self, key: str, data: bytes | Path) -> None:
        """Store `data` under `key`, replacing what was there."""
        row = (check_key(key), _bytes(data), time.time())
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", row)

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Store `data` unless `key` exists; return whether this call created it."""
        row = (check_key(key), _bytes(data), time.time())
        with self._transaction() as db:
            return db.execute("INSERT OR IGNORE INTO objects VALUES (?, ?, ?)", row).rowcount == 1

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the bytes, or a range of them."""
        with self._transaction() as db:
            row = db.execute("SELECT data FROM objects WHERE key = ?", (check_key(key),)).fetchone()
        if row is None:
            raise NotFound(f"{self.describe()} holds no {key!r}")
        data: bytes = row[0]
        return data[start:] if length is None else data[start : start + length]

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the entries in ascending order of their keys, read a page at a time."""
        return self._pages(check_prefix(prefix), after)

    def _pages(self, prefix: str, after: str) -> Iterator[Entry]:
        sql = "SELECT key, length(data), modified FROM objects WHERE key > ? AND substr(key, 1, ?) = ? ORDER BY key LIMIT ?"
        while True:
            with self._transaction() as db:
                rows = db.execute(sql, (after, len(prefix), prefix, _PAGE)).fetchall()
            if not rows:
                return
            yield from (Entry(*row) for row in rows)
            after = rows[-1][0]

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""
        with self._transaction() as db:
            db.execute("DELETE FROM objects WHERE key = ?", (check_key(key),))

    def table_location(self, name: str) -> None:
        """Return None: no table format opens this database."""
        check_key(name)

    def describe(self) -> str:
        """Return where this is."""
        return self._file.absolute().as_uri()


def _bytes(data: bytes | Path) -> bytes:
    return data.read_bytes() if isinstance(data, Path) else data


def _build(config: SampleConfig, host: StorageHost) -> Storage:
    return SampleStorage(host.root / config.file)


@hookimpl
def mlopsfw_storages() -> Iterable[Provider[Storage]]:
    """Offer the storage."""
    yield Provider("sample", SampleConfig, _build, "One SQLite file")
