"""A storage in one SQLite file. Its transactions are atomic and durable, and what is deleted is overwritten: an erasure leaves no byte."""

import io
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import NotFound, StorageError, StorageFull
from mlopsfw.roles import Entry, Storage, check_key, check_prefix, check_size

_SCHEMA = """PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;
CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, modified REAL NOT NULL, data BLOB NOT NULL)"""
_PAGE = "SELECT key, length(data), modified FROM objects WHERE key > ? AND substr(key, 1, ?) = ? ORDER BY key LIMIT 500"


class StorageConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[storage.acme]`: `file` is the database, relative to the project."""

    file: str = "acme.sqlite"


class AcmeStorage(Storage):
    max_object = 1_000_000_000  # what SQLite takes in one value

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()  # all threads share the connection
        self._db = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.executescript(_SCHEMA)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, self._db as db:
                db.execute("BEGIN IMMEDIATE")
                yield db
        except sqlite3.Error as error:
            kind = StorageFull if "full" in str(error) else StorageError
            raise kind(f"{self._file}: {error}") from error

    def put(self, key: str, data: bytes | Path) -> None:
        self._write("REPLACE", key, data)

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        return self._write("IGNORE", key, data)

    def _write(self, otherwise: str, key: str, data: bytes | Path) -> bool:
        row = check_key(key), time.time(), check_size(data, self.max_object)
        with self._transaction() as db:
            added = db.execute(f"INSERT OR {otherwise} INTO objects VALUES (?, ?, zeroblob(?))", row)
            if added.rowcount == 1 and added.lastrowid is not None:
                source = data.open("rb") if isinstance(data, Path) else io.BytesIO(data)
                with source, db.blobopen("objects", "data", added.lastrowid) as blob:
                    shutil.copyfileobj(source, blob)
            return added.rowcount == 1

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        with self._transaction() as db:
            row = db.execute("SELECT rowid FROM objects WHERE key = ?", (check_key(key),)).fetchone()
            if row is None:
                raise NotFound(f"{self.describe()} holds no {key!r}")
            with db.blobopen("objects", "data", row[0], readonly=True) as blob:
                blob.seek(min(start, len(blob)))
                return blob.read(-1 if length is None else length)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        return self._pages(check_prefix(prefix), after)

    def _pages(self, prefix: str, after: str) -> Iterator[Entry]:
        while rows := self._page(prefix, after):
            yield from (Entry(*row) for row in rows)
            after = rows[-1][0]

    def _page(self, prefix: str, after: str) -> Sequence[tuple[str, int, float]]:
        with self._transaction() as db:
            return db.execute(_PAGE, (after, len(prefix), prefix)).fetchall()

    def delete(self, key: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM objects WHERE key = ?", (check_key(key),))

    def table_location(self, name: str) -> None:  # so mlopsfw keeps the files of tables under keys as well
        check_key(name)

    def close(self) -> None:
        self._db.close()

    def describe(self) -> str:
        return self._file.absolute().as_uri()


@hookimpl
def mlopsfw_storages() -> Iterable[Provider[Storage]]:
    yield Provider(
        "acme",
        StorageConfig,
        lambda config, host: AcmeStorage(host.root / config.file),
        "Acme's vault: one SQLite file",
    )
