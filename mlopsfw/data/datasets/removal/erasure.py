"""Erase a subject's rows from dataset versions: rewrite the files that hold some, once for all versions that share them.

1. Write new files and manifests. They are durable, but nothing refers to them.
2. Append `dataset.erased` at the number after the history that the decision read. Now the versions are the rewritten ones.
3. `sweep` deletes old files and manifests, writes the Delta log again (its statistics hold values), and appends `dataset.swept`.

A vacuumed version has no rows left to rewrite. Its manifest still holds the bounds of its files' values, so the bounds are removed. In a set of
files, all versions that share bytes with a changed version get new indexes (`mlopsfw.data.filesets.erasure`).

If the process is killed before 2, nothing has happened, and `tidy` removes the files. If it is killed before the end of 3, the next `sweep` does
all of it again.

"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from mlopsfw.data.datasets.delta import DeltaLog
from mlopsfw.data.datasets.events import DatasetErased, DatasetSwept, RewrittenVersion
from mlopsfw.data.datasets.loading.merge import Merge
from mlopsfw.data.datasets.removal.removals import outlasting
from mlopsfw.data.tables import columns
from mlopsfw.data.tables import manifest as manifests
from mlopsfw.data.tables.digest import record_batches
from mlopsfw.data.tables.manifest import DataFile, Manifest
from mlopsfw.governance.removal import drop
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.kernel.store.tombstones import Tombstone

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import DatasetVersion, History
    from mlopsfw.kernel.component import Subject
    from mlopsfw.kernel.services import Services


_TRIES = 10


class ErasedContents(Protocol):
    """The erasure of a file set's contents. A table has none."""

    def waiting(self, version: DatasetVersion) -> bool:
        """Return whether bytes of a vacuumed version may still be stored."""
        ...

    def indexes(self, history: History, subject: Subject) -> dict[int, str]:
        """Store the contents without the subject; return version → new index, for the versions that get one."""
        ...

    def sweep(self, name: str, erasure: str) -> int:
        """Delete the blobs that no version has any more; return how many."""
        ...


class Rewriting:
    """The erasure of one subject from one dataset.

    Args:
        store: The versions of datasets.
        contents: The bytes of sets of files.
        name: The dataset.
        subject: Whose rows.
        erasure: Id of the erasure.
    """

    def __init__(
        self, store: VersionStore, contents: ErasedContents, name: str, subject: Subject, erasure: str
    ) -> None:
        self._contents, self._name, self._subject, self._erasure = contents, name, subject, erasure
        self._store, self._files = store, store.files(name)
        self._counts: dict[str, int] = {}  # file → the number of the subject's rows in it
        self._rewritten: dict[str, tuple[DataFile, ...]] = {}

    def found(self) -> dict[int, int]:
        """Return version → the number of the subject's rows, without zeros."""
        return self._rows_in(self._store.history(self._name))

    def _rows_in(self, history: History) -> dict[int, int]:
        counts = {v.version: self._count_all(self._store.manifest(v)) for v in history.versions if v.live}
        return {version: count for version, count in counts.items() if count}

    def run(self) -> dict[int, int]:
        """Rewrite every version with rows of the subject; return their numbers as `found` does. Raise `Conflict` while another erasure is running."""
        while True:
            versions, record, seq = outlasting(self._store, self._name, self._decide)
            if not record.versions:
                return {}
            try:
                self._store.stream(self._name).append(record, expecting=seq)
            except Conflict:  # a commit was faster: its version may have the rows, too
                continue
            return versions

    def _decide(self) -> tuple[dict[int, int], DatasetErased, int]:
        """Return the counts by version, the event, and the number of the newest event that they rest on."""
        history = self._store.history(self._name)
        numbers, bounded = (
            self._rows_in(history),
            [version for version in history.versions if self._has_bounds(version)],
        )
        return numbers, self._record(history, numbers, bounded, self._indexes(history)), history.seq

    def _has_bounds(self, version: DatasetVersion) -> bool:
        """Return whether a vacuumed version's manifest still describes its content."""
        if not version.vacuumed:
            return False
        stats = any(file.stats for file in self._store.manifest(version).files)
        return stats or self._contents.waiting(version)

    def _record(
        self, history: History, numbers: Iterable[int], bounded: Iterable[DatasetVersion], indexes: dict[int, str]
    ) -> DatasetErased:
        changes = [*self._less([history.get(version) for version in numbers]), *map(self._unbounded, bounded)]
        changed = {change.version for change in changes}
        others = (history.get(number) for number in sorted(indexes.keys() - changed))
        changes += [_change(version, version.digest, version.rows, version.manifest) for version in others]
        return DatasetErased(
            erasure=self._erasure,
            subject=self._subject.digest,
            versions=tuple(replace(change, new_index=indexes.get(change.version)) for change in changes),
            files=tuple(sorted(self._rewritten)),
        )

    def _less(self, versions: Iterable[DatasetVersion]) -> Iterator[RewrittenVersion]:
        rewritten: dict[str, tuple[str, int, str]] = {}  # by manifest: a restored version shares that of its origin
        for version in versions:
            if version.manifest not in rewritten:
                digest, content = self._content(self._store.manifest(version))
                rewritten[version.manifest] = digest, content.rows, manifests.save(content, self._store.blobs)
            yield _change(version, *rewritten[version.manifest])

    def _unbounded(self, version: DatasetVersion) -> RewrittenVersion:
        content = without_bounds(self._store.manifest(version))
        return _change(version, version.digest, content.rows, manifests.save(content, self._store.blobs))

    def _indexes(self, history: History) -> dict[int, str]:
        """Return the new index of each version of a set that gets one; a vacuumed version needs none."""
        versions = [version for version in history.versions if version.index]
        if not any(version.live for version in versions):
            return {}
        new = self._contents.indexes(history, self._subject)
        return {
            v.version: new[v.version] if v.live else ""
            for v in versions
            if (v.version in new if v.live else self._contents.waiting(v))
        }

    def _count_all(self, content: Manifest) -> int:
        return sum(self._count(file) for file in content.files)

    def _count(self, file: DataFile) -> int:
        if file.path not in self._counts:
            rows = self._files.scan([file])
            is_subject = self._subject.rows(rows.collect_schema())
            self._counts[file.path] = (
                0 if is_subject is None else rows.select(is_subject.sum()).collect(engine="streaming").item()
            )
        return self._counts[file.path]

    def _content(self, previous: Manifest) -> tuple[str, Manifest]:
        import pyarrow as pa

        schema = pa.ipc.read_schema(pa.py_buffer(previous.schema))
        files: list[DataFile] = []
        for file in previous.files:
            files.extend(self._without(file, schema) if self._count(file) else (file,))
        merge = Merge(self._files, schema, previous)
        remaining = tuple(file for file in files if file.rows) or merge.empty()
        return merge.digest(remaining, self._untouched(previous))

    def _untouched(self, previous: Manifest) -> int:
        """Return the number of rows before the first file that changes."""
        rows = 0
        for file in previous.files:
            if self._count(file):
                break
            rows += file.rows
        return rows

    def _without(self, file: DataFile, schema: pa.Schema) -> tuple[DataFile, ...]:
        if file.path not in self._rewritten:
            rows = self._files.scan([file])
            is_subject = self._subject.rows(rows.collect_schema())
            batches = record_batches(rows if is_subject is None else rows.filter(~is_subject))
            fitted = (columns.fit(batch, schema, f"dataset {self._name!r}") for batch in batches)
            self._rewritten[file.path] = self._files.write((b for b in fitted if b.num_rows), schema)
        return self._rewritten[file.path]


def _change(version: DatasetVersion, digest: str, rows: int, blob: str) -> RewrittenVersion:
    return RewrittenVersion(
        version=version.version, was=version.digest, digest=digest, rows=rows, old=version.manifest, new=blob
    )


def without_bounds(content: Manifest) -> Manifest:
    """Return a manifest without facts about the content of its files."""
    return replace(content, files=tuple(replace(file, stats="") for file in content.files))


class RowErasure:
    """Erases subjects from datasets.

    Args:
        services: The kernel's services.
        store: The versions of datasets.
        contents: The bytes of sets of files.
    """

    def __init__(self, services: Services, store: VersionStore, contents: ErasedContents) -> None:
        self._services, self._store, self._contents = services, store, contents

    def rewriting(self, name: str, subject: Subject, erasure: str) -> Rewriting:
        """Return the erasure of a subject from a dataset, under the id `erasure`."""
        return Rewriting(self._store, self._contents, name, subject, erasure)

    def sweep(self, name: str) -> int:
        """Delete the files and blobs that erasures replaced; return how many. Safe to repeat."""
        store, stream = self._store, self._store.stream(name)
        events = list(stream.events())
        swept = max((event.seq for event in events if event.type == DatasetSwept.type), default=0)
        waiting = [DatasetErased.of(e) for e in events if e.type == DatasetErased.type and e.seq > swept]
        if not waiting:
            return 0
        history = store.history(name)
        used = {file.path for v in history.versions if v.live for file in store.manifest(v).files}
        files = {path for erased in waiting for path in erased.files} - used
        store.files(name).delete(sorted(files))
        blobs = {(change.old, change.new, erased.erasure) for erased in waiting for change in erased.versions}
        blobs = {(old, new, erasure) for old, new, erasure in blobs if old != new}
        for old, new, erasure in sorted(blobs):
            drop(self._services, old, Tombstone(erasure=erasure, new=new))
        bytes_ = self._contents.sweep(name, waiting[-1].erasure)
        self._make_log_anew(name)
        stream.append(DatasetSwept(erasures=tuple(sorted({erased.erasure for erased in waiting}))))
        store.bring_up(name)  # committed meanwhile
        return len(files) + len(blobs) + bytes_

    def _make_log_anew(self, name: str) -> None:
        """Write the Delta log from the events; once more if a commit that began before the erasure wrote in between."""
        from deltalake.exceptions import DeltaError

        files = self._store.files(name)
        log = DeltaLog(files, self._services.blobs)
        for attempt in range(_TRIES):
            files.delete(files.log())
            with suppress(DeltaError) if attempt < _TRIES - 1 else nullcontext():
                log.bring_up(self._store.history(name).versions)
                return
