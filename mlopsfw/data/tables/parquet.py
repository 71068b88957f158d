"""Write one Parquet file: collect batches into row groups, and statistics for Delta's log."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING, Any

from mlopsfw.data.tables.manifest import DataFile

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP_ROWS = 1 << 17
_GROUP_BYTES = 32 << 20
_FILE_ROWS = 1 << 22
_FILE_BYTES = 1 << 29  # in memory; two to ten times less on disk
_STATISTICS = 32  # columns, as Delta's own default
_TEXT = 32  # characters of a bound; Delta cuts there, and a cut maximum would be no bound


class ParquetFile:
    """A file in progress: writes one row group while it collects the next.

    Args:
        path: Its name within the table.
        where: Its path in the file system.
        schema: The columns.
        filesystem: An Arrow file system, or None for this machine's.
    """

    def __init__(self, path: str, where: str, schema: pa.Schema, filesystem: Any) -> None:
        import pyarrow.parquet as pq

        self.path, self.rows = path, 0
        self._bytes = self._waiting_bytes = self._waiting_rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._schema, self._where, self._filesystem = schema, where, filesystem
        self._metadata: list[Any] = []
        self._beside: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None
        self._writer = pq.ParquetWriter(
            where,
            schema,
            filesystem=filesystem,
            compression="zstd",
            compression_level=1,
            store_schema=False,
            write_page_checksum=True,
            use_dictionary=_texts(schema),  # for numbers it starts slowly, and zstd does as well
            metadata_collector=self._metadata,
        )

    @property
    def is_full(self) -> bool:
        """Whether the next rows belong in another file."""
        return self.rows >= _FILE_ROWS or self._bytes >= _FILE_BYTES

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._waiting.append(batch)
        self.rows += batch.num_rows
        self._bytes += batch.nbytes
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= _GROUP_ROWS or self._waiting_bytes >= _GROUP_BYTES:
            self._flush_beside()

    def _flush_beside(self) -> None:
        """Pass the collected rows to a thread, once the previous row group is written: memory holds two."""
        self._settle()
        self._beside = self._beside or ThreadPoolExecutor(1)
        self._writing = self._beside.submit(self._flush, self._waiting)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def _settle(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _flush(self, batches: list[pa.RecordBatch]) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_batches(batches, self._schema), row_group_size=2 * _GROUP_ROWS)

    def close(self) -> None:
        """Write the collected rows and the footer. A second call does nothing."""
        if not self._writer.is_open:
            return
        self._settle()
        if self._waiting_rows:
            self._flush(self._waiting)
            self._waiting = []
        self._writer.close()
        self._dismiss()

    def abandon(self) -> None:
        """Close the file after a failure. Its content is useless."""
        self._dismiss()
        with contextlib.suppress(Exception):  # the first failure is the one to report
            self._writer.close()

    def _dismiss(self) -> None:
        if self._beside is not None:
            self._beside.shutdown()

    def describe(self, now: int) -> DataFile:
        """Return the closed file as the manifest and Delta's log record it; `now` in milliseconds."""
        metadata = self._metadata[0]
        return DataFile(path=self.path, rows=self.rows, size=self._size(), modified=now, stats=_statistics(metadata))

    def _size(self) -> int:
        import pyarrow.fs

        filesystem = self._filesystem or pyarrow.fs.LocalFileSystem()
        return int(filesystem.get_file_info(self._where).size)


def _texts(schema: pa.Schema) -> list[str]:
    import pyarrow.types as t

    return [field.name for field in schema if t.is_large_string(field.type) or t.is_string(field.type)]


def _statistics(metadata: Any) -> str:
    """Return Delta's per-file statistics: row count, nulls, and bounds of numbers, dates and short texts."""
    statistics: dict[str, Any] = {"numRecords": metadata.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    columns = [metadata.schema.column(i) for i in range(min(metadata.num_columns, _STATISTICS))]
    for index, column in enumerate(columns):
        if column.path != column.name:  # nested
            continue
        parts = [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]
        if parts and all(part is not None and part.has_null_count for part in parts):
            statistics["nullCount"][column.name] = sum(part.null_count for part in parts)
        bounded = [part for part in parts if part is not None and part.has_min_max]
        try:
            bounds = [_bound(value) for part in bounded for value in (part.min, part.max)]
        except (OverflowError, ValueError):  # a day outside Python's calendar
            continue
        if bounds and len(bounded) == len(parts) and None not in bounds:
            statistics["minValues"][column.name], statistics["maxValues"][column.name] = min(bounds), max(bounds)
    return json.dumps(statistics)


def _bound(value: Any) -> Any:
    if isinstance(value, bool):
        return None
    if isinstance(value, date) and type(value) is date:
        return value.isoformat()
    if isinstance(value, str):
        return value if len(value) <= _TEXT else None
    return value if isinstance(value, int) or (isinstance(value, float) and abs(value) < float("inf")) else None
