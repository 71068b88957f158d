"""A storage in one SQLite file. SQLite's own transactions give the guarantees: durable (synchronous=FULL), atomic, ordered.

What is deleted is overwritten (secure_delete), and no write-ahead log keeps it: an erasure leaves no byte in the file.
"""

from __future__ import annotations

import io
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mlopsfw.errors import NotFound, StorageError, StorageFull
from mlopsfw.roles import Entry, Storage, check_key, check_prefix, check_size

_PAGE = 500


class AcmeStorage(Storage):
    """Bytes under keys in `file`. It has no place for tables, so mlopsfw keeps their files here as well."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._local = threading.local()  # a connection belongs to its thread
        self._connections: list[sqlite3.Connection] = []
        self._closed = False
        with self._transaction() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, modified REAL NOT NULL, data BLOB NOT NULL)"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = getattr(self._local, "db", None)
        if self._closed:
            raise StorageError(f"{self._file} is closed")
        if db is None:
            db = self._local.db = sqlite3.connect(self._file, timeout=60, isolation_level=None, check_same_thread=False)
            self._connections.append(db)
            db.execute("PRAGMA journal_mode=TRUNCATE")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA secure_delete=ON")
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
        self._write("REPLACE", key, data)

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Store `data` unless `key` exists; return whether this call created it."""
        return self._write("IGNORE", key, data)

    def _write(self, otherwise: str, key: str, data: bytes | Path) -> bool:
        row = check_key(key), time.time(), check_size(data, self.max_object)
        with self._transaction() as db:
            added = db.execute(f"INSERT OR {otherwise} INTO objects VALUES (?, ?, zeroblob(?))", row)
            if added.rowcount == 1 and added.lastrowid is not None:
                with db.blobopen("objects", "data", added.lastrowid) as blob, _opened(data) as source:
                    shutil.copyfileobj(source, blob)
            return added.rowcount == 1

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the bytes, or a range of them; only that is read."""
        with self._transaction() as db:
            row = db.execute("SELECT rowid FROM objects WHERE key = ?", (check_key(key),)).fetchone()
            if row is None:
                raise NotFound(f"{self.describe()} holds no {key!r}")
            with db.blobopen("objects", "data", row[0], readonly=True) as blob:
                blob.seek(min(start, len(blob)))
                return blob.read(-1 if length is None else length)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Return the entries in ascending key order, read a page at a time."""
        return self._pages(check_prefix(prefix), after)

    def _pages(self, prefix: str, after: str) -> Iterator[Entry]:
        while True:
            with self._transaction() as db:
                rows = db.execute(
                    "SELECT key, length(data), modified FROM objects WHERE key > ? AND substr(key, 1, ?) = ? ORDER BY key LIMIT ?",
                    (after, len(prefix), prefix, _PAGE),
                ).fetchall()
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

    @property
    def max_object(self) -> int:
        """What SQLite takes in one value."""
        return 1_000_000_000

    def close(self) -> None:
        """Close the connections of all threads."""
        self._closed = True
        while self._connections:
            self._connections.pop().close()

    def describe(self) -> str:
        """Return where this is."""
        return self._file.absolute().as_uri()


def _opened(data: bytes | Path) -> IO[bytes]:
    return data.open("rb") if isinstance(data, Path) else io.BytesIO(data)
