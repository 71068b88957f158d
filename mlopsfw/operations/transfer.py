"""`export` and `import`: copy a whole project from one storage to another, byte for byte, so that the chain stays whole.

Objects keep their keys: keyring, directory of actors, blobs, ledger. Tables keep their names: `table_copy` copies them between storages of any layout. The ledger
goes last and what it refers to is copied once more after it, so the copy of a project at work is a moment of it. What is there already is left alone, so a copy that was cut short goes on where it stopped. The
code and `mlopsfw.toml` are the repository's, and what lies in `.mlopsfw` beside the store is this machine's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import msgspec

from mlopsfw.kernel.base.errors import ChainBroken, Conflict, Corrupt, NotFound, StorageError
from mlopsfw.kernel.ledger import layout
from mlopsfw.kernel.roles.storage import Entry, Storage, check_key
from mlopsfw.kernel.store import keyring, tombstones
from mlopsfw.kernel.store.blobs import ROOT, key_of
from mlopsfw.operations.audit import StreamAudit, audit
from mlopsfw.operations.table_copy import TableAccess, copy_tables

ACTORS = "actors/"
_NAMES = f"{ACTORS}names/"
_WHOLE = 64 << 20  # bytes; larger objects go by way of a file
_BESIDE = 8
_ROUNDS = 10


class Transfer(msgspec.Struct, kw_only=True):
    """What a copy did.

    Args:
        copied, size: Objects copied, and their bytes.
        streams, events: What the ledger of the copy holds, verified from the first event to the last.
    """

    copied: int = 0
    size: int = 0
    streams: int = 0
    events: int = 0


def transfer(
    source: Storage, target: Storage, *, heal: bool = False, own: bool = False, tables: TableAccess | None = None
) -> Transfer:
    """Copy the project in `source` to `target`, which is empty or holds an older copy of the same project.

    Args:
        source: Where the project is.
        target: Where it shall be, too.
        heal: Read every blob of the target again, and replace those that have rotted.
        own: Whether the source is the project's own storage; what comes from elsewhere is looked at before it is copied.
        tables: Reaches the tables of storages that do not list them.

    Raises:
        StorageError: The source is a folder that holds a link, a pipe or a device. Nothing is copied.
        Conflict: The target holds another history.
        Corrupt: A blob of the source does not match its digest.
        ChainBroken: The ledger that was copied is not whole.
    """
    if not own:
        _check_members(source)
    _refuse_another_history(source, target)
    if not own:
        for _ in _whole(source, "the source"):
            pass
    copy = _Copy(source, target, tables)
    copy.keys()
    copy.actors()
    copy.erasures()
    copy.blobs(heal=heal)
    copy.tables()
    copy.ledger()
    copy.blobs()
    copy.tables()
    copy.actors()
    for found in _whole(target, "the copy"):
        copy.done.streams += 1
        copy.done.events += found.entries
    return copy.done


def _check_members(source: Storage) -> None:
    """Look at every object of the source before any is copied: a folder from elsewhere may hold links to what is not its own.

    The storage itself follows no link. A second name of a file (a hard link) cannot be told from the first, so it is refused, too.
    """
    place = urlsplit(source.describe())
    for entry in source.list():
        check_key(entry.key)
        if place.scheme == "file" and Path(unquote(place.path), entry.key).lstat().st_nlink > 1:
            raise StorageError(
                f"{entry.key!r} in {source.describe()} has a second name outside the store (a hard link)",
                hint="Copy the folder without links (cp -r, not cp -l), and import the copy.",
            )


def _whole(storage: Storage, what: str) -> Iterator[StreamAudit]:
    """Yield what an audit finds of each stream. Raise `ChainBroken` at the first problem."""
    for found in audit(storage):
        if found.problems:
            hint = "Run `mlopsfw audit verify` on the source."
            raise ChainBroken(f"{what} is damaged: {found.problems[0]}", hint=hint)
        yield found


def _refuse_another_history(source: Storage, target: Storage) -> None:
    """See, before anything is written, that every entry in the target is one of the source's."""
    ours = {entry.key for entry in source.list(layout.ROOT)}
    theirs = [entry.key for entry in target.list(layout.ROOT)]
    with ThreadPoolExecutor(_BESIDE) as pool:
        for key, same in zip(theirs, pool.map(lambda key: _is_part(source, target, key, ours), theirs), strict=True):
            if not same:
                raise _other(target, key)


def _is_part(source: Storage, target: Storage, key: str, ours: set[str]) -> bool:
    if key in ours:
        return source.get(key) == target.get(key)
    place = layout.parse(key)
    if place is None or place.is_segment:
        return False
    segment = layout.segment_key(place.stream, place.seq)  # the source has sealed since
    return segment in ours and target.get(key) in source.get(segment).split(b"\n")


def _other(target: Storage, key: str) -> Conflict:
    return Conflict(
        f"{key} in {target.describe()} differs from the source: it belongs to another project, or has changed since the last copy",
        hint="Name an empty folder or prefix.",
    )


class _Copy:
    """One copy under way."""

    def __init__(self, source: Storage, target: Storage, tables: TableAccess | None) -> None:
        self._source, self._target, self._tables = source, target, tables
        self.done = Transfer()

    def blobs(self, *, heal: bool = False) -> None:
        """Copy the blobs that the target lacks, or that have rotted there."""
        rotten = set(_rotten(self._target)) if heal else set()
        self._copy(self._missing(ROOT, rotten))

    def keys(self) -> None:
        """Copy the keyring, and remove rings that the source has rotated away: they open with a key that was given up."""
        ours = {entry.key for entry in self._source.list(keyring.ROOT)}
        self._copy(self._missing(keyring.ROOT))
        for entry in list(self._target.list(keyring.ROOT)):
            if entry.key not in ours:
                self._target.delete(entry.key)

    def actors(self) -> None:
        """Copy the directory of actors as it is now, also what was rewritten in it.

        Whoever was forgotten in the source is forgotten in an older copy, too.
        """
        ours = {entry.key: entry for entry in self._source.list(ACTORS)}
        theirs = {entry.key for entry in self._target.list(ACTORS)}
        with ThreadPoolExecutor(_BESIDE) as pool:
            same = pool.map(self._is_same, ours.keys() & theirs)
            kept = {key for key, is_same in zip(ours.keys() & theirs, same, strict=True) if is_same}
        self._copy([entry for key, entry in ours.items() if key not in kept])
        for key in theirs - ours.keys():
            if key.startswith(_NAMES):
                self._target.delete(key)

    def _is_same(self, key: str) -> bool:
        return self._source.get(key) == self._target.get(key)

    def erasures(self) -> None:
        """Copy the tombstones, and delete from an older copy the blobs that they stand for."""
        self._copy(self._missing(tombstones.ROOT))
        ours = {entry.key for entry in self._source.list(ROOT)}
        for digest in tombstones.buried(self._source):
            if key_of(digest) not in ours:
                self._target.delete(key_of(digest))

    def tables(self) -> None:
        """Copy the tables."""
        for size in copy_tables(self._source, self._target, self._tables):
            self._count(size)

    def _missing(self, prefix: str, rotten: Collection[str] = ()) -> list[Entry]:
        """Return what the target lacks below `prefix`; an object's size tells whether it is there whole."""
        there = {entry.key: entry.size for entry in self._target.list(prefix)}
        return [e for e in self._source.list(prefix) if there.get(e.key) != e.size or e.key in rotten]

    def _copy(self, entries: list[Entry]) -> None:
        with ThreadPoolExecutor(_BESIDE) as pool:
            for entry, _ in zip(entries, pool.map(self._one, entries), strict=True):
                self._count(entry.size)

    def ledger(self) -> None:
        """Copy the ledger until a whole pass finds nothing gone and nothing new: it may be sealed under our hands."""
        for _ in range(_ROUNDS):
            there = {entry.key for entry in self._target.list(layout.ROOT)}
            new = [entry for entry in self._source.list(layout.ROOT) if entry.key not in there]
            if not new:
                break
            with ThreadPoolExecutor(_BESIDE) as pool:
                for entry, copied in zip(new, pool.map(self._entry, new), strict=True):
                    if copied:
                        self._count(entry.size)

        self._clear_sealed()

    def _clear_sealed(self) -> None:
        """Remove the small entries of an older copy whose segment has come since."""
        places = {entry.key: place for entry in self._target.list(layout.ROOT) if (place := layout.parse(entry.key))}
        for key, place in places.items():
            if not place.is_segment and layout.segment_key(place.stream, place.seq) in places:
                self._target.delete(key)

    def _entry(self, entry: Entry) -> bool:
        try:
            data = self._source.get(entry.key)
        except NotFound:
            return False
        if not self._target.put_if_absent(entry.key, data) and self._target.get(entry.key) != data:
            raise _other(self._target, entry.key)
        return True

    def _one(self, entry: Entry) -> None:
        if entry.size <= _WHOLE:
            data = self._source.get(entry.key)
            _check(entry.key, sha256(data).hexdigest(), self._source)
            self._target.put(entry.key, data)
            return
        with TemporaryDirectory() as folder:
            file, found = Path(folder, "object"), sha256()
            with file.open("wb") as stream:
                for chunk in self._source.stream(entry.key):
                    found.update(chunk)
                    stream.write(chunk)
            _check(entry.key, found.hexdigest(), self._source)
            self._target.put(entry.key, file)

    def _count(self, size: int) -> None:
        self.done.copied += 1
        self.done.size += size


def _rotten(storage: Storage) -> Iterator[str]:
    for entry in storage.list(ROOT):
        found = sha256()
        for chunk in storage.stream(entry.key):
            found.update(chunk)
        if not entry.key.endswith(found.hexdigest()):
            yield entry.key


def _check(key: str, found: str, source: Storage) -> None:
    if key.startswith(ROOT) and not key.endswith(found):
        raise Corrupt(
            f"{key} in {source.describe()} does not match its digest", hint="Run `mlopsfw doctor --verify` there."
        )
