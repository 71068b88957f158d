"""Files that people have, as record batches: CSV, JSON lines, Parquet and Arrow IPC, chosen by suffix."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.data.intake.columnar import read_parquet
from mlopsfw.data.intake.csv import tolerant as csv_tolerant
from mlopsfw.data.intake.csv.options import CsvOptions
from mlopsfw.data.intake.csv.strict import read_csv
from mlopsfw.data.intake.decompress import Allowance
from mlopsfw.data.intake.excel.sheet import read_excel
from mlopsfw.data.intake.json import tolerant as json_tolerant
from mlopsfw.data.intake.json.strict import read_jsonl
from mlopsfw.data.intake.lakehouse import SourceTable
from mlopsfw.data.intake.open_file import inner_suffix
from mlopsfw.data.intake.paths import SourceFile, partition_types, with_partition
from mlopsfw.data.intake.type_inference import Guesses
from mlopsfw.kernel.base.errors import DataError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.intake.quarantine import Quarantine

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
    ".xlsx": "excel",
}
"""Suffix → format."""


def format_of(path: Path) -> str:
    """Return the format that a file's suffix names. Raise `UsageError`."""
    try:
        return FORMATS[inner_suffix(path)]
    except KeyError:
        raise UsageError(
            f"{path}: its suffix does not say what it is",
            hint=f"Known suffixes: {', '.join(FORMATS)}, each also with .gz or .zip.",
        ) from None


def read(
    files: Sequence[SourceFile | SourceTable],
    options: CsvOptions,
    guesses: Guesses,
    quarantine: Quarantine | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Yield the rows of `files`, one after the other; bad rows go to `quarantine`, or are errors without one.

    Raises:
        WrongGuess: What was guessed does not hold; read again, once `guesses` has learnt the error.
        DataError: A file is not there, cannot be read (with the line where it has lines), grows beyond its allowance, or changed while it was read.
    """
    types = partition_types([file for file in files if isinstance(file, SourceFile)])
    for file in files:
        if not isinstance(file, SourceFile):
            yield from file.read(options, quarantine)
            continue
        with called(file), _unchanged(file.path):
            batches = _read_file(file, options, guesses, quarantine)
            yield from with_partition(batches, file, types) if file.partition else batches


@contextlib.contextmanager
def called(file: SourceFile) -> Iterator[None]:
    """Call a copy in errors what it is a copy of."""
    try:
        yield
    except DataError as error:
        if file.shown:
            error.message = error.message.replace(str(file.path), file.shown)
        raise


def _read_file(
    file: SourceFile, options: CsvOptions, guesses: Guesses, quarantine: Quarantine | None
) -> Iterator[pa.RecordBatch]:
    path, kinds = file.path, options.expected | options.types
    texts = {name for name, kind in kinds.items() if kind == "string"}
    match format_of(path):
        case "csv" if quarantine:
            return csv_tolerant.read_csv(path, options, guesses.columns, quarantine)
        case "csv":
            return read_csv(path, options, guesses.columns)
        case "jsonl" if quarantine:
            return json_tolerant.read_jsonl(path, options.max_ratio, quarantine, texts)
        case "jsonl":
            return read_jsonl(path, options.max_ratio, guesses.schema(path), texts)
        case "excel":
            return read_excel(path, file.sheet, options)
        case kind:
            return _read_arrow(path, kind, options.max_ratio)


@contextlib.contextmanager
def _unchanged(path: Path) -> Iterator[None]:
    try:
        before = path.stat()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    yield
    after = path.stat()
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        raise DataError(
            f"{path} changed while it was read", hint="Nothing was committed; try again once it is at rest."
        )


def _read_arrow(path: Path, kind: str, max_ratio: float) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    allowance = Allowance(path, max_ratio)
    try:
        for batch in read_parquet(path, allowance) if kind == "parquet" else read_ipc(path):
            allowance.spend(batch.nbytes)
            yield sound(batch)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise DataError(f"{path} cannot be read as {kind}: {error}") from None


def read_ipc(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield a batch without rows, which has the columns, then the rows of an Arrow IPC file or stream, as they are. Raise Arrow's errors."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as raw:
        is_file = raw.read(6) == b"ARROW1"
        raw.seek(0)
        if is_file:
            file = pa.ipc.open_file(raw)
            batches = (file.get_batch(index) for index in range(file.num_record_batches))
            schema = file.schema
        else:
            batches = pa.ipc.open_stream(raw)
            schema = batches.schema
        yield without_rows(schema)
        yield from batches


def without_rows(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch that has the columns alone, dictionaries of views of texts among them."""
    import pyarrow as pa

    chunks = [
        column.chunk(0) if column.num_chunks else column.combine_chunks() for column in schema.empty_table().columns
    ]
    return pa.RecordBatch.from_arrays(chunks, schema=schema)


def sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch if its buffers are what they should be: a stranger's offsets may point anywhere, his text be no text."""
    batch.validate(full=True)
    return batch
