"""One digest for one logical content: what two tables must share to be called equal, however they were chunked or encoded.

`table_digest` covers column names and their order, logical types, nulls, values and the order of rows. It does not see
chunking, slicing, padding, what lies under a null, dictionary or run-end encoding, schema metadata, nullability flags, nor
whether text is `string`, `large_string` or `string_view`. Every NaN counts as the same NaN; -0.0 and 0.0 are different values.

Rows are taken in blocks of 65,536. In a block each column has running SHA-256 sums (positions of nulls, lengths, values), and the
table's digest is over the blocks' digests. So any split into batches gives the same digest, memory stays at one batch, and rows
appended to a known table cost only themselves and the last, unfinished block. Digests of files and bytes are `mlopsfw.blobs`'
business. Arrow and NumPy are imported on first use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "mlopsfw-table-digest-1"
BLOCK = 1 << 16
"""Rows in a block; part of the format."""
_PARALLEL_BYTES = 1 << 22  # below this, starting threads costs more than it saves


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
        raise DataError("no batches, so no schema: an empty table cannot be told from any other")
    return digest.finish()[0]


def record_batches(rows: Any) -> Iterator[pa.RecordBatch]:
    """Yield `rows` (see `table_digest`) as record batches; a table without rows yields one empty batch, to carry its schema."""
    import pyarrow as pa

    if isinstance(rows, pa.RecordBatch):
        yield rows
    elif hasattr(rows, "collect_batches"):  # a LazyFrame; its engine streams
        yield from _lazy_batches(rows)
    elif hasattr(rows, "__arrow_c_stream__"):
        yield from _or_empty(pa.RecordBatchReader.from_stream(rows))
    elif isinstance(rows, Iterable):
        for part in rows:
            yield from record_batches(part)
    else:
        raise DataError(f"a {type(rows).__name__} holds no Arrow data", hint="Give a table, a frame or record batches.")


def _lazy_batches(frame: Any) -> Iterator[pa.RecordBatch]:
    empty = True
    for part in frame.collect_batches(maintain_order=True, engine="streaming"):
        empty = False
        yield from record_batches(part)
    if empty:
        yield from record_batches(frame.head(0).collect())


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
        blocks: Digests of the full blocks before the first row that will be added, to go on with a table that has them.
    """

    def __init__(self, schema: pa.Schema, blocks: Sequence[str] = ()) -> None:
        self.rows = len(blocks) * BLOCK
        self._kinds = [field.type for field in schema]
        self._types = [logical_type(kind) for kind in self._kinds]
        self._names = list(schema.names)
        self._blocks = list(blocks)
        self._columns = [_column(kind) for kind in self._kinds]

    def update(self, batch: pa.RecordBatch) -> None:
        """Add the rows of `batch`, in order."""
        types = [logical_type(field.type) for field in batch.schema]
        if types != self._types or batch.schema.names != self._names:
            raise DataError(
                f"a batch has the columns {batch.schema.names} of {types}, not {self._names} of {self._types}"
            )
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, BLOCK - self.rows % BLOCK)
            self._add(part)
            start += part.num_rows
            if self.rows % BLOCK == 0:
                self._blocks.append(self._finish())

    def _add(self, part: pa.RecordBatch) -> None:
        self.rows += part.num_rows
        pairs = zip(self._columns, part.columns, strict=True)
        if part.nbytes < _PARALLEL_BYTES or part.num_columns < 2:  # noqa: PLR2004 - nothing to share
            for column, values in pairs:
                column.update(values)
            return
        with ThreadPoolExecutor(2) as pool:  # hashing releases the GIL
            list(pool.map(lambda pair: pair[0].update(pair[1]), pairs))

    def _finish(self) -> str:
        sums = [column.hexdigest() for column in self._columns]
        self._columns = [_column(kind) for kind in self._kinds]
        return hashlib.sha256("".join(sums).encode()).hexdigest()

    def finish(self) -> tuple[str, list[str]]:
        """Return the digest (64 hex digits) and the digests of the full blocks, which `blocks` takes. Add no more rows."""
        full = list(self._blocks)
        blocks = [*full, self._finish()] if self.rows % BLOCK else full
        columns = list(zip(self._names, self._types, strict=True))
        return hashlib.sha256(json.dumps([FORMAT, columns, self.rows, blocks]).encode()).hexdigest(), full


def logical_type(kind: pa.DataType) -> str:
    """Return the name of a type without its encoding: `utf8` for every kind of text, a dictionary's value type for it."""
    import pyarrow.types as t

    kind = _decoded(kind)
    if t.is_union(kind):
        raise DataError(f"a column of type {kind} cannot be digested", hint="Split the union into one column per type.")
    if t.is_nested(kind):
        return _nested_type(kind)
    if _is_text(kind):
        return "utf8"
    return "binary" if _is_bytes(kind) else str(kind)


def _nested_type(kind: pa.DataType) -> str:
    import pyarrow.types as t

    if t.is_struct(kind):
        return f"struct{json.dumps([[f.name, logical_type(f.type)] for f in kind])}"
    if t.is_map(kind):
        return f"map[{logical_type(kind.key_type)},{logical_type(kind.item_type)}]"
    size = f":{kind.list_size}" if t.is_fixed_size_list(kind) else ""
    return f"list{size}[{logical_type(kind.value_type)}]"


def _decoded(kind: pa.DataType) -> pa.DataType:
    import pyarrow.types as t

    while True:
        if isinstance(kind, _arrow().BaseExtensionType):
            kind = kind.storage_type
        elif t.is_dictionary(kind) or t.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def _arrow() -> Any:
    import pyarrow as pa

    return pa


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return bool(t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind))


def decoded(values: pa.Array) -> pa.Array:
    """Return the values without extension, dictionary, run-end encoding or views."""
    import pyarrow.compute as pc
    import pyarrow.types as t

    while True:
        if isinstance(values.type, _arrow().BaseExtensionType):
            values = values.storage
        elif t.is_dictionary(values.type):
            values = decoded(values.dictionary).take(values.indices)
        elif t.is_run_end_encoded(values.type):
            values = pc.run_end_decode(values)
        elif t.is_string_view(values.type):  # few kernels take views
            values = values.cast(_arrow().large_string())
        elif t.is_binary_view(values.type):
            values = values.cast(_arrow().large_binary())
        else:
            return values


def _column(kind: pa.DataType) -> _Column:
    import pyarrow.types as t

    kind = _decoded(kind)
    if _is_text(kind) or _is_bytes(kind):
        return _Variable()
    if t.is_struct(kind):
        return _Struct([_column(field.type) for field in kind])
    if t.is_nested(kind):
        return _List(_column(kind.value_type if not t.is_map(kind) else _entries(kind)))
    return _Null() if t.is_null(kind) else _Fixed()


def _entries(kind: pa.DataType) -> pa.DataType:
    return _arrow().struct([("key", kind.key_type), ("value", kind.item_type)])


class _Column:
    """The running sums of one column: how many rows, where the nulls are, and what the kinds below add."""

    def __init__(self) -> None:
        self.rows = 0
        self.nulls = hashlib.sha256()
        self.sums = [hashlib.sha256()]

    def update(self, values: pa.Array) -> None:
        import pyarrow.compute as pc

        values = decoded(values)
        if nulls := values.null_count:
            positions = pc.indices_nonzero(values.is_null(nan_is_null=False)).to_numpy()
            self.nulls.update((positions + self.rows).data.cast("B"))
        self.rows += len(values)
        if len(values) > nulls:
            self.add(values.drop_null() if nulls else values)

    def add(self, values: pa.Array) -> None:
        """Add values, none of which is null."""

    def parts(self) -> list[Any]:
        return [total.hexdigest() for total in self.sums]

    def hexdigest(self) -> str:
        return hashlib.sha256(json.dumps([self.rows, self.nulls.hexdigest(), *self.parts()]).encode()).hexdigest()


class _Null(_Column):
    """A column of the null type: its length is its content."""

    def update(self, values: pa.Array) -> None:
        self.rows += len(values)


class _Fixed(_Column):
    """Values of fixed width: numbers, booleans, times, decimals."""

    def add(self, values: pa.Array) -> None:
        import pyarrow.types as t

        if t.is_boolean(values.type):  # bit-packed: a slice may begin within a byte
            values = values.cast("uint8")
        elif t.is_floating(values.type):
            values = _one_nan(values)
        width = values.type.bit_width // 8
        start = values.offset * width
        self.sums[0].update(memoryview(values.buffers()[1])[start : start + len(values) * width])


def _one_nan(values: pa.Array) -> pa.Array:
    """Return the floats with every NaN written in the same bits."""
    import numpy as np

    numbers = values.to_numpy()
    where = np.isnan(numbers)
    if not where.any():
        return values
    return _arrow().array(np.where(where, numbers.dtype.type(np.nan), numbers), values.type)


class _Variable(_Column):
    """Text and bytes: their lengths, and their bytes without the offsets that chunking changes."""

    def __init__(self) -> None:
        super().__init__()
        self.sums.append(hashlib.sha256())

    def add(self, values: pa.Array) -> None:
        import numpy as np

        pa = _arrow()
        values = values.cast(pa.large_string() if _is_text(values.type) else pa.large_binary())
        _, places, data = values.buffers()
        offsets = np.frombuffer(places, np.int64, len(values) + 1, values.offset * 8)
        self.sums[0].update(np.diff(offsets).data.cast("B"))
        if data is not None:
            self.sums[1].update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])


class _List(_Column):
    """Lists: their lengths, and all their items as one column."""

    def __init__(self, items: _Column) -> None:
        super().__init__()
        self.items = items

    def add(self, values: pa.Array) -> None:
        import pyarrow.compute as pc
        import pyarrow.types as t

        if t.is_map(values.type):
            values = values.cast(_arrow().list_(_entries(values.type)))
        lengths = pc.list_value_length(values).cast("int64").to_numpy()
        self.sums[0].update(lengths.data.cast("B"))
        self.items.update(values.flatten())

    def parts(self) -> list[Any]:
        return [*super().parts(), self.items.hexdigest()]


class _Struct(_Column):
    """Structs: each field as a column of the rows where the struct itself is there."""

    def __init__(self, fields: list[_Column]) -> None:
        super().__init__()
        self.fields = fields

    def add(self, values: pa.Array) -> None:
        for column, field in zip(self.fields, values.flatten(), strict=True):
            column.update(field)

    def parts(self) -> list[Any]:
        return [field.hexdigest() for field in self.fields]
