"""Merge new rows with the present ones into one table: which rows go, which files are rewritten, and the digest of the content.

Order: the present rows keep their order, without those that a new row replaces. The new rows follow in the order in which they came; of
several with one key the last stays. A file that loses no row stays unchanged. Other files are copied without these rows, batch by batch.
Memory holds the keys of the new rows, and one batch.

"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlopsfw.data.tables import columns
from mlopsfw.data.tables.digest import BLOCK, TableDigest, record_batches
from mlopsfw.data.tables.manifest import DataFile, Manifest

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.tables.files import TableFiles

_ROW = "\0row"


class Merge:
    """A table merged from two.

    Args:
        files: The files of the dataset.
        schema: The columns of the result. Files with other columns are rewritten.
        manifest: The version that the load changes.
    """

    def __init__(self, files: TableFiles, schema: pa.Schema, manifest: Manifest) -> None:
        self._files, self._schema, self._known = files, schema, manifest
        self._retyped = manifest.schema != schema.serialize().to_pybytes()
        self.made: list[DataFile] = []

    def content(self, added: Sequence[DataFile], key: Sequence[str], column: str, limit: Any) -> tuple[str, Manifest]:
        """Return the digest and the files of the old rows followed by `added`.

        Args:
            added: Files of `schema`.
            key: The columns of the key; empty to keep all rows.
            column: The watermark; empty for none.
            limit: Leave out rows of `added` up to this value; None for no limit.
        """
        import numpy as np

        none = np.empty(0, np.int64)
        late = _below(self._files.scan(added), column, limit) if limit is not None else none
        double, superseded = self._superseded(added, key, late) if key else (none, none)
        fresh = self._without(added, np.union1d(late, double), anew=False)
        old = self._without(self._known.files, superseded, anew=self._retyped)
        first = 0 if self._retyped else int(superseded[0]) if len(superseded) else self._known.rows
        remaining = tuple(file for file in (*old, *fresh) if file.rows)
        return self.digest(remaining or self.empty(), first)

    def empty(self) -> tuple[DataFile, ...]:
        """Return a file without rows: a table has at least one, to carry its schema."""
        files = self._files.write((), self._schema)
        self.made.extend(files)
        return files

    def _superseded(self, added: Sequence[DataFile], key: Sequence[str], late: np.ndarray) -> tuple[Any, Any]:
        """Return the new rows that a later one replaces, and the old rows that a new one replaces, as sorted positions."""
        import polars as pl

        new = self._files.scan(added).select(key).with_row_index(_ROW).collect(engine="streaming")
        new = new.filter(~pl.col(_ROW).is_in(late)) if len(late) else new
        last = (pl.struct(list(key)) if len(key) > 1 else pl.col(key[0])).is_last_distinct()
        double = new.filter(~last)[_ROW].to_numpy()
        keys = new.select(key).lazy()
        if not self._known.files:
            return double, double[:0]
        old = self._files.scan(self._known.files)
        if not set(key) <= set(old.collect_schema()):  # the key is new to the dataset: no row has it
            return double, double[:0]
        old = old.select(key).cast(keys.collect_schema())
        matches = old.with_row_index(_ROW).join(keys, on=list(key), how="semi", nulls_equal=True).select(_ROW)
        return double, matches.collect(engine="streaming")[_ROW].sort().to_numpy()

    def _without(self, files: Sequence[DataFile], removed: np.ndarray, *, anew: bool) -> tuple[DataFile, ...]:
        """Return `files` without the rows at the positions `removed`. Rewrite only files that hold such rows, or all if `anew`."""
        remaining: list[DataFile] = []
        start = 0
        for file in files:
            low, high = removed.searchsorted([start, start + file.rows])
            if anew or low < high:
                copies = self._files.write(self._left(file, removed[low:high] - start), self._schema)
                self.made.extend(copies)
                remaining.extend(copy for copy in copies if copy.rows)
            else:
                remaining.append(file)
            start += file.rows
        return tuple(remaining)

    def _left(self, file: DataFile, removed: np.ndarray) -> Iterator[pa.RecordBatch]:
        import numpy as np
        import pyarrow as pa

        start = 0
        for batch in record_batches(self._files.scan([file])):
            low, high = removed.searchsorted([start, start + batch.num_rows])
            stays = np.ones(batch.num_rows, bool)
            stays[removed[low:high] - start] = False
            start += batch.num_rows
            whole = columns.fit(columns.complete(batch, self._schema), self._schema, "the dataset")
            remaining = whole.filter(pa.array(stays)) if low < high else whole
            if remaining.num_rows:
                yield remaining

    def digest(self, files: tuple[DataFile, ...], first: int) -> tuple[str, Manifest]:
        """Return the content of `files`. Rows before the position `first` are unchanged, so the digests of their blocks are reused."""
        old_blocks = self._known.blocks[: first // BLOCK]
        digest = TableDigest(self._schema, old_blocks)
        for batch in record_batches(self._files.after(files, len(old_blocks) * BLOCK)):
            digest.update(columns.fit(batch, self._schema, "the dataset"))
        total, blocks = digest.finish()
        schema = self._schema.serialize().to_pybytes()
        return total, Manifest(schema=schema, files=files, blocks=tuple(blocks))


def _below(rows: pl.LazyFrame, column: str, limit: Any) -> Any:
    import polars as pl

    late = rows.select(column).with_row_index(_ROW).filter(pl.col(column) <= pl.lit(limit)).select(_ROW)
    return late.collect(engine="streaming")[_ROW].sort().to_numpy()
