"""Plain tables: append and scan, without versions in the ledger. Captured predictions and labels use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.disk import as_storage_error
from mlopsfw.data.tables import columns
from mlopsfw.data.tables.digest import record_batches
from mlopsfw.data.tables.local import check_room
from mlopsfw.data.tables.opening import open_files
from mlopsfw.kernel.base.errors import NotFound, StorageUnavailable

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from deltalake import DeltaTable

    from mlopsfw.data.tables.files import TableFiles
    from mlopsfw.kernel.store.table_locations import TableLocations

_TRIES = 20  # consecutive lost races; delta-rs itself tries each 15 times


class PlainTables:
    """Implements `mlopsfw.roles.Tables` on a storage. Later appends may add columns; older rows have nulls in them.

    Args:
        locations: Returns the tables' locations.
    """

    def __init__(self, locations: TableLocations) -> None:
        self._locations = locations

    def check(self, name: str) -> None:
        """Raise `TablesUnsupported` where no such table may lie."""
        self._locations.find(name)

    def append(self, name: str, rows: Any) -> int:
        """Append `rows` (any input of `mlopsfw.data.tables.digest.record_batches`) durably; return the table's new version.

        Raises:
            DataError: A column cannot be stored, or has another type than the table's.
            StorageUnavailable: Other writers were faster in every attempt.
        """
        files = open_files(self._locations, name)
        batches = list(record_batches(rows))
        for _ in range(_TRIES):
            version = _try_append(files, batches, name)
            if version is not None:
                return version
        raise StorageUnavailable(f"table {name!r}: other writers came first {_TRIES} times", hint="Try again.")

    def scan(self, name: str, version: int | None = None) -> pl.LazyFrame:
        """Return the rows lazily, in no particular order. Raise `NotFound`."""
        from deltalake.exceptions import DeltaError

        files = open_files(self._locations, name)
        with files.delta() as place:
            try:
                table = place.open(version)
            except DeltaError as error:
                if version is None:
                    raise
                raise NotFound(f"table {name!r} has no version {version}: {error}") from None
            if table is None:
                raise NotFound(f"there is no table {name!r} in {self._locations.storage.describe()}")
            return files.rows(table)

    def read(self, name: str, version: int | None = None) -> pa.RecordBatchReader:
        """Yield the rows as Arrow record batches. Raise `NotFound`."""
        import polars as pl
        import pyarrow as pa

        rows = self.scan(name, version)
        schema = pl.DataFrame(schema=rows.collect_schema()).to_arrow().schema
        batches = (batch for part in rows.collect_batches() for batch in part.to_arrow().cast(schema).to_batches())
        return pa.RecordBatchReader.from_batches(schema, batches)

    def exists(self, name: str) -> bool:
        """Return whether anything was ever appended to the table."""
        return _exists(open_files(self._locations, name))


def _fitted(batches: Sequence[pa.RecordBatch], table: DeltaTable | None, name: str) -> pa.Table:
    """Return the rows in the table's types, or in stored types for new columns. Refuses values that would change.

    A new column of only nulls has no type yet, so it is left out.
    """
    import pyarrow as pa

    types = {} if table is None else {field.name: field.type for field in pa.schema(table.schema())}
    fields = [f for f in batches[0].schema if f.name in types or not pa.types.is_null(f.type)]
    schema_wanted = columns.stored_schema(pa.schema([pa.field(f.name, types.get(f.name, f.type)) for f in fields]))
    parts = [columns.fit(batch.select(schema_wanted.names), schema_wanted, f"table {name!r}") for batch in batches]
    return pa.Table.from_batches(parts, schema_wanted)


def _try_append(files: TableFiles, batches: Sequence[pa.RecordBatch], name: str) -> int | None:
    """Append once; return the version, or None if another writer created or changed the table meanwhile."""
    from deltalake import write_deltalake
    from deltalake.exceptions import CommitFailedError

    with files.delta() as place:
        table, version = place.open(), 0
        rows = _fitted(batches, table, name)
        try:
            with as_storage_error(f"writing to {files.shown}"):
                if files.folder is not None:
                    check_room(files.folder)
                if table is not None:
                    write_deltalake(table, rows, mode="append", schema_mode="merge")
                    version = table.version()
                else:
                    write_deltalake(place.uri, rows, mode="error", storage_options=place.options)
            place.publish(version)
        except CommitFailedError:
            return None
        except Exception:
            if table is None and _exists(files):
                return None
            raise
        return version


def _exists(files: TableFiles) -> bool:
    with files.delta() as place:
        return place.open() is not None
