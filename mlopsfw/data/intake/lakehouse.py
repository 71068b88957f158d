"""Tables of other systems as sources: Delta Lake and Apache Iceberg, each held at one version while it is read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlopsfw.data.intake.decompress import Allowance
from mlopsfw.data.tables.digest import record_batches
from mlopsfw.kernel.base.errors import DataError, MissingExtra, UsageError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.intake.quarantine import Quarantine
    from mlopsfw.kernel.roles.reading import ReadOptions


class SourceTable(Protocol):
    """A table that is read whole: at one version of its own, or by a query."""

    @property
    def shown(self) -> str:
        """Return where it is, without credentials."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return which table it is, and at which version; nothing where it does not tell."""
        ...

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether it is what `known` (an earlier `facts`) says."""
        ...

    def read(self, options: ReadOptions, quarantine: Quarantine | None) -> Iterator[pa.RecordBatch]:
        """Yield its rows. Raise `DataError` where it cannot be read, or unpacks to more than `options.max_ratio` times its size."""
        ...

    def size(self) -> int | None:
        """Return the bytes of the files that hold these rows, None where nobody knows."""
        ...


class DeltaSource:
    """A Delta table.

    Args:
        uri: Folder or URL.
        options: Of the bucket, secrets resolved.
        at: The version; empty for the newest.
    """

    def __init__(self, uri: str, options: Mapping[str, str], at: str) -> None:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        self.shown, self._options = uri, dict(options)
        if at and not at.isdigit():
            raise UsageError(f"{uri} has no version {at!r}", hint="A Delta table's versions are numbers: --at 12.")
        try:
            version = int(at) if at else None
            self._table = DeltaTable(uri, version=version, storage_options=self._options or None)
        except (DeltaError, OSError) as error:
            raise DataError(f"{uri} cannot be opened as a Delta table{f' at {at}' if at else ''}: {error}") from None

    def facts(self) -> dict[str, Any]:
        """Return the table's id and version."""
        return {"table": str(self._table.metadata().id), "version": self._table.version()}

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether it is that table at that version."""
        return self.facts() == known

    def scan(self) -> pl.LazyFrame:
        """Return its rows lazily."""
        import polars as pl

        return pl.scan_delta(self.shown, version=self._table.version(), storage_options=self._options or None)

    def read(self, options: ReadOptions, _quarantine: Quarantine | None) -> Iterator[pa.RecordBatch]:
        """Yield its rows, as `SourceTable.read` has it."""
        return _read(self, options.max_ratio)

    def size(self) -> int:
        """Return the bytes of its files, as its log has them."""
        import pyarrow as pa

        actions = pa.table(self._table.get_add_actions(flatten=True))
        return sum(actions.column("size_bytes").to_pylist())


class IcebergSource:
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

    def scan(self) -> pl.LazyFrame:
        """Return its rows lazily."""
        import polars as pl

        return pl.scan_iceberg(self._table, snapshot_id=self._snapshot)

    def read(self, options: ReadOptions, _quarantine: Quarantine | None) -> Iterator[pa.RecordBatch]:
        """Yield its rows, as `SourceTable.read` has it."""
        return _read(self, options.max_ratio)

    def size(self) -> int:
        """Return the bytes of its files, as its manifests have them."""
        return sum(task.file.file_size_in_bytes for task in self._table.scan(snapshot_id=self._snapshot).plan_files())


def is_delta(path: Path) -> bool:
    """Return whether a folder is a Delta table."""
    return (path / "_delta_log").is_dir()


def is_iceberg(path: Path) -> bool:
    """Return whether a folder is an Iceberg table."""
    return (path / "metadata").is_dir() and any((path / "metadata").glob("*.metadata.json"))


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


def _read(table: DeltaSource | IcebergSource, max_ratio: float) -> Iterator[pa.RecordBatch]:
    allowance = Allowance(table.shown, max_ratio, table.size())
    with _blamed(table.shown):
        for batch in record_batches(table.scan()):
            allowance.spend(batch.nbytes)
            yield batch


@contextlib.contextmanager
def _blamed(place: str) -> Iterator[None]:
    from polars.exceptions import PolarsError

    try:
        yield
    except (PolarsError, OSError) as error:
        said = (str(error).strip().splitlines() or [""])[0]
        raise DataError(f"{place} cannot be read: {said}", hint="Nothing was committed.") from None
