"""`VersionStore`: reads the versions of datasets and their pieces. `catalog` and its parts make versions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.data.datasets.versions import DatasetVersion, History, fold
from mlopsfw.kernel.base.errors import Erased, StorageError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage.references import parse_reference

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.contracts.row_filter import RowFilter
    from mlopsfw.data.datasets.delta import DeltaLog
    from mlopsfw.data.intake.sources import Intake
    from mlopsfw.data.tables.files import TableFiles
    from mlopsfw.data.tables.manifest import Manifest
    from mlopsfw.data.tables.plain import PlainTables
    from mlopsfw.kernel.config.model import DataConfig
    from mlopsfw.kernel.ledger import Stream
    from mlopsfw.kernel.roles.host import Blobs
    from mlopsfw.kernel.services import Services
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.privacy.treatments import Treatment

_PREFIX = "dataset/"


def table_name(name: str) -> str:
    """Return where the table of a dataset's rows is."""
    return f"datasets/{name}"


class VersionStore:
    """The versions of a project's datasets.

    Args:
        services: The kernel's services.
        data: `[data.NAME]` by the dataset's name.
        privacy: How personal columns are treated.
        intake: Reads files, and finds what lies elsewhere.
    """

    def __init__(self, services: Services, data: Mapping[str, DataConfig], privacy: Privacy, intake: Intake) -> None:
        self._services, self._data, self._privacy, self._intake = services, data, privacy, intake

    # -- what there is ---------------------------------------------------------------------------------------------------

    def newest(self) -> list[DatasetVersion]:
        """Return the newest version of every dataset, by name."""
        return [latest for name in self.names() if (latest := self.history(name).latest)]

    def names(self) -> list[str]:
        """Return the names of the datasets of which the ledger tells."""
        return sorted(stream.removeprefix(_PREFIX) for stream in self._services.ledger.streams(_PREFIX))

    def log(self, name: str) -> list[DatasetVersion]:
        """Return the versions of a dataset, newest first. Raise `UnknownName`."""
        history = self.history(name)
        history.get(None)
        return list(reversed(history.versions))

    def resolve(self, ref: str | Artifact | DatasetVersion, version: int | None = None) -> DatasetVersion:
        """Return the version that `ref` names (`data:/name@3`, `data:/name@tag`, `data:/name`, a bare name, an artifact).

        Raises:
            InvalidReference: It is no reference to a dataset.
            UnknownName: There is no such dataset or version.
            Erased: Rows were erased from the artifact's version since.
        """
        if isinstance(ref, DatasetVersion):
            return ref
        if isinstance(ref, Artifact):
            return self.history(parse_reference(ref.ref, "data").name).of(ref)
        reference = parse_reference(ref, "data")
        history = self.history(reference.name)
        return history.select(reference.selector) if version is None else history.get(version)

    def scan(self, ref: str | Artifact | DatasetVersion, version: int | None = None) -> pl.LazyFrame:
        """Return the rows of a version lazily, in the order in which they were added.

        Raises:
            ReferenceChanged: An outside table has changed since it was registered.
            Vacuumed: The version's rows were removed.
        """
        target = self.resolve(ref, version).readable()
        if target.mode == "reference":
            from mlopsfw.data.datasets import pins

            self.check_pin(target)
            return pins.scan(self._intake.formats, target.uri, target.pin, target.columns)
        return self.files(target.name).scan(self.manifest(target).files)

    def pin(self, uri: str) -> dict[str, Any]:
        """Return the pin of the outside table at `uri`, relative to the project. Raise `DataError` where there is none."""
        from mlopsfw.data.datasets import pins

        return pins.pin(pins.absolute(uri, self._services.workspace.root), self._intake.formats.suffixes)

    def check_pin(self, version: DatasetVersion) -> None:
        """Raise `ReferenceChanged` unless the outside table of a version is still what it was."""
        from mlopsfw.data.datasets import pins

        pins.check(version.uri, version.pin, version.name, self._intake.formats.suffixes)

    def scan_outside(self, uri: str, pinned: dict[str, Any]) -> pl.LazyFrame:
        """Return the rows of an outside table (absolute) that no version has yet."""
        from mlopsfw.data.datasets import pins

        return pins.scan(self._intake.formats, uri, pinned, {})

    # -- what the pieces are ---------------------------------------------------------------------------------------------

    @cached_property
    def tables(self) -> PlainTables:
        """Plain appendable tables, such as captured predictions."""
        from mlopsfw.data.tables.plain import PlainTables

        return PlainTables(self._services.tables)

    def treatment(self, name: str) -> Treatment:
        """Return the treatment of a dataset's personal columns."""
        return self._privacy.treatment(self._privacy.marks(name))

    def contract_file(self, name: str) -> Path | None:
        """Return the contract file of a dataset, or None if `[data.NAME]` names none."""
        config = self._data.get(name)
        return self._services.workspace.root / config.contract if config and config.contract else None

    def row_filter(self, name: str) -> RowFilter | None:
        """Return the filter of rows that break the dataset's contract, or None without a contract. Raise `ConfigError` if it is invalid."""
        file = self.contract_file(name)
        if file is None:
            return None
        from mlopsfw.data.contracts import load_contract
        from mlopsfw.data.contracts.row_filter import RowFilter

        return RowFilter(load_contract(file), set(self._privacy.marks(name)))

    @property
    def blobs(self) -> Blobs:
        """Stores the manifests."""
        return self._services.blobs

    def stream(self, name: str) -> Stream:
        """Return the ledger's stream of a dataset."""
        return self._services.ledger.stream(_PREFIX + check_name(name, "dataset"))

    def history(self, name: str) -> History:
        """Return the versions of a dataset; none if it does not exist."""
        return fold(name, self.stream(name).events())

    def files(self, name: str) -> TableFiles:
        """Return the files of a dataset. Raise `TablesUnsupported`."""
        from mlopsfw.data.tables.opening import open_files

        return open_files(self._services.tables, table_name(check_name(name, "dataset")), self._services.clock)

    def manifest(self, version: DatasetVersion) -> Manifest:
        """Return the files of a version."""
        from mlopsfw.data.tables import manifest

        return manifest.load(version.manifest, self.blobs)

    def schema(self, version: DatasetVersion) -> pa.Schema:
        """Return the Arrow schema of a version."""
        import pyarrow as pa

        if version.manifest:
            return pa.ipc.read_schema(pa.py_buffer(self.manifest(version).schema))
        return self.scan(version).head(0).collect().to_arrow().schema

    def bring_up(self, name: str) -> int:
        """Write the commits that the dataset's Delta log lacks; return how many were missing."""
        from deltalake.exceptions import DeltaError

        history = self.history(name)
        try:
            return 0 if history.sweeping else self._delta(name).bring_up(history.versions)
        except (DeltaError, Erased, StorageError):
            if self.history(name).removals == history.removals:
                raise
            return 0  # an erasure is writing the whole log again

    def _delta(self, name: str) -> DeltaLog:
        from mlopsfw.data.datasets.delta import DeltaLog

        return DeltaLog(self.files(name), self.blobs)
