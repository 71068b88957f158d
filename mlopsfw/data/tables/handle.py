"""`TableHandle`: a table as `mlopsfw.roles.TrainingData`, of which no row is read before someone asks for rows."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import nearest, new_run_id

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.tables.row_order import Window


class TableHandle:
    """Implements `mlopsfw.roles.TrainingData` on a lazy frame.

    Args:
        frame: The rows. A slice of it must read little more than the slice, as those of Parquet and Arrow files do.
        rows: The number of rows.
        digest: The digest of the content.
        copy: Where a copy of the rows is written, as an Arrow file, before batches are read; None reads them from `frame`. For
            formats that can only be read from the beginning.
    """

    def __init__(self, frame: pl.LazyFrame, rows: int, digest: str, copy: Path | None = None) -> None:
        self._frame, self.rows, self.digest, self._copy = frame, rows, digest, copy

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Self:
        """Return a table in memory as a handle."""
        from mlopsfw.data.tables.digest import table_digest

        return cls(rows.lazy(), rows.height, table_digest(rows))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the handle whose `to_bytes` gave `data`, in another process of this machine."""
        import polars as pl

        size = int.from_bytes(data[:8], "little")
        rows, digest = json.loads(data[8 : 8 + size])
        return cls(pl.LazyFrame.deserialize(io.BytesIO(data[8 + size :])), rows, digest)

    def to_bytes(self) -> bytes:
        """Return where the rows lie, for another process of this machine. A table in memory is written whole."""
        head = json.dumps([self.rows, self.digest]).encode()
        return len(head).to_bytes(8, "little") + head + self._by_slices().serialize()

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns."""
        import polars as pl

        return pl.DataFrame(schema=self._frame.collect_schema()).to_arrow().schema

    def lazy(self) -> pl.LazyFrame:
        """Return the rows as a lazy frame."""
        return self._frame

    def part(self, columns: Sequence[str], start: int, rows: int) -> pl.DataFrame:
        """Return `rows` rows from `start` on, or those that are left."""
        return self._selected(self._by_slices(), columns).slice(start, rows).collect()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows, with `columns` or all. Raise `DataError` for a column that there is not."""
        return self._selected(self._frame, columns).collect().to_arrow()

    def batches(
        self,
        *,
        columns: Sequence[str] | None = None,
        size: int = 8192,
        seed: int | None = None,
        epoch: int = 0,
        shard: tuple[int, int] = (0, 1),
        start: int = 0,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one epoch; see `mlopsfw.roles.TrainingData.batches`."""
        from mlopsfw.data.tables.row_order import Order, block_sizes

        _check(size, epoch, shard, start)
        frame = self._selected(self._by_slices(), columns)
        windows = Order(sizes=block_sizes(self.rows), seed=seed, epoch=epoch, shard=shard).windows()
        return _batches(frame, windows, size, start * size)

    def _selected(self, frame: pl.LazyFrame, columns: Sequence[str] | None) -> pl.LazyFrame:
        if columns is None:
            return frame
        if not columns:
            raise UsageError("no column was asked for", hint="Name at least one column.")
        for name in columns:
            if name not in self.schema.names:
                raise DataError(f"the table has no column {name!r}", hint=nearest(name, self.schema.names))
        return frame.select(columns)

    def _by_slices(self) -> pl.LazyFrame:
        """Return the rows so that a slice of them reads little else."""
        if self._copy is None:
            return self._frame
        import polars as pl

        if not self._copy.exists():
            partial = self._copy.with_name(f"{self._copy.name}.{new_run_id()}")  # processes may write it side by side
            self._frame.sink_ipc(partial, compression="zstd")
            partial.replace(self._copy)
        return pl.scan_ipc(self._copy)


def _check(size: int, epoch: int, shard: tuple[int, int], start: int) -> None:
    rank, of = shard
    if size < 1 or epoch < 0 or start < 0:
        raise UsageError(f"size is at least 1, epoch and start at least 0, not {size}, {epoch} and {start}")
    if not 0 <= rank < of:
        raise UsageError(f"shard is (rank, of) with 0 <= rank < of, not {shard!r}")


def _batches(frame: pl.LazyFrame, windows: Iterator[Window], size: int, skipped: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `windows`, without the first `skipped`."""
    import polars as pl

    waiting: pl.DataFrame | None = None
    for window in windows:
        if skipped >= window.rows:
            skipped -= window.rows
            continue
        rows = _read(frame, window)[skipped:]
        skipped = 0
        waiting = rows if waiting is None else pl.concat([waiting, rows])
        whole = waiting.height - waiting.height % size
        for at in range(0, whole, size):
            yield _batch(waiting.slice(at, size))
        waiting = waiting.slice(whole)
    if waiting is not None and waiting.height:
        yield _batch(waiting)


def _read(frame: pl.LazyFrame, window: Window) -> pl.DataFrame:
    import polars as pl

    from mlopsfw.data.tables.row_order import BLOCK

    slices = [frame.slice(block * BLOCK + start, stop - start) for block, start, stop in window.ranges]
    rows = pl.concat(slices).collect()
    order = window.permutation()
    return rows if order is None else rows[order]


def _batch(rows: pl.DataFrame) -> pa.RecordBatch:
    return rows.to_arrow().combine_chunks().to_batches()[0]
