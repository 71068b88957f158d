"""The tables of one storage, copied to another, whatever the layout of each: by keys where a storage lists the files of its tables, else by location.

Files are copied as they are: a Delta log names its files relative to itself. What a table holds is `mlopsfw.data.tables`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from mlopsfw.kernel.base.errors import StorageError
from mlopsfw.kernel.roles.storage import Storage, TableLocation, check_key
from mlopsfw.kernel.store.table_locations import locate

_WHOLE = 64 << 20  # bytes; larger objects go by way of a file
_BESIDE = 8
_LOG = "_delta_log/"
_POINTER = f"{_LOG}_last_checkpoint"  # written over in place
_NAME = "name"


class TableFolder(Protocol):
    """The files of one table, by their paths below its location."""

    def entries(self) -> Iterable[tuple[str, int]]:
        """Yield the path and the size of each file."""
        ...

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        """Return a file's bytes, or `length` of them from `start`."""
        ...

    def put(self, path: str, data: bytes | Path) -> None:
        """Store a file, replacing what was there."""
        ...

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; those already gone are no error."""
        ...


class TableAccess(Protocol):
    """What reaches the tables that no storage lists."""

    def names(self) -> Iterable[str]:
        """Return the names of the project's tables, as its components give them."""
        ...

    def folder(self, location: TableLocation) -> TableFolder:
        """Return the files at a location."""
        ...


class _Listed:
    """The files of one table as objects of the storage: implements `TableFolder`."""

    def __init__(self, storage: Storage, key: str, sizes: Mapping[str, int]) -> None:
        self._storage, self._key, self._sizes = storage, key, sizes

    def entries(self) -> Iterable[tuple[str, int]]:
        return self._sizes.items()

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        return self._storage.get(f"{self._key}/{path}", start=start, length=length)

    def put(self, path: str, data: bytes | Path) -> None:
        self._storage.put(f"{self._key}/{path}", data)

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._storage.delete(f"{self._key}/{path}")


class _Side:
    """The tables of one storage, as they are when this is made."""

    def __init__(self, storage: Storage, access: TableAccess | None) -> None:
        self._storage, self._access = storage, access
        some = locate(storage, _NAME)
        if some.key and not some.key.endswith(f"/{_NAME}"):
            raise StorageError(
                f"{storage.describe()} says that table {_NAME!r} lies under the key {some.key!r}",
                hint="`TableLocation.key` is PREFIX/NAME; `mlopsfw.testing.storage.StorageConformance` checks it.",
            )
        self._prefix = some.key.removesuffix(_NAME)
        self._listed = _by_table(storage, self._prefix) if self._prefix else {}

    def names(self) -> set[str]:
        """Return the names of tables that may be there."""
        return {*self._listed, *(self._access.names() if self._access is not None else ())}

    def folder(self, name: str) -> TableFolder:
        """Return the files of a table. Raise `StorageError` where nothing reaches them."""
        location = locate(self._storage, name)
        if location.key:
            return _Listed(self._storage, location.key, self._listed.get(name, {}))
        if self._access is None:
            raise StorageError(
                f"{self._storage.describe()} does not list the files of the table {name!r}",
                hint="Use `mlopsfw export` or `mlopsfw import`, which reach them by location.",
            )
        return self._access.folder(location)


def _by_table(storage: Storage, prefix: str) -> dict[str, dict[str, int]]:
    """Return table → path → size, of all that is listed."""
    tables: dict[str, dict[str, int]] = {}
    for entry in storage.list(prefix):
        name, in_log, path = entry.key.removeprefix(prefix).partition(f"/{_LOG}")
        if not in_log:
            name, _, path = name.rpartition("/")
        if name:
            tables.setdefault(name, {})[_LOG * bool(in_log) + path] = entry.size
    return tables


def copy_tables(source: Storage, target: Storage, access: TableAccess | None) -> Iterator[int]:
    """Copy the tables that the target lacks, or has older; yield the size of each file that was copied.

    Args:
        source: Where the tables are.
        target: Where they shall be, too.
        access: Reaches those that a storage does not list.

    Raises:
        StorageError: A storage does not list the files of a table, and there is no `access`.
    """
    ours, theirs = _Side(source, access), _Side(target, access)
    for name in sorted(map(check_key, ours.names())):
        folder = ours.folder(name)
        sizes = dict(folder.entries())
        if sizes:
            yield from _Table(folder, theirs.folder(name), sizes).copy()


class _Table:
    """One table's files."""

    def __init__(self, source: TableFolder, target: TableFolder, sizes: Mapping[str, int]) -> None:
        self._source, self._target, self._ours = source, target, sizes
        self._theirs = dict(target.entries())

    def copy(self) -> Iterator[int]:
        """Copy what is missing: what the log names before the log, so that no version is seen before its files.

        Of an older copy goes what the source no longer has: the files, and the log, of what was erased since.
        """
        is_older = _head(self._ours) >= _head(self._theirs)
        if is_older and self._is_log_anew():
            self._target.delete([path for path in self._theirs if path.startswith(_LOG)])
            self._theirs = {path: size for path, size in self._theirs.items() if not path.startswith(_LOG)}
        missing = [path for path, size in self._ours.items() if self._theirs.get(path) != size or path == _POINTER]
        with ThreadPoolExecutor(_BESIDE) as pool:
            yield from pool.map(self._one, [path for path in missing if not path.startswith(_LOG)])
            yield from pool.map(self._one, [path for path in missing if path.startswith(_LOG) and path != _POINTER])
        if _POINTER in missing and not self._is_same(_POINTER):
            yield self._one(_POINTER)
        if is_older:
            self._target.delete(sorted(self._theirs.keys() - self._ours.keys()))

    def _is_log_anew(self) -> bool:
        """Return whether the source's log was made anew since: its first commit, which has a random id, is another one.

        Later commits may have their old sizes, so sizes do not tell.
        """
        commits = sorted(path for path in self._ours if path.startswith(_LOG) and path.endswith(".json"))
        return bool(commits) and commits[0] in self._theirs and not self._is_same(commits[0])

    def _is_same(self, path: str) -> bool:
        return path in self._theirs and self._source.read(path) == self._target.read(path)

    def _one(self, path: str) -> int:
        size = self._ours[path]
        if size <= _WHOLE:
            self._target.put(path, self._source.read(path))
            return size
        with TemporaryDirectory() as folder:
            file = Path(folder, "file")
            with file.open("wb") as stream:
                for start in range(0, size, _WHOLE):
                    stream.write(self._source.read(path, start, _WHOLE))
            self._target.put(path, file)
        return size


def _head(paths: Iterable[str]) -> int:
    """Return the newest version that a log tells of; -1 where there is none."""
    numbers = (path.removeprefix(_LOG).partition(".")[0] for path in paths if path.startswith(_LOG))
    return max((int(number) for number in numbers if number.isdecimal()), default=-1)
