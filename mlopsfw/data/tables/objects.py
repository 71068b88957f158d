"""The files of a table as objects of a storage that has no place for tables: written and read by way of this machine's folder.

Files have random names and never change, so a copy of one stays good. Polars and delta-rs work on the copies alone.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.disk import as_storage_error
from mlopsfw.data.tables.files import TableFiles
from mlopsfw.data.tables.object_place import ObjectPlace
from mlopsfw.kernel.base.errors import Corrupt
from mlopsfw.kernel.base.ids import new_run_id

if TYPE_CHECKING:
    import polars as pl
    from deltalake import DeltaTable

    from mlopsfw.data.tables.manifest import DataFile
    from mlopsfw.data.tables.parquet import ParquetFile
    from mlopsfw.kernel.roles.host import Clock
    from mlopsfw.kernel.roles.storage import Storage, TableLocation

_BESIDE = 8
_SETTLED = 60.0  # seconds after which a copy that the storage does not list is of a file that was removed
_ABANDONED = 86_400.0  # seconds after which an unfinished file has lost its writer


class ObjectFiles(TableFiles):
    """The files of one table below a key.

    Args:
        location: The table's location: its `key`.
        clock: Stamps the files.
        storage: Holds them.
        copies: The folder of this machine for copies of them.
    """

    folder: Path

    def __init__(self, location: TableLocation, clock: Clock, storage: Storage, copies: Path) -> None:
        super().__init__(location, clock)
        self._storage, self._key, self.folder = storage, location.key, copies
        self.shown = f"{storage.describe().rstrip('/')}/{location.key}"

    def _place(self, path: str) -> tuple[str, Any]:
        return str(self._unfinished() / path), None

    def _unfinished(self) -> Path:
        folder = self.folder / "unfinished"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _finish(self, files: list[ParquetFile]) -> tuple[DataFile, ...]:
        now, described = int(self._clock.now() * 1000), []
        for file in files:
            file.close()
            written = self._unfinished() / file.path
            self._storage.put(self._object(file.path), written)
            described.append(file.describe(now))
            written.touch()
            written.replace(self.folder / file.path)
        return tuple(described)

    def _object(self, path: str) -> str:
        return f"{self._key}/{path}"

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files, and this machine's copies; those already gone are no error. Raise `StorageError` where one stays."""
        for path in paths:
            self._storage.delete(self._object(path))
            for folder in (self.folder, self.folder / "unfinished"):
                (folder / path).unlink(missing_ok=True)

    def entries(self) -> Iterator[tuple[str, int]]:
        """Yield every file of the table, those of its log included: its path below the key, and its size."""
        for entry in self._storage.list(f"{self._key}/"):
            yield entry.key.removeprefix(f"{self._key}/"), entry.size

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        """Return a file's bytes, or `length` of them from `start`. Raise `NotFound`."""
        return self._storage.get(self._object(path), start=start, length=length)

    def put(self, path: str, data: bytes | Path) -> None:
        """Store a file, replacing what was there; when this returns it is durable."""
        self._storage.put(self._object(path), data)

    def list(self) -> Iterator[tuple[str, float]]:
        """Yield the existing Parquet files, each with its time of change (seconds since the epoch)."""
        for entry in self._storage.list(f"{self._key}/part-"):
            yield entry.key.removeprefix(f"{self._key}/"), entry.modified

    def scan(self, files: Sequence[DataFile]) -> pl.LazyFrame:
        """Fetch `files`, and return their rows, in order, lazily."""
        self._fetch({file.path: file.size for file in files})
        return super().scan(files)

    @contextlib.contextmanager
    def delta(self) -> Iterator[ObjectPlace]:
        """Yield a private folder in which delta-rs opens the table and commits to it."""
        with TemporaryDirectory(dir=self._unfinished()) as folder:
            yield ObjectPlace(self._storage, self._key, Path(folder), self._look)

    def rows(self, table: DeltaTable) -> pl.LazyFrame:
        """Fetch the files of a version that delta-rs opened, and return their rows, in no particular order, lazily."""
        import polars as pl
        import pyarrow as pa

        schema, actions = pl.Schema(table.schema()), pa.table(table.get_add_actions()).to_pylist()
        self._fetch({action["path"]: action["size_bytes"] for action in actions})
        paths = [self.folder / action["path"] for action in actions]
        return (
            pl.scan_parquet(paths, schema=schema, missing_columns="insert", glob=False)
            if paths
            else schema.to_frame(eager=False)
        )

    # -- copies ----------------------------------------------------------------------------------------------------------

    def _fetch(self, sizes: Mapping[str, int]) -> None:
        missing = [path for path, size in sizes.items() if not _is_whole(self.folder / path, size)]
        with ThreadPoolExecutor(_BESIDE) as pool:
            list(pool.map(lambda path: self._fetch_one(path, sizes[path]), missing))

    def _fetch_one(self, path: str, size: int) -> None:
        copy = self._unfinished() / f"{path}.{new_run_id()}"
        try:
            with as_storage_error(f"copying {self.shown}/{path}"), copy.open("xb") as file:
                file.writelines(self._storage.stream(self._object(path)))
            if not _is_whole(copy, size):
                raise Corrupt(f"{self.shown}/{path} has {copy.stat().st_size} bytes instead of {size}")
            copy.replace(self.folder / path)
        finally:
            copy.unlink(missing_ok=True)

    def _look(self) -> dict[str, int]:
        """Return the files of the table; copies of others go, since an erasure elsewhere may have removed them."""
        before, entries = time.time(), dict(self.entries())
        for folder, age in ((self.folder, _SETTLED), (self.folder / "unfinished", _ABANDONED)):
            for path in folder.iterdir() if folder.is_dir() else ():
                with contextlib.suppress(FileNotFoundError):
                    if path.name not in entries and path.name != "unfinished" and path.stat().st_mtime < before - age:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return entries


def _is_whole(file: Path, size: int) -> bool:
    try:
        return file.stat().st_size == size
    except FileNotFoundError:
        return False
