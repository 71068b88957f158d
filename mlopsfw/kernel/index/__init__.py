"""`Index`: SQLite tables derived from the ledger, for questions that span streams, and a copy of its lines.

It may be deleted at any time. It is never asked for the truth, only for what would take long to read from the ledger
itself. What deletes confirms with the ledger what the index says.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any

from mlopsfw.kernel.base.errors import (
    ChainBroken,
    LedgerError,
    PluginError,
    StorageUnavailable,
    UnknownName,
    UsageError,
)
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.events.authority import believed
from mlopsfw.kernel.index import snapshots
from mlopsfw.kernel.index.changes import DAMAGE, TABLE, UNAVAILABLE, Changes
from mlopsfw.kernel.index.deadline import limited
from mlopsfw.kernel.index.part import IndexPart, Listing, create, drop, transaction
from mlopsfw.kernel.ledger import Ledger, layout
from mlopsfw.kernel.ledger.reader import Head, Reader, step
from mlopsfw.kernel.roles.event import Event

__all__ = ["OWN_TABLES", "Index", "IndexPart", "Listing"]

_POSITIONS = """CREATE TABLE positions
    (stream TEXT PRIMARY KEY, seq INTEGER, digest TEXT, epoch INTEGER, final INTEGER, objects TEXT) WITHOUT ROWID"""
"""How far each stream was read, and what its objects looked like then."""
_LINES = "CREATE TABLE lines (stream TEXT, first INTEGER, data BLOB, PRIMARY KEY (stream, first))"
"""The lines of each stream, compressed, in pieces as they were read; `first` is the number of a piece's first entry."""
OWN_TABLES = (_POSITIONS, _LINES, TABLE)
"""What makes the tables of the index itself: no component's may be called like them."""
_MANY = 200  # streams to read that make a snapshot worth its while
_BESIDE, _BATCH = 16, 256  # streams that are read side by side, and whose events are held in memory
_WAIT = 30.0  # seconds for another process that is refreshing the same file
_READING = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)

_New = tuple[bytes, Event, Head]
"""A line, its event, and the head that it makes."""


class Index:
    """The index of one project on this machine; several processes may use it at once.

    Args:
        path: The SQLite file; made, or made anew where it is missing, of another version or damaged.
        ledger: What it is derived from.
        parts: The tables that components contribute.
        snapshots: Whether a machine that knows nothing begins with the store's snapshot, and leaves one.
        progress: Told how many streams were read, of how many, when many are.
    """

    def __init__(
        self,
        path: Path,
        ledger: Ledger,
        parts: Iterable[IndexPart],
        *,
        snapshots: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._path, self._ledger, self._parts = path, ledger, tuple(parts)
        self._snapshots, self.progress = snapshots, progress
        self._changes = Changes(self._parts)
        self._version = zlib.crc32(repr([*OWN_TABLES, *((p.tables, p.version) for p in self._parts)]).encode()) >> 1
        self.listings = {listing.name: listing for part in self._parts for listing in part.listings}
        self._owners = {listing.name: part.plugin for part in self._parts for listing in part.listings}
        self._pinned = 0  # how many `pinned` blocks are open
        self._until: dict[str, tuple[Head, str]] | None = None  # how far each stream is read; None: to its end
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None

    def refresh(self) -> int:
        """Bring the index up to the ledger; return how many events were new.

        Streams that have not changed are not read.
        """
        with self._lock:
            if self._pinned:
                return 0
            try:
                return self._refresh()
            except sqlite3.OperationalError as error:  # locked, full or read-only: not damaged
                raise self._unavailable(error) from None
            except (sqlite3.DatabaseError, ChainBroken):  # damaged; or the store was restored from another copy
                return self.rebuild()

    def rebuild(self) -> int:
        """Forget everything and read the whole ledger again; return how many events there are."""
        with self._lock:
            self._discard()
            before, self._snapshots = self._snapshots, False
            try:
                return self._refresh()
            except sqlite3.OperationalError as error:
                raise self._unavailable(error) from None
            finally:
                self._snapshots = before

    def query(
        self, sql: str, params: Sequence[Any] = (), *, fresh: bool = True, seconds: float = math.inf
    ) -> list[dict[str, Any]]:
        """Return the rows of one statement that only reads, refreshing first unless `fresh` is False.

        Raises:
            UsageError: The statement is wrong, does more than read, or takes longer than `seconds`.
            StorageUnavailable: Another process holds the file, or it cannot be read.
        """
        with self._lock:
            if fresh:
                self.refresh()
            try:
                with limited(self._connection(), seconds):
                    names, rows = self._select(sql, params)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode not in DAMAGE:
                    raise
                self.rebuild()
                names, rows = self._select(sql, params)
            return [dict(zip(names, row, strict=True)) for row in rows]

    def listing(self, name: str, limit: int) -> list[dict[str, Any]]:
        """Return the first rows of a listing.

        Raises:
            UnknownName: There is none of that name.
            PluginError: The plugin's tables are set aside.
        """
        if name not in self.listings:
            raise UnknownName(f"there is no listing {name!r}", hint=nearest(name, self.listings))
        if (plugin := self._owners[name]) and (reason := self.set_aside().get(plugin)):
            hint = f"Repair it and run `mlopsfw index rebuild`, or run `mlopsfw plugins disable {plugin}`."
            raise PluginError(f"the tables of {plugin} are set aside: {reason}", hint=hint)
        return self.query(f"{self.listings[name].select} LIMIT ?", (limit,))

    def _select(self, sql: str, params: Sequence[Any] = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
        db = self._connection()
        db.set_authorizer(_only_reading)
        try:
            cursor = db.execute(sql, tuple(params))
            rows = cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            code = getattr(error, "sqlite_errorcode", None)  # none where the statement never reached SQLite
            if code in DAMAGE:
                raise
            if code in UNAVAILABLE:
                raise self._unavailable(error) from None
            hint = "Ask with one SELECT over its tables."
            raise UsageError(f"the index refuses {sql!r}: {error}", hint=hint) from None
        finally:
            db.set_authorizer(None)
        return [column[0] for column in cursor.description or ()], rows

    def _unavailable(self, error: BaseException) -> StorageUnavailable:
        hint = "Another process may hold it, or the disk may be full: free some space there, and try again."
        return StorageUnavailable(f"the index cannot be used: {self._path}: {error}", hint=hint)

    def _contents(self) -> dict[str, set[tuple[Any, ...]]]:
        tables = {name: f'SELECT * FROM "{name}"' for name in _names(self._connection())}  # noqa: S608 - our own tables
        contents = {name: set(self._select(sql)[1]) for name, sql in tables.items() if name != "lines"}
        digests = [(name, sha256(b"\n".join(self.lines(name))).digest()) for name in self.streams("")]
        return contents | {"lines": set(digests)}

    def set_aside(self, *, fresh: bool = True) -> dict[str, str]:
        """Return the plugins whose tables an event could not change → the event and the reason."""
        rows = self.query("SELECT * FROM set_aside", fresh=fresh)
        return {row["plugin"]: f"its change for {row['event']} raised {row['reason']}" for row in rows}

    def counts(self) -> dict[str, int]:
        """Return how many rows each table holds."""
        rows = self.query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        counts = {row["name"]: f'SELECT count(*) AS n FROM "{row["name"]}"' for row in rows}  # noqa: S608 - our own
        return {name: self.query(sql, fresh=False)[0]["n"] for name, sql in counts.items()}

    def differences(self, path: Path) -> list[str]:
        """Return the tables that hold other rows than an index made anew, in the file `path`, up to the same events."""
        fresh = Index(path, self._ledger, self._parts, snapshots=False)
        try:
            with self._lock:
                self.refresh()
                fresh._until = _positions(self._connection())
                fresh._refresh()
                mine, theirs = self._contents(), fresh._contents()
        finally:
            fresh.delete()
        return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))

    # -- a copy of the ledger ------------------------------------------------------------------------------------------

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Within the block, the ledger reads from here, as of now: refreshing is all that the store is asked."""
        self.refresh()
        self._pinned += 1
        try:
            with self._ledger.reading_from(self):
                yield
        finally:
            self._pinned -= 1

    def streams(self, prefix: str) -> list[str]:
        """Return the names of the streams that start with `prefix`, in ascending order."""
        sql = "SELECT stream FROM positions WHERE substr(stream, 1, ?) = ? ORDER BY stream"
        return [row["stream"] for row in self.query(sql, (len(prefix), prefix), fresh=False)]

    def lines(self, stream: str) -> Iterator[bytes]:
        """Yield the lines of a stream as stored, from the first."""
        for row in self.query("SELECT data FROM lines WHERE stream = ? ORDER BY first", (stream,), fresh=False):
            yield from zlib.decompress(row["data"]).split(b"\n")

    def delete(self) -> None:
        """Remove the file; the next question makes it anew."""
        with self._lock:
            self._discard()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    # -- how -----------------------------------------------------------------------------------------------------------

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(db)
            except sqlite3.OperationalError:
                db.close()
                raise
            except sqlite3.DatabaseError:
                db.close()
                self._remove()
                return self._connection()
            self._db = db
        return self._db

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # what is lost or damaged is derived again
        if self._is_current(db):
            return
        with transaction(db):
            if not self._is_current(db):  # another may have been first
                self._make(db)

    def _make(self, db: sqlite3.Connection) -> None:
        """Drop whatever there is, and make the tables, empty."""
        drop(db)
        for script in (*OWN_TABLES, *(part.tables for part in self._parts)):
            create(db, script)
        db.execute(f"PRAGMA user_version = {self._version}")

    def _is_current(self, db: sqlite3.Connection) -> bool:
        return bool(db.execute("PRAGMA user_version").fetchone()[0] == self._version)

    def _discard(self) -> None:
        self.close()
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _refresh(self) -> int:
        db = self._connection()
        listed = dict(self._listed())
        seen = dict(db.execute("SELECT stream, objects FROM positions"))
        changed = [name for name, objects in listed.items() if seen.get(name) != objects]
        if not changed and seen.keys() <= listed.keys():
            return 0
        with transaction(db):
            known = _positions(db)  # another process may have been at it since
            if not known.keys() <= listed.keys():  # gone streams: another ledger, or one restored from an older copy
                self._make(db)
                known, changed = {}, list(listed)
            before = 0
            if self._snapshots and not known and len(changed) >= _MANY:
                before = self._restore(db, listed)
                known = _positions(db)
                changed = [name for name, look in listed.items() if known.get(name, (None, None))[1] != look]
            heads = {name: known[name][0] if name in known else Head() for name in changed}
            new = sum(self._catch_up(db, n, listed[n], heads[n], lines) for n, lines in self._news(heads))
        if self._snapshots and len(changed) >= _MANY:
            self._publish()
        return before + new

    def _restore(self, db: sqlite3.Connection, listed: Mapping[str, str]) -> int:
        """Begin with the store's snapshot; return how many events it holds. One that does not hold together is left.

        Streams that are not there, or not as they were, are read from the ledger: the snapshot may be of another.
        """
        events = 0
        db.execute("SAVEPOINT snapshot")
        try:
            for copy in snapshots.restore(self._ledger.storage):
                if listed.get(copy.name) != copy.objects:
                    continue
                lines = b"\n".join(map(zlib.decompress, copy.pieces)).split(b"\n")
                events += self._catch_up(db, copy.name, copy.objects, Head(), list(_chained(copy.name, lines)))
        except (LedgerError, zlib.error):
            db.execute("ROLLBACK TO snapshot")
            events = 0
        db.execute("RELEASE snapshot")
        return events

    def _publish(self) -> None:
        """Leave a snapshot for the next machine that knows nothing."""
        pieces: dict[str, list[bytes]] = {}
        for row in self.query("SELECT stream, data FROM lines ORDER BY stream, first", fresh=False):
            pieces.setdefault(row["stream"], []).append(row["data"])
        known = self.query("SELECT stream, objects, seq FROM positions", fresh=False)
        copies = [snapshots.StreamCopy(row["stream"], row["objects"], pieces.get(row["stream"], [])) for row in known]
        snapshots.publish(self._ledger.storage, sum(row["seq"] for row in known), copies)

    def _listed(self) -> Iterator[tuple[str, str]]:
        """Yield each stream with what its objects look like: what has not changed here has no new events."""
        if self._until is not None:
            yield from ((name, objects) for name, (_, objects) in self._until.items())
            return
        smalls: dict[str, str] = {}  # of each stream the last one
        segments: dict[str, str] = {}
        for entry in self._ledger.storage.list(layout.ROOT):
            if place := layout.parse(entry.key):
                (segments if place.is_segment else smalls)[place.stream] = f"{place.seq}:{entry.size}"
        for name in smalls | segments:
            yield name, f"{smalls.get(name, '')} {segments.get(name, '')}"

    def _news(self, heads: Mapping[str, Head]) -> Iterator[tuple[str, list[_New]]]:
        """Yield each stream with what follows the head that is known of it, in order."""

        def read(name: str) -> list[_New]:
            new = Reader(self._ledger.storage, name).entries(heads[name])
            if self._until is None:
                return list(new)
            last = self._until[name][0].seq
            return list(takewhile(lambda each: each[1].seq <= last, new))

        names = list(heads)
        if len(names) <= 2:  # noqa: PLR2004 - threads would cost more
            yield from ((name, read(name)) for name in names)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_BESIDE) as pool:
            for start in range(0, len(names), _BATCH):
                if self.progress is not None:
                    self.progress(start, len(names))
                batch = names[start : start + _BATCH]
                yield from zip(batch, pool.map(read, batch), strict=True)

    def _catch_up(self, db: sqlite3.Connection, name: str, objects: str, head: Head, new: Sequence[_New]) -> int:
        before = head.seq
        for _, event, following in new:
            self._changes.apply(db, believed(event, head.epoch), self._ledger.types)
            head = following
        if new:
            data = zlib.compress(b"\n".join(line for line, _, _ in new))
            db.execute("INSERT OR REPLACE INTO lines VALUES (?, ?, ?)", (name, before + 1, data))
        row = (name, head.seq, head.digest, head.epoch, head.final, objects)
        db.execute("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?, ?)", row)
        return head.seq - before


def _only_reading(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _chained(stream: str, lines: Iterable[bytes]) -> Iterator[_New]:
    head = Head()
    for line in lines:
        event, head = step(stream, head, line)
        yield line, event, head


def _names(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]


def _positions(db: sqlite3.Connection) -> dict[str, tuple[Head, str]]:
    rows = db.execute("SELECT stream, seq, digest, epoch, final, objects FROM positions")
    return {row[0]: (Head(row[1], row[2], row[3], bool(row[4])), row[5]) for row in rows}
