"""Values to artifacts and back: a step's results are stored once, by content, and passed on by reference.

A table is stored as an Arrow IPC file. Its digest covers its logical content (`mlopsfw.data.tables.digest`), so chunking and compression do not
matter. Nothing is ever pickled: a value without an open format is an error.

"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.disk import full_as_storage_error
from mlopsfw.data.tables.digest import TableDigest, computed, file_digest, record_batches
from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage import canonical
from mlopsfw.operations.scratch import scratch_folder
from mlopsfw.pipeline.graph.step import BundleFolder
from mlopsfw.pipeline.values.figures import draw, is_figure

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.datasets import Datasets, DatasetVersion
    from mlopsfw.data.filesets import FileSet
    from mlopsfw.kernel.services import Services

_BATCH_ROWS = 1 << 17
_FILE_SET = "mlopsfw.data.filesets.fileset.FileSet"
_HANDLE = "mlopsfw.kernel.roles.training.TrainingData"
_TABLE_LIBRARIES = frozenset({"polars", "pyarrow", "pandas"})


class Values:
    """The values of a project's steps.

    Args:
        services: The kernel's services.
        datasets: Versions of datasets, which are passed on by reference.
        open_files: Opens a version that is a set of files.
    """

    def __init__(self, services: Services, datasets: Datasets, open_files: Callable[[DatasetVersion], FileSet]) -> None:
        self._blobs, self._workspace = services.blobs, services.workspace
        self._datasets, self._open_files = datasets, open_files

    def store(  # noqa: PLR0911 - one for each kind
        self, value: object, what: str = "value"
    ) -> Artifact:
        """Store a step's value; return the reference to it.

        Args:
            value: A table (polars, pyarrow or pandas), a figure (matplotlib, plotly or Pillow), a `Path` to a file or folder, a
                `BundleFolder`, an `Artifact` (passed on as it is), or JSON values.
            what: How to call it in an error.

        Raises:
            DataError: It is none of these.
        """
        if isinstance(value, Artifact):
            return value
        if type_name(type(value)) == _FILE_SET:
            artifact: Artifact = value.version.artifact()  # type: ignore[attr-defined]
            return artifact
        if isinstance(value, BundleFolder):
            return self._store_folder(value.path, "bundle", what)
        if isinstance(value, Path):
            return self._store_folder(value, "folder", what) if value.is_dir() else self._store_file(value, what)
        if type(value).__module__.partition(".")[0] in _TABLE_LIBRARIES:
            return self._store_table(value, what)
        if is_figure(value):
            with full_as_storage_error(), scratch_folder(self._workspace, "figure-") as folder:
                return self._store_file(draw(value, folder, what), what)
        data = canonical.encode(value, what)
        return Artifact(
            kind="json", digest=hashlib.sha256(data).hexdigest(), blob=self._blobs.put(data), meta={"bytes": len(data)}
        )

    def load(  # noqa: PLR0911 - one for each kind
        self, artifact: Artifact, wanted: Any = None, *, folder: Path | None = None
    ) -> Any:
        """Return the value behind a reference.

        Args:
            artifact: The reference.
            wanted: `pl.DataFrame`, `pl.LazyFrame`, `pa.Table`, `pd.DataFrame`, `TrainingData` or `Path` (the class or its dotted
                name), or None for what the kind gives by default.
            folder: Where files and folders are laid out; without it a file keeps its blob's name and a folder gets a new temporary
                one that the caller removes.

        Raises:
            DataError: The kind cannot be had as `wanted`.
        """
        kind = type_name(wanted)
        if kind == "mlopsfw.kernel.roles.artifact.Artifact":
            return artifact
        match artifact.kind:
            case "json":
                return canonical.decode(self._blobs.get(artifact.blob))
            case "table" | "dataset" if kind == _HANDLE:
                return self._handle(artifact, folder)
            case "table":
                return _load_table(self._blobs.path(artifact.blob), kind, artifact.rows)
            case "dataset" if kind == _FILE_SET:
                return self._open_files(self._datasets.resolve(artifact))
            case "dataset":
                return _as_frame(self._scan(artifact), kind or "polars.LazyFrame")
            case "file":
                return self._lay_file(artifact, folder)
            case "folder" | "bundle":
                return self._lay_folder(artifact, folder)
            case "model":
                return self._lay_folder(artifact, folder) if kind == "pathlib.Path" else artifact.ref

    def _handle(self, artifact: Artifact, folder: Path | None) -> TableHandle:
        """Return a table or a version as a handle. A copy in `folder` serves those that can only be read from the beginning."""
        frame: pl.LazyFrame = self.load(artifact, "polars.LazyFrame")
        copy = None
        if artifact.kind == "dataset":
            from mlopsfw.data.datasets import pins

            version = self._datasets.resolve(artifact)
            rows = version.rows
            if folder is not None and version.mode == "reference" and not pins.in_place(version.uri, version.pin):
                copy = _new_folder(folder) / "rows.arrow"
        else:
            rows = artifact.meta.get("rows", 0)  # a part has its rows instead
        if artifact.rows is not None:
            rows = artifact.rows[1] - artifact.rows[0]
        return TableHandle(frame, rows, artifact.digest, copy)

    def _store_table(self, value: Any, what: str) -> Artifact:
        if type(value).__name__ == "LazyFrame":
            return self.store_frames(computed(value), what)
        table = _arrow_table(value, what)
        return self.store_batches(table.to_batches(_BATCH_ROWS) or record_batches(table))

    def store_frames(self, frames: Iterable[pl.DataFrame], what: str = "value") -> Artifact:
        """Store a table from at least one frame of the same schema. Memory holds one frame at a time, or all if they have categories."""
        import polars as pl

        frames = iter(frames)
        first = next(frames)
        if _has_categories(first.schema):
            return self._store_table(pl.concat([first, *frames]), what)
        return self.store_batches(record_batches(part.to_arrow() for part in itertools.chain([first], frames)))

    def store_batches(self, batches: Iterable[pa.RecordBatch]) -> Artifact:
        """Store a table from at least one batch of the same schema. Memory holds one batch at a time."""
        import pyarrow as pa

        batches = iter(batches)
        first = next(batches)
        digest = TableDigest(first.schema)
        with full_as_storage_error(), scratch_folder(self._workspace) as folder:
            file = folder / "table.arrow"
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, first.schema, options=options) as writer:
                for batch in itertools.chain([first], batches):
                    digest.update(batch)
                    writer.write_batch(batch)
            meta = {"rows": digest.rows, "columns": first.schema.names[:200], "bytes": file.stat().st_size}
            return Artifact(kind="table", digest=digest.finish()[0], blob=self._blobs.put(file), meta=meta)

    def _store_file(self, path: Path, what: str) -> Artifact:
        if not path.is_file():
            raise DataError(
                f"{what} is the path {path}, but there is no file", hint="Write the file before you return its path."
            )
        meta = {"bytes": path.stat().st_size, "name": path.name}
        return Artifact(kind="file", digest=file_digest(path), blob=self._blobs.put(path), meta=meta)

    def _store_folder(self, path: Path, kind: Any, what: str) -> Artifact:
        if not path.is_dir():
            raise DataError(
                f"{what} is the path {path}, which is not a folder", hint="Write the folder before you return it."
            )
        files = sorted(file for file in path.rglob("*") if file.is_file())
        listing = [[file.relative_to(path).as_posix(), file_digest(file)] for file in files]
        digest = hashlib.sha256(canonical.encode(listing)).hexdigest()
        meta = {"files": len(files), "bytes": sum(file.stat().st_size for file in files), "name": path.name}
        return Artifact(kind=kind, digest=digest, blob=self._blobs.put_folder(path), meta=meta)

    def _scan(self, artifact: Artifact) -> Any:
        if artifact.rows is None:
            return self._datasets.scan(artifact)
        from mlopsfw.data.datasets.comparison import ranges

        return ranges.scan(self._datasets, artifact)

    def _lay_file(self, artifact: Artifact, folder: Path | None) -> Path:
        """Return the file under the name that the step returned: libraries choose a format by its suffix."""
        file = self._blobs.path(artifact.blob)
        if folder is None:
            return file
        place = _new_folder(folder) / Path(str(artifact.meta.get("name") or "file")).name
        place.symlink_to(file)
        return place

    def _lay_folder(self, artifact: Artifact, folder: Path | None) -> Path:
        place = _new_folder(folder) if folder else Path(tempfile.mkdtemp(prefix="mlopsfw-"))
        return self._blobs.get_folder(artifact.blob, place)


def type_name(wanted: Any) -> str:
    """Return `library.Class` of an annotation, or nothing if it does not choose a representation."""
    if wanted is None or isinstance(wanted, str):
        return wanted or ""
    if not isinstance(wanted, type):
        return ""
    library = wanted.__module__.partition(".")[0]
    full = f"{wanted.__module__}.{wanted.__qualname__}"
    return f"{library}.{wanted.__qualname__}" if library in (*_TABLE_LIBRARIES, "pathlib") else full


def _has_categories(schema: pl.Schema) -> bool:
    """Return whether a table has categories, for which each batch would hold a dictionary of its own."""
    import polars as pl

    found: list[Any] = list(schema.dtypes())
    while found:
        kind = found.pop()
        if kind == pl.Categorical:
            return True
        inner = getattr(kind, "inner", None)
        found += [inner] if inner is not None else [field.dtype for field in getattr(kind, "fields", ())]
    return False


def _arrow_table(value: Any, what: str) -> pa.Table:
    import pyarrow as pa

    kind = type(value).__name__
    library = type(value).__module__.partition(".")[0]
    if library == "polars" and kind == "DataFrame":
        table = value.to_arrow()
    elif library == "pandas" and kind == "DataFrame":
        table = pa.Table.from_pandas(value, preserve_index=False).replace_schema_metadata(None)
    elif isinstance(value, pa.RecordBatch):
        table = pa.Table.from_batches([value])
    elif isinstance(value, pa.Table):
        table = value
    else:
        raise DataError(f"{what} is a {library} {kind}", hint="Return a DataFrame, a LazyFrame or a pa.Table.")
    return table.combine_chunks().unify_dictionaries()


def _load_table(file: Path, kind: str, rows: tuple[int, int] | None) -> Any:
    if kind == "polars.LazyFrame":
        import polars as pl

        frame = pl.scan_ipc(file)
        return frame if rows is None else frame.slice(rows[0], rows[1] - rows[0])
    import pyarrow as pa

    with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
        table = reader.read_all() if rows is None else pa.Table.from_batches(_within(reader, *rows), reader.schema)
    if kind == "pyarrow.Table":
        return table
    if kind == "pandas.DataFrame":
        return table.to_pandas()
    return _frame(table)


def _within(reader: pa.RecordBatchFileReader, start: int, stop: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows from `start` to `stop`."""
    at = 0
    for number in range(reader.num_record_batches):
        if at >= stop:
            return
        batch = reader.get_batch(number)
        if at + batch.num_rows > start:
            first = max(start - at, 0)
            yield batch.slice(first, stop - at - first)
        at += batch.num_rows


def _frame(table: pa.Table) -> Any:
    import polars as pl

    frame = pl.from_arrow(table)
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def _as_frame(lazy: Any, kind: str) -> Any:
    if kind == "polars.LazyFrame":
        return lazy
    frame = lazy.collect()
    if kind == "pyarrow.Table":
        return frame.to_arrow()
    return frame.to_pandas() if kind == "pandas.DataFrame" else frame


def _new_folder(above: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="input-", dir=above))


def summary(artifacts: Mapping[str, Artifact]) -> str:
    """Return a few words about a step's results, for its line on the terminal."""
    return ", ".join(filter(None, (_words(name, artifact) for name, artifact in artifacts.items())))


def notes(artifacts: Mapping[str, Artifact]) -> list[str]:
    """Return the notes of a step on its results, such as that a model is worse than a baseline."""
    return [str(artifact.meta["note"]) for artifact in artifacts.values() if "note" in artifact.meta]


def _words(name: str, artifact: Artifact) -> str:
    if artifact.kind == "table":
        return f"{name}: {artifact.meta.get('rows', 0):,} rows"
    return f"{name}: {artifact.ref}" if artifact.ref else ""
