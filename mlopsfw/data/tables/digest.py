"""The digest of a table's logical content: equal tables have equal digests, however they are chunked or encoded.

`table_digest` covers column names and their order, logical types, nulls, values and the order of rows. It ignores chunking, slicing,
padding, values under a null, dictionary or run-end encoding, schema metadata, nullability flags, and whether text is `string`,
`large_string` or `string_view`. All NaN are equal; -0.0 and 0.0 differ.

Rows are taken in blocks of 65,536. In a block each column has running SHA-256 sums (positions of nulls, lengths, values), and the table's
digest covers the blocks' digests. So every split into batches gives the same digest, memory stays at one batch, and appending rows to a
known table hashes only these rows and the last, unfinished block. `file_digest` covers a file's bytes. Arrow and NumPy are imported on
first use.

"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mlopsfw.data.tables.logical import ColumnSums, column_sums, logical_type
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
else:
    pa = lazy("pyarrow")

FORMAT = "mlopsfw-table-digest-1"
BLOCK = 1 << 16
"""Rows in a block; part of the format."""
_PARALLEL_BYTES = 1 << 22  # below this, starting threads costs more than it saves
_PARALLEL_COLUMN = 1 << 12  # likewise for passing a column to a thread


def table_digest(rows: Any) -> str:
    """Return the sha256 (hex) of the logical content of `rows`.

    Args:
        rows: A `pa.Table`, `pa.RecordBatch`, `pa.RecordBatchReader`, `pl.DataFrame`, `pl.LazyFrame` (streamed), or anything
            else that speaks Arrow's C stream; or an iterable of those (not empty).

    Raises:
        DataError: A column's type has no logical content (a union), or batches differ in schema.
    """
    digest: TableDigest | None = None
    for batch in record_batches(rows):
        digest = digest or TableDigest(batch.schema)
        digest.update(batch)
    if digest is None:
        raise DataError("there are no batches, and so no schema: the digest of an empty table depends on its schema")
    return digest.finish()[0]


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_batches(rows: Any) -> Iterator[pa.RecordBatch]:
    """Yield `rows` (see `table_digest`) as record batches. A table without rows yields one empty batch, to carry its schema."""
    import pyarrow as pa

    if isinstance(rows, pa.RecordBatch):
        yield rows
    elif hasattr(rows, "collect_batches"):  # a LazyFrame; its engine streams
        yield from record_batches(computed(rows))
    elif hasattr(rows, "__arrow_c_stream__"):
        yield from _or_empty(pa.RecordBatchReader.from_stream(rows))
    elif isinstance(rows, Iterable):
        for part in rows:
            yield from record_batches(part)
    else:
        raise DataError(f"a {type(rows).__name__} holds no Arrow data", hint="Pass a table, a frame or record batches.")


def computed(frame: Any) -> Iterator[Any]:
    """Yield the result of a `pl.LazyFrame` in parts, in order: at least one `pl.DataFrame`, to carry the columns."""
    empty = True
    for part in frame.collect_batches(maintain_order=True, engine="streaming"):
        empty = False
        yield part
    if empty:
        yield frame.head(0).collect()


def _or_empty(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    empty = True
    for batch in reader:
        empty = False
        yield batch
    if empty:
        yield pa.RecordBatch.from_pylist([], schema=reader.schema)


class TableDigest:
    """A running digest of a table.

    Args:
        schema: The table's Arrow schema; batches must agree with it up to encoding.
        blocks: Digests of the full blocks before the first row to add, to continue a table that has them.
    """

    def __init__(self, schema: pa.Schema, blocks: Sequence[str] = ()) -> None:
        self.rows = len(blocks) * BLOCK
        self._schema = schema  # the last schema that agreed
        self._kinds = [field.type for field in schema]
        self._types = [logical_type(kind) for kind in self._kinds]
        self._names = list(schema.names)
        self._blocks = list(blocks)
        self._columns: list[ColumnSums] = []  # of the block in progress

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of `batch`, in order."""
        self._agree(batch.schema)
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, BLOCK - self.rows % BLOCK)
            self._add(part)
            start += part.num_rows
            if self.rows % BLOCK == 0:
                self._blocks.append(self._finish())

    def _agree(self, schema: pa.Schema) -> None:
        if schema.equals(self._schema):
            return
        types = [logical_type(field.type) for field in schema]
        if types != self._types or schema.names != self._names:
            raise DataError(f"a batch has the columns {schema.names} of {types}, not {self._names} of {self._types}")
        self._schema = schema

    def _add(self, part: pa.RecordBatch) -> None:
        self.rows += part.num_rows
        self._columns = self._columns or [column_sums(kind) for kind in self._kinds]
        pairs = list(zip(self._columns, part.columns, strict=True))
        if part.nbytes < max(_PARALLEL_BYTES, part.num_columns * _PARALLEL_COLUMN) or part.num_columns == 1:
            for column, values in pairs:
                column.update(values)
            return
        with ThreadPoolExecutor(2) as pool:  # hashing releases the GIL
            list(pool.map(lambda pair: pair[0].update(pair[1]), pairs))

    def _finish(self) -> str:
        sums = [column.hexdigest() for column in self._columns or map(column_sums, self._kinds)]
        self._columns = []
        return hashlib.sha256("".join(sums).encode()).hexdigest()

    def finish(self) -> tuple[str, list[str]]:
        """Return the digest (64 hex digits) and the digests of the full blocks, for `blocks`. No rows may be added afterwards."""
        full = list(self._blocks)
        blocks = [*full, self._finish()] if self.rows % BLOCK else full
        columns = list(zip(self._names, self._types, strict=True))
        return hashlib.sha256(json.dumps([FORMAT, columns, self.rows, blocks]).encode()).hexdigest(), full
