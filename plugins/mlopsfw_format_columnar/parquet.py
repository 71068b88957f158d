"""Parquet files as record batches of bounded size: a dictionary's long value may stand in a million rows for two bytes each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.formats import Allowance

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1 << 16  # of a batch, at most
_BYTES = 64 << 20  # of a batch, about, whatever its values are


def read_parquet(path: Path, allowance: Allowance) -> Iterator[pa.RecordBatch]:
    """Yield a batch without rows, which has the columns, then the rows. Raise `DataError` where the footer owns to a bomb."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        groups = range(file.num_row_groups)
        allowance.check(sum(file.metadata.row_group(group).total_byte_size for group in groups))
        yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)  # without rows there are no batches
        for group in groups:
            rows = max(1, min(_ROWS, _BYTES // max(1, _row_bytes(path, file.metadata, group))))
            yield from file.iter_batches(rows, row_groups=[group])


def _row_bytes(path: Path, metadata: Any, group: int) -> int:
    """Return the bytes of a row group's longest possible row, as far as its values stand in dictionaries or have one width."""
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    fixed = sum(int(column.length) for column in columns if column.physical_type == "FIXED_LEN_BYTE_ARRAY")
    chunks = map(metadata.row_group(group).column, range(metadata.num_columns))
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
