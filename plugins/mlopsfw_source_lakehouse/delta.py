"""Delta Lake tables, in a folder here or in a bucket, each held at one version while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError, UsageError
from mlopsfw.sources import check_place, scan_delta, shown
from mlopsfw_source_lakehouse.reading import read

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadOptions, RejectSink, SourceOption, SourceRequest


class DeltaSource:
    """Finds Delta tables."""

    queries = False
    takes: tuple[SourceOption, ...] = ()  # of a table in a folder here; a bucket says itself what it takes

    def find(self, request: SourceRequest) -> DeltaTable:
        """Return the table at the version that is asked for, the newest for none; as `mlopsfw.roles.Source` has it."""
        remote = "://" in request.url
        name = shown(request.url) if remote else request.url
        return DeltaTable(request.url, name, request.options.options if remote else {}, request.options.at)


class DeltaTable:
    """A Delta table.

    Args:
        uri: Folder or URL.
        shown: The same without credentials.
        options: Of the bucket, secrets resolved.
        at: The version; empty for the newest.
    """

    def __init__(self, uri: str, shown: str, options: Mapping[str, str], at: str) -> None:
        import deltalake
        from deltalake.exceptions import DeltaError

        self.shown = shown
        if at and not at.isdigit():
            raise UsageError(f"{shown} has no version {at!r}", hint="A Delta table's versions are numbers: --at 12.")
        try:
            version = int(at) if at else None
            self._table = deltalake.DeltaTable(check_place(uri), version=version, storage_options=dict(options) or None)
        except (DeltaError, OSError) as error:
            raise DataError(f"{shown} cannot be opened as a Delta table{f' at {at}' if at else ''}: {error}") from None

    def facts(self) -> dict[str, Any]:
        """Return the table's id and version."""
        return {"table": str(self._table.metadata().id), "version": self._table.version()}

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether it is that table at that version."""
        return self.facts() == known

    def read(self, options: ReadOptions, _rejects: RejectSink | None) -> Iterator[pa.RecordBatch]:
        """Yield its rows, as `mlopsfw.roles.SourceTable` has it."""
        rows = scan_delta(self._table)
        return read(rows, self.shown, self.size(), options.max_ratio)

    def size(self) -> int:
        """Return the bytes of its files, as its log has them."""
        import pyarrow as pa

        actions = pa.table(self._table.get_add_actions(flatten=True))
        return sum(actions.column("size_bytes").to_pylist())
