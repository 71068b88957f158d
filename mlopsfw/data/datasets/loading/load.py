"""`Load`: make a version of a dataset from rows. Read sources again until their types are known, quarantine bad rows, report progress."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.datasets import personal_columns
from mlopsfw.data.datasets.loading.bad_rows import BadRows
from mlopsfw.data.datasets.loading.commits import Commit
from mlopsfw.data.intake.cast_error import located
from mlopsfw.data.intake.load_sources import gather
from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.intake.quarantine import Quarantine
from mlopsfw.data.intake.type_inference import Guesses
from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.datasets.loading.change import Change
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.data.intake.places import Query
    from mlopsfw.data.intake.sources import Intake
    from mlopsfw.kernel.roles.reading import ReadOptions
    from mlopsfw.kernel.roles.source import SourceOptions, SourceTable
    from mlopsfw.kernel.services import Services
    from mlopsfw.privacy.treatments import Mark


class Load:
    """One load into one dataset.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        name: The dataset.
        change: How the rows come to those there are.
        intake: Reads files, and finds what lies elsewhere.
    """

    def __init__(self, services: Services, store: VersionStore, name: str, change: Change, intake: Intake) -> None:
        self._services, self._store, self._name, self._change = services, store, name, change
        self._intake = intake

    def of_rows(self, batches: Iterator[pa.RecordBatch], **facts: Any) -> DatasetVersion:
        """Make a version from rows; as for `Datasets.commit`."""
        try:
            return self._made(batches, self._quarantine(), **facts)
        except DataError as error:
            raise self._withheld(error) from error.__cause__

    def of_sources(
        self,
        sources: Sequence[Path | str | Query],
        options: ReadOptions,
        outside: SourceOptions,
        *,
        progress: Any = None,
        **facts: Any,
    ) -> DatasetVersion:
        """Make a version from `sources`, or return the newest one if the sources show no change; as for `Datasets.add`."""
        change, latest = self._change, self._store.history(self._name).latest
        again = facts["force"] or not (facts["once"] or change.mode == "replace")
        origin = {} if again or latest is None or latest.mode != change.mode or latest.erased else latest.origin
        row_filter = self._store.row_filter(self._name) if change.max_bad else None
        how = [change, options, self._marks, row_filter.contract if row_filter else None]
        callback = (lambda done, whole: progress(0, done, whole)) if progress else (lambda _done, _whole: None)
        with gather(self._services, self._intake, sources, outside, how, origin, callback) as load:
            if latest is not None and load.unchanged:
                return msgspec.structs.replace(latest, new=False)
            facts |= {"source": load.source, "origin": load.origin}
            return self._read(load.files, options, progress=progress, **facts)

    @property
    def _marks(self) -> Mapping[str, Mark]:
        return self._store.treatment(self._name).marks

    def _read(
        self, files: Sequence[SourceFile | SourceTable], options: ReadOptions, *, progress: Any, **facts: Any
    ) -> DatasetVersion:
        texts = {column: "string" for column, mark in self._marks.items() if mark == "hash"}  # 007 and 7 stay different
        options = msgspec.structs.replace(
            options, expected=texts | self._expected(), max_ratio=self._change.max_ratio, key=self._untyped_key()
        )
        guesses = Guesses()

        def read() -> DatasetVersion:
            quarantine = self._quarantine()
            batches = self._intake.formats.read(files, options, guesses, quarantine)
            with contextlib.closing(batches):  # no cursor stays open
                return self._made(_counted(batches, progress, files) if progress else batches, quarantine, **facts)

        try:
            return guesses.retry(read)
        except DataError as error:
            raise self._withheld(located(error, self._intake.formats, files, options)) from None

    def _quarantine(self) -> Quarantine | None:
        """Return the quarantine of one load, or None if bad rows are errors."""
        if not self._change.max_bad:
            return None
        now, keep = rfc3339(self._services.clock.now()), BadRows(self._store.tables, self._name).keep
        return Quarantine(keep, self._name, self._change.max_bad, now, personal=bool(self._marks))

    def _made(self, batches: Iterator[pa.RecordBatch], quarantine: Quarantine | None, **facts: Any) -> DatasetVersion:
        """Make a version of the rows that fulfil the contract. Other rows may go to `quarantine`."""
        commit = Commit(self._store, self._name, self._change, quarantine=quarantine, **facts)
        if quarantine is None:
            return commit.make(batches)
        row_filter = self._store.row_filter(self._name)
        return commit.make(
            quarantine.watch(row_filter.filtered(batches, quarantine, facts["source"]) if row_filter else batches)
        )

    def _withheld(self, error: DataError) -> DataError:
        """Return an error about rows of the dataset, without their values if some of its columns are personal."""
        if not (marks := self._marks):
            return error
        columns = latest.columns if (latest := self._store.history(self._name).latest) else {}
        return personal_columns.withheld(error, {self._name, *marks, *columns})

    def _untyped_key(self) -> tuple[str, ...]:
        """Return the columns of the key whose type no version decides yet: 9.0 must match the 9 of a dataset of whole numbers."""
        latest = self._store.history(self._name).latest
        columns = self._store.schema(latest).names if latest is not None and latest.manifest else []
        return tuple(column for column in self._change.key if column not in columns)

    def _expected(self) -> dict[str, str]:
        """Return the types of CSV columns that the dataset already has: text stays text, even if it looks like numbers."""
        change = self._change
        latest = None if change.mode == "replace" else self._store.history(self._name).latest
        if latest is None or not latest.manifest:
            return {}
        names = {field.name: str(field.type).removeprefix("large_") for field in self._store.schema(latest)}
        strict = {"string"} | ({"int64", "double", "bool", "date32[day]", "timestamp[us]"} if change.max_bad else set())
        return {column: kind for column, kind in names.items() if kind in strict}


def _counted(
    batches: Iterator[pa.RecordBatch], progress: Any, files: Sequence[SourceFile | SourceTable]
) -> Iterator[pa.RecordBatch]:
    """Yield `batches`; report the rows and bytes read so far and the bytes in all (None if unknown). Bytes are Arrow's, at most the sources' own."""
    rows = read = 0
    sizes = [_size(file) for file in files]
    whole = None if None in sizes else sum(filter(None, sizes))
    for batch in batches:
        rows, read = rows + batch.num_rows, read + batch.nbytes
        progress(rows, read if whole is None else min(read, whole), whole)
        yield batch


def _size(file: SourceFile | SourceTable) -> int | None:
    if not isinstance(file, SourceFile):
        return file.size()
    return file.path.stat().st_size if file.path.is_file() else 0
