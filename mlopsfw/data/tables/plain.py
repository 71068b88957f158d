"""Plain tables: append and scan, without versions in the ledger. Captured predictions and labels use them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.durable import sync
from mlopsfw.data.tables import columns
from mlopsfw.data.tables.delta_scan import scan_delta
from mlopsfw.data.tables.digest import record_batches
from mlopsfw.data.tables.files import as_storage_error, local_folder
from mlopsfw.kernel.base.errors import NotFound, StorageUnavailable

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from deltalake import DeltaTable

    from mlopsfw.kernel.roles.storage import TableLocation
    from mlopsfw.kernel.store.table_locations import TableLocations

_TRIES = 20  # consecutive lost races; delta-rs itself tries each 15 times


class PlainTables:
    """Implements `mlopsfw.roles.Tables` on a storage. Later appends may add columns; older rows have nulls in them.

    Args:
        locations: Returns the tables' locations.
    """

    def __init__(self, locations: TableLocations) -> None:
        self._locations = locations

    def append(self, name: str, rows: Any) -> int:
        """Append `rows` (any input of `mlopsfw.data.tables.digest.record_batches`) durably; return the table's new version.

        Raises:
            DataError: A column cannot be stored, or has another type than the table's.
            StorageUnavailable: Other writers were faster in every attempt.
        """
        location = self._locations.find(name)
        batches = list(record_batches(rows))
        for _ in range(_TRIES):
            version = _try_append(location, batches, name)
            if version is not None:
                folder = local_folder(location.uri)
                if folder is not None:
                    _sync_commit(folder, version)
                return version
        raise StorageUnavailable(f"table {name!r}: other writers came first {_TRIES} times", hint="Try again.")

    def scan(self, name: str, version: int | None = None) -> pl.LazyFrame:
        """Return the rows lazily, in no particular order. Raise `NotFound`."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        location = self._locations.find(name)
        try:
            table = DeltaTable(location.uri, version=version, storage_options=dict(location.options) or None)
        except TableNotFoundError:
            raise NotFound(f"there is no table {name!r} in {self._locations.describe()}") from None
        except DeltaError as error:
            if version is None:
                raise
            raise NotFound(f"table {name!r} has no version {version}: {error}") from None
        return scan_delta(table)

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
        return _open(self._locations.find(name)) is not None


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


def _open(location: TableLocation) -> DeltaTable | None:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(location.uri, storage_options=dict(location.options) or None)
    except TableNotFoundError:
        return None


def _try_append(location: TableLocation, batches: Sequence[pa.RecordBatch], name: str) -> int | None:
    """Append once; return the version, or None if another writer created or changed the table meanwhile."""
    from deltalake import write_deltalake
    from deltalake.exceptions import CommitFailedError

    table = _open(location)
    rows = _fitted(batches, table, name)
    options = dict(location.options) or None
    try:
        with as_storage_error(f"writing to {location.uri}"):
            if table is not None:
                write_deltalake(table, rows, mode="append", schema_mode="merge")
                return table.version()
            write_deltalake(location.uri, rows, mode="error", storage_options=options)
    except CommitFailedError:
        return None
    except Exception:
        if table is None and _open(location) is not None:
            return None
        raise
    return 0


def _sync_commit(folder: Path, version: int) -> None:
    """Make one commit durable: delta-rs leaves its files, its log entry and their folders in the page cache."""
    log = folder / "_delta_log"
    entry = log / f"{version:020}.json"
    with as_storage_error(f"syncing {folder}"):
        for line in entry.read_text().splitlines():
            added = json.loads(line).get("add")
            if added:
                sync(folder / added["path"])
        for path in (entry, log, folder, folder.parent):
            sync(path)
