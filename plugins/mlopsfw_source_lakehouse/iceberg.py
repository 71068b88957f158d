"""Apache Iceberg tables in a folder here, each held at one snapshot while it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError, MissingExtra
from mlopsfw.sources import shown
from mlopsfw_source_lakehouse.reading import read

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadOptions, RejectSink, SourceOption, SourceRequest


class IcebergSource:
    """Finds Iceberg tables."""

    queries = False
    takes: tuple[SourceOption, ...] = ()

    def find(self, request: SourceRequest) -> IcebergTable:
        """Return the table at the snapshot that is asked for, the newest for none; as `mlopsfw.roles.Source` has it."""
        if "://" in request.url:
            raise DataError(
                f"{shown(request.url)} holds a table of another system, Iceberg, and its files alone do not give its rows",
                hint="mlopsfw reads Iceberg tables in a local folder only: copy the table here.",
            )
        return IcebergTable(Path(request.url), request.options.at)


class IcebergTable:
    """An Iceberg table in a local folder.

    Args:
        folder: The folder that holds `metadata/`.
        at: The snapshot's id; empty for the newest.
    """

    def __init__(self, folder: Path, at: str) -> None:
        self.shown = str(folder)
        try:
            from pyiceberg.table import StaticTable
        except ImportError:
            raise MissingExtra("reading Iceberg tables", "iceberg") from None
        self._table = StaticTable.from_metadata(_newest_metadata(folder))
        snapshot = self._table.current_snapshot() if not at else _snapshot(self._table, at, self.shown)
        self._snapshot = snapshot.snapshot_id if snapshot else None

    def facts(self) -> dict[str, Any]:
        """Return the table's id and snapshot, as a text: it has more digits than JSON readers keep."""
        return {"table": str(self._table.metadata.table_uuid), "snapshot": str(self._snapshot or "")}

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether it is that table at that snapshot."""
        return self.facts() == known

    def read(self, options: ReadOptions, _rejects: RejectSink | None) -> Iterator[pa.RecordBatch]:
        """Yield its rows, as `mlopsfw.roles.SourceTable` has it."""
        import polars as pl

        rows = pl.scan_iceberg(self._table, snapshot_id=self._snapshot)
        return read(rows, self.shown, self.size(), options.max_ratio)

    def size(self) -> int:
        """Return the bytes of its files, as its manifests have them."""
        return sum(task.file.file_size_in_bytes for task in self._table.scan(snapshot_id=self._snapshot).plan_files())


def _newest_metadata(folder: Path) -> str:
    """Return the newest metadata file: the one that the hint names, else the one of the greatest number."""
    files = {file.name: file for file in (folder / "metadata").glob("*.metadata.json")}
    hint = folder / "metadata" / "version-hint.text"
    named = f"v{hint.read_text(encoding='utf-8').strip()}.metadata.json" if hint.is_file() else ""
    return str(files.get(named) or max(files.values(), key=lambda file: (_number(file.name), file.name)))


def _number(name: str) -> int:
    found = re.match(r"v?(\d+)", name)
    return int(found[1]) if found else -1


def _snapshot(table: Any, at: str, place: str) -> Any:
    found = table.snapshot_by_id(int(at)) if at.isdigit() else None
    if found is None:
        known = ", ".join(str(snapshot.snapshot_id) for snapshot in table.snapshots()[-5:])
        raise DataError(f"{place} has no snapshot {at!r}", hint=f"The newest are {known}.")
    return found
