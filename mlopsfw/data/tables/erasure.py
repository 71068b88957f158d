"""Erase rows from plain tables (captures, labels, quarantine): from their files, and from their logs, whose statistics hold values."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from mlopsfw.data.tables import columns
from mlopsfw.data.tables.delta_place import LOG
from mlopsfw.data.tables.digest import record_batches
from mlopsfw.data.tables.manifest import DataFile
from mlopsfw.data.tables.opening import open_files
from mlopsfw.data.tables.plain import PlainTables
from mlopsfw.kernel.base.errors import NotFound, StorageUnavailable

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import RemoveAction

    from mlopsfw.data.tables.delta_place import DeltaPlace
    from mlopsfw.data.tables.files import TableFiles
    from mlopsfw.kernel.services import Services

Which = Callable[[Mapping[str, Any]], "pl.Expr | None"]
"""Returns the condition for rows to erase in a schema, or None if there can be none."""
_TRIES = 20


class TableErasure:
    """Erases rows from plain tables.

    Args:
        services: The kernel's services.
    """

    def __init__(self, services: Services) -> None:
        self._services, self._tables = services, PlainTables(services.tables)

    def count(self, name: str, which: Which) -> int:
        """Return how many rows of a table match `which`; 0 if there is no such table."""
        if not self._tables.exists(name):
            return 0
        rows = self._tables.scan(name)
        is_subject = which(rows.collect_schema())
        return 0 if is_subject is None else int(rows.select(is_subject.sum()).collect(engine="streaming").item())

    def remove(self, name: str, which: Which) -> int:
        """Erase rows from a table, and every trace of them from its log; return how many. Safe to repeat.

        Other writers may append meanwhile. Earlier versions of the table can no longer be read.

        Raises:
            StorageUnavailable: Other writers were faster in every attempt.
        """
        if not self._tables.exists(name):
            return 0
        removed = 0
        for _ in range(_TRIES):
            counts = self.count(name, which)
            if counts and not self._rewrite(name, which):
                continue
            removed += counts
            if not self.count(name, which):
                self._purge(name)
                return removed
        raise StorageUnavailable(f"table {name!r}: other writers came first {_TRIES} times", hint="Run it again.")

    def _files(self, name: str) -> TableFiles:
        return open_files(self._services.tables, name, self._services.clock)

    def _rewrite(self, name: str, which: Which) -> bool:
        """Commit the files without the rows; return whether no other writer was faster."""
        from deltalake import CommitProperties
        from deltalake.exceptions import CommitFailedError
        from deltalake.transaction import AddAction

        files = self._files(name)
        with files.delta() as place:
            table = _at_head(place)
            written: list[DataFile] = []
            actions: list[Any] = []
            for old in _active(table):
                new = _without(files, old, table, which)
                if new is not None:
                    written.extend(new)
                    actions.append(_removal(old))
            actions += [
                AddAction(f.path, f.size, {}, f.modified, data_change=True, stats=f.stats) for f in written if f.rows
            ]
            try:
                once = CommitProperties(max_commit_retries=0)
                table.create_write_transaction(actions, "append", table.schema(), commit_properties=once)
                place.publish(_at_head(place).version())
            except CommitFailedError:
                files.delete(file.path for file in written)
                return False
        files.delete(file.path for file in written if not file.rows)
        return True

    def _purge(self, name: str) -> None:
        """Delete the files that the table no longer has, and the log before its newest version, after writing a checkpoint of it."""
        files = self._files(name)
        with files.delta() as place:
            table = _at_head(place)
            version, active = table.version(), {file.path for file in _active(table)}
            table.create_checkpoint()
            place.publish(version)
        log = {path: path.removeprefix(LOG).partition(".")[0] for path in files.log()}
        files.delete(_removed(files, [path for path in log if path.endswith(".json")]) - active)
        # keep the newest commit: delta-rs appends after it
        files.delete(path for path, number in log.items() if number.isdecimal() and int(number) < version)


def _at_head(place: DeltaPlace) -> DeltaTable:
    if (table := place.open()) is None:
        raise NotFound(f"there is no table at {place.uri}", hint="Another process removed it. Run it again.")
    return table


def _removed(files: TableFiles, commits: list[str]) -> set[str]:
    """Return the files that commits took out of the table. Others may belong to a writer that has not committed yet."""
    lines = [line for path in commits for line in files.read(path).splitlines() if b'"remove"' in line]
    actions = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
    return {unquote(action["remove"]["path"]) for action in actions if "remove" in action}


def _active(table: DeltaTable) -> list[DataFile]:
    import pyarrow as pa

    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return [
        DataFile(path=add["path"], rows=add["num_records"] or 0, size=add["size_bytes"], modified=0) for add in actions
    ]


def _removal(old: DataFile) -> RemoveAction:
    from deltalake.transaction import RemoveAction as Removal

    at = int(time.time() * 1000)
    return Removal(old.path, data_change=True, deletion_timestamp=at, size=old.size, partition_values={})


def _without(files: TableFiles, old: DataFile, table: DeltaTable, which: Which) -> tuple[DataFile, ...] | None:
    """Return the files that replace an old one; None if it loses no row."""
    import pyarrow as pa

    rows = files.scan([old])
    is_subject = which(rows.collect_schema())
    if is_subject is None or not rows.select(is_subject.any()).collect(engine="streaming").item():
        return None
    names = set(rows.collect_schema().names())
    schema: pa.Schema = columns.stored_schema(pa.schema([f for f in pa.schema(table.schema()) if f.name in names]))
    remaining = (
        columns.fit(batch, schema, old.path) for batch in record_batches(rows.filter(~is_subject).select(schema.names))
    )
    return files.write((batch for batch in remaining if batch.num_rows), schema)
