"""The files at a table's location, local or in a bucket: Parquet written durable and read in order, and the log. Knows nothing of versions.

A table is reached by its location alone: whether the storage lists its files, and under which keys, is the storage's.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.disk import as_storage_error
from mlopsfw.capturelog.durable import sync
from mlopsfw.data.tables.delta_place import LOG, DeltaPlace, FolderPlace
from mlopsfw.data.tables.delta_scan import check_place, scan_delta
from mlopsfw.data.tables.local import local_folder
from mlopsfw.data.tables.manifest import DataFile
from mlopsfw.data.tables.parquet import ParquetFile
from mlopsfw.kernel.base.errors import NotFound, StorageError
from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.kernel.store.blobs import is_inside

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from deltalake import DeltaTable

    from mlopsfw.kernel.roles.host import Clock
    from mlopsfw.kernel.roles.storage import TableLocation


class TableFiles:
    """The files of one table.

    Args:
        location: The table's location.
        clock: Stamps the files.
    """

    def __init__(self, location: TableLocation, clock: Clock) -> None:
        self.location, self._clock, self.shown = location, clock, check_place(location.uri).rstrip("/")
        self.folder = local_folder(location.uri)

    @cached_property
    def _remote(self) -> Any:
        """The table's own object store, as an Arrow file system; its options are the table's."""
        import pyarrow.fs
        from deltalake.fs import DeltaStorageHandler

        return pyarrow.fs.PyFileSystem(DeltaStorageHandler(self.location.uri, options=dict(self.location.options)))

    def write(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> tuple[DataFile, ...]:
        """Write `batches`, all of `schema`, as new, durable files. If it fails, none is left.

        It writes at least one file, to carry the schema.
        """
        written: list[ParquetFile] = []
        try:
            with as_storage_error(f"writing to {self.shown}"):
                for batch in batches:
                    if not written or written[-1].is_full:
                        self._open(written, schema)
                    written[-1].add(batch)
                if not written:
                    self._open(written, schema)
                return self._finish(written)
        except BaseException:
            for file in written:
                file.abandon()
            with contextlib.suppress(StorageError):
                self.delete(file.path for file in written)
            raise

    def _open(self, written: list[ParquetFile], schema: pa.Schema) -> None:
        if written:
            written[-1].close()
        path = f"part-{new_run_id()}.parquet"  # random: two writers never collide
        where, filesystem = self._place(path)
        written.append(ParquetFile(path, where, schema, filesystem))

    def _place(self, path: str) -> tuple[str, Any]:
        """Return where a new file is written, and the Arrow file system of that; None for this machine's."""
        if self.folder is None:
            return path, self._remote
        self.folder.mkdir(parents=True, exist_ok=True)
        return str(self.folder / path), None

    def _finish(self, files: list[ParquetFile]) -> tuple[DataFile, ...]:
        for file in files:
            file.close()
            if self.folder is not None:
                sync(self.folder / file.path)
        if self.folder is not None:
            sync(self.folder)
            sync(self.folder.parent)
        now = int(self._clock.now() * 1000)
        return tuple(file.describe(now) for file in files)

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files; those already gone are no error. Raise `StorageError` where one stays or is none of the table."""
        for path in paths:
            if not is_inside(path):  # the ledger of a project that somebody else made may name any
                raise StorageError(f"{path[:200]!r} is no file of {self.shown}", hint="Nothing more was deleted.")
            try:
                (self.folder / path).unlink() if self.folder is not None else self._remote.delete_file(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError(
                    f"{self.shown}/{path} cannot be deleted: {error.strerror or error}",
                    hint="Check permissions, and run it again.",
                ) from error

    def entries(self) -> Iterator[tuple[str, int]]:
        """Yield every file of the table, those of its log included: its path below the location, and its size."""
        for below in ("", LOG):
            yield from self._entries(below) if self.folder is not None else self._remote_entries(below)

    def _entries(self, below: str) -> Iterator[tuple[str, int]]:
        folder = Path(self.folder or "", below)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield below + path.name, status.st_size
                elif not stat.S_ISDIR(status.st_mode):
                    raise StorageError(
                        f"{path} is a link, a pipe or a device",
                        hint="A table holds only plain files, and mlopsfw follows no link. Find out who put it there.",
                    )

    def _remote_entries(self, below: str) -> Iterator[tuple[str, int]]:
        import pyarrow.fs

        for info in self._remote.get_file_info(pyarrow.fs.FileSelector(below.rstrip("/"), allow_not_found=True)):
            if info.is_file:
                yield below + info.base_name, info.size

    def log(self) -> list[str]:
        """Return the paths of the files of the log."""
        return [path for path, _ in self.entries() if path.startswith(LOG)]

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        """Return a file's bytes, or `length` of them from `start`. Raise `NotFound`."""
        try:
            with (
                (self.folder / path).open("rb") if self.folder is not None else self._remote.open_input_file(path)
            ) as file:
                file.seek(start)
                return bytes(file.read() if length is None else file.read(length))
        except FileNotFoundError:
            raise NotFound(f"{self.shown}/{path} is not there") from None

    def put(self, path: str, data: bytes | Path) -> None:
        """Store a file, replacing what was there; when this returns it is durable."""
        with (
            as_storage_error(f"writing to {self.shown}"),
            io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as source,
        ):
            if self.folder is None:
                # without a buffer of its own Arrow hands the store a Buffer, which delta-rs refuses
                with self._remote.open_output_stream(path, buffer_size=1 << 20) as target:
                    shutil.copyfileobj(source, target)
                return
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = place.with_name(f"{place.name}.{new_run_id()}.tmp")
            with temporary.open("wb") as file:
                shutil.copyfileobj(source, file)
            sync(temporary)
            temporary.replace(place)
            for folder in (place.parent, self.folder, self.folder.parent):
                sync(folder)

    def list(self) -> Iterator[tuple[str, float]]:
        """Yield the existing Parquet files, each with its time of change (seconds since the epoch)."""
        if self.folder is not None:
            for path in sorted(self.folder.glob("part-*.parquet")):
                with contextlib.suppress(FileNotFoundError):
                    yield path.name, path.stat().st_mtime
            return
        import pyarrow.fs

        for info in self._remote.get_file_info(pyarrow.fs.FileSelector("", allow_not_found=True)):
            if info.base_name.endswith(".parquet"):
                yield info.base_name, info.mtime.timestamp()

    def scan(self, files: Sequence[DataFile]) -> pl.LazyFrame:
        """Return the rows of `files`, in order, lazily."""
        import polars as pl

        base = str(self.folder) if self.folder is not None else self.shown
        paths = [f"{base}/{file.path}" for file in files]
        return pl.scan_parquet(paths, storage_options=dict(self.location.options) or None, glob=False)

    def after(self, files: Sequence[DataFile], position: int) -> pl.LazyFrame:
        """Return the rows from `position` on. Opens only the files that hold some, or the last file if none does."""
        start = 0
        for index, file in enumerate(files):
            if start + file.rows > position or index == len(files) - 1:
                return self.scan(files[index:]).slice(position - start)
            start += file.rows
        return self.scan(files)

    def delta(self) -> contextlib.AbstractContextManager[DeltaPlace]:
        """Return where delta-rs opens the table and commits to it, for as long as the context lasts."""
        if self.folder is not None:
            return contextlib.nullcontext(FolderPlace(self.location.uri, self.folder))
        return contextlib.nullcontext(DeltaPlace(self.location.uri, self.location.options))

    def rows(self, table: DeltaTable) -> pl.LazyFrame:
        """Return the rows of a version that delta-rs opened, in no particular order, lazily."""
        return scan_delta(table)
