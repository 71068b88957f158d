"""Parquet files as record batches of bounded size: a dictionary's long value may stand in a million rows for two bytes each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.formats import Allowance
from mlopsfw.roles import FileFacts

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1 << 18  # of a batch, at most
_BYTES = 64 << 20  # of a batch, about, whatever its values are


def parquet_facts(path: Path) -> FileFacts:
    """Return what the footer says."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return FileFacts(schema=file.schema_arrow, rows=file.metadata.num_rows)


def read_parquet(path: Path, allowance: Allowance, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield a batch without rows, which has the columns, then the rows. Raise `DataError` where the footer owns to a bomb.

    Args:
        path: The file.
        allowance: How far it may unpack.
        names: The columns that are wanted; empty for all.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        groups = range(file.num_row_groups)
        allowance.check(sum(file.metadata.row_group(group).total_byte_size for group in groups))
        yield _columns(file.schema_arrow, names)  # without rows there are no batches
        for group in groups:
            longest = max(_mean_bytes(file.metadata, group), _row_bytes(path, file.metadata, group, names))
            rows = max(1, min(_ROWS, _BYTES // max(1, longest)))
            for batch in file.iter_batches(rows, row_groups=[group], columns=names or None):
                yield batch.select(names) if names else batch


def _columns(schema: pa.Schema, names: list[str]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([], schema=pa.schema([schema.field(name) for name in names]) if names else schema)


def _mean_bytes(metadata: Any, group: int) -> int:
    """Return about how many bytes a row of a group takes."""
    return int(metadata.row_group(group).total_byte_size // max(1, metadata.row_group(group).num_rows))


def _row_bytes(path: Path, metadata: Any, group: int, names: list[str]) -> int:
    """Return the bytes of a row group's longest possible row, as far as its values stand in dictionaries or have one width."""
    leaves = [(index, metadata.schema.column(index)) for index in range(metadata.num_columns)]
    wanted = [
        index for index, column in leaves if not names or column.path.partition(".")[0] in names or column.path in names
    ]
    columns = [metadata.schema.column(index) for index in wanted]
    fixed = sum(int(column.length) for column in columns if column.physical_type == "FIXED_LEN_BYTE_ARRAY")
    chunks = map(metadata.row_group(group).column, wanted)
    coded = [
        column.path
        for column, chunk in zip(columns, chunks, strict=True)
        if column.physical_type == "BYTE_ARRAY" and column.path == column.name and "RLE_DICTIONARY" in _encodings(chunk)
    ]
    return fixed + (_longest(path, coded, group) if coded else 0)


def _encodings(chunk: Any) -> set[str]:
    """Return how a chunk's values are written; files of before 2015 have another name for dictionaries."""
    return {encoding.replace("PLAIN_DICTIONARY", "RLE_DICTIONARY") for encoding in chunk.encodings}


def _longest(path: Path, columns: list[str], group: int) -> int:
    """Return the summed lengths of the longest value of each column's dictionary, which its first row brings along whole."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, read_dictionary=columns) as file:
        first = next(file.iter_batches(1, row_groups=[group], columns=columns), None)
    values: list[Any] = (
        [column.dictionary for column in first.columns if pa.types.is_dictionary(column.type)] if first else []
    )
    return sum(int(pc.max(pc.binary_length(texts)).as_py() or 0) for texts in values)
