"""The only way to make a version of a dataset.

1. Write the rows as new Parquet files. They are durable, but nothing refers to them.
2. Store a manifest (the files, in order) as a blob.
3. Append the event to `dataset/NAME` at the number after the history that the decision read. Now the version exists.
4. Write the missing commits to the Delta log.

If the process is killed before 3, the old version stays current, and `tidy` removes the files. If it is killed before 4, the version exists,
and the next commit or `tidy` completes the log. A writer that loses the race for 3 decides again on the winner's version, without writing its
files again.

"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from mlopsfw.data.datasets import personal_columns
from mlopsfw.data.datasets.events import DatasetCommitted
from mlopsfw.data.datasets.loading import watermark
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.datasets.loading.merge import Merge
from mlopsfw.data.datasets.versions import FILES, DatasetVersion, History
from mlopsfw.data.tables import columns
from mlopsfw.data.tables import manifest as manifests
from mlopsfw.data.tables.digest import TableDigest, record_batches, table_digest
from mlopsfw.data.tables.manifest import DataFile, Manifest
from mlopsfw.kernel.base.errors import Conflict, DataError, Erased, UsageError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.intake.quarantine import Quarantine
    from mlopsfw.data.tables.files import TableFiles


class Written(NamedTuple):
    """Rows that are durable but belong to no version yet."""

    schema: pa.Schema
    files: tuple[DataFile, ...]
    digest: str
    blocks: tuple[str, ...]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(file.rows for file in self.files)


class Commit:
    """One commit to one dataset.

    Args:
        datasets: The datasets.
        name: The dataset.
        change: How the rows enter the dataset.
        source: Where they came from, for people.
        message: A reason, for people.
        run: The run that makes it.
        force: Make a version even if the content has not changed.
        once: Add nothing if the newest version added exactly these rows in this way.
        quarantine: Takes the bad rows.
        origin: Facts that show whether the sources change.
        index: For a set of files: stores the index of a version with these rows upon a history; returns the blob.
    """

    def __init__(
        self,
        datasets: VersionStore,
        name: str,
        change: Change,
        *,
        source: str,
        message: str,
        run: str,
        force: bool,
        once: bool,
        quarantine: Quarantine | None = None,
        origin: dict[str, Any] | None = None,
        index: Callable[[History, pl.LazyFrame], str] | None = None,
    ) -> None:
        self._datasets, self._name, self._change, self._force, self._once = datasets, name, change, force, once
        self._source, self._message, self._run, self._origin = source, message, run, origin or {}
        self._index, self._treatment = index, datasets.treatment(name)
        self._files: TableFiles = datasets.files(name)
        self._used: set[str] = set()  # files of the version that the last decision read
        self._made: list[str] = []  # all files of this commit, in a version or not
        self._quarantine, self._ignored, self._top = quarantine, tuple[str, ...](), None

    def make(self, batches: Iterable[pa.RecordBatch]) -> DatasetVersion:
        """Write the rows and make the version. Return it, or the newest one with `new=False` if nothing changed."""
        history = self._datasets.history(self._name)
        refuse_other(history, self._origin)
        used: set[str] = set()
        try:
            written = self._write(self._treatment.batches(batches), history)
            version = self._agree(written, history)
            if version.new:
                used = self._used
        finally:
            self._files.delete(path for path in self._made if path not in used)
        if version.new:
            self._datasets.bring_up(self._name)
        return version

    def _write(self, batches: Iterable[pa.RecordBatch], history: History) -> Written:
        stream = iter(batches)
        first = next(stream, None)
        if first is None:
            raise DataError(
                "there are no record batches, and so no columns", hint="Pass an empty table that has a schema."
            )
        base = self._base(history)
        schema = self._schema(base, first.schema)
        self._change.check_columns(schema.names)
        limit = None
        if self._change.watermark:
            watermark.check_type(schema, self._change.watermark)
            limit = self._limit(base)
        digest = TableDigest(schema)
        rows = self._fitted(itertools.chain((first,), stream), schema, digest, limit)
        files = self._files.write(rows, schema)
        self._made.extend(file.path for file in files)
        total, blocks = digest.finish()
        return Written(schema, files, total, tuple(blocks))

    def _schema(self, base: DatasetVersion | None, coming: pa.Schema) -> pa.Schema:
        if base is None:
            return columns.stored_schema(coming)
        personal_columns.refuse_clear(base, self._treatment)
        try:
            schema_before = self._datasets.schema(base)
        except Erased:  # since the history was read, an erasure has replaced the version; the columns are the same
            schema_before = self._datasets.schema(self._datasets.history(self._name).get(base.version))
        return columns.agreed(schema_before, coming, self._change.drift, f"dataset {self._name!r}")

    def _fitted(
        self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, digest: TableDigest, limit: Any
    ) -> Iterator[pa.RecordBatch]:
        change, passed = self._change, 0
        for batch in batches:
            whole = batch if change.drift == "fail" or change.mode == "replace" else self._complete(batch, schema)
            fitted = self._fit(whole, schema, passed)
            passed += batch.num_rows
            if change.watermark:
                fitted = watermark.above(fitted, change.watermark, limit)
                self._top = watermark.greater(fitted, change.watermark, self._top)
            digest.update(fitted)
            if fitted.num_rows:
                yield fitted

    def _fit(self, batch: pa.RecordBatch, schema: pa.Schema, position: int) -> pa.RecordBatch:
        """Return `batch` in the types of `schema`. With a quarantine, leave out the rows that do not fit, found by bisection."""
        import pyarrow as pa

        try:
            return columns.fit(batch, schema, f"dataset {self._name!r}")
        except DataError as error:
            if self._quarantine is None or set(batch.schema.names) != set(schema.names) or not batch.num_rows:
                raise
            if batch.num_rows == 1:
                raw = json.dumps(columns.plain_rows(batch)[0], default=str)
                self._quarantine.add(self._source, position + 1, error.message, raw, counted=True)
                return pa.RecordBatch.from_pylist([], schema=schema)
        half = batch.num_rows // 2
        parts = [self._fit(batch[:half], schema, position), self._fit(batch[half:], schema, position + half)]
        return pa.concat_batches(parts)

    def _complete(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        if self._change.drift == "ignore":
            names = set(schema.names)
            unknown = [name for name in batch.schema.names if name not in names]
            self._ignored = tuple(dict.fromkeys((*self._ignored, *unknown)))
            batch = batch.drop_columns(unknown)
        return columns.complete(batch, schema) if set(batch.schema.names) < set(schema.names) else batch

    def _base(self, history: History) -> DatasetVersion | None:
        """Return the version to which the rows are added."""
        return None if self._change.mode == "replace" else history.latest

    def _limit(self, base: DatasetVersion | None) -> Any:
        """Return the value above which rows are taken, or None for all."""
        if base is None or not self._change.watermark or self._change.watermark not in base.columns:
            return None
        value = watermark.greatest(base, self._datasets.scan(base), self._change.watermark)
        return watermark.bound(value, self._change.lookback)

    def _agree(self, written: Written, history: History) -> DatasetVersion:
        while True:
            try:
                version = self._decide(written, history)
            except Exception:
                now = self._datasets.history(self._name)
                if now.removals == history.removals:
                    raise
                history = now  # files that the decision read have gone meanwhile
                continue
            if not version.new:
                return version
            stream = self._datasets.stream(self._name)
            try:
                event = stream.append(version.record(DatasetCommitted), expecting=history.seq)
            except Conflict:
                history = self._datasets.history(self._name)
                refuse_other(history, self._origin)
                continue
            return replace(version, time=event.time, actor=event.actor)

    def _decide(self, written: Written, history: History) -> DatasetVersion:
        """Return the version of these rows upon `history`, or its newest one, marked as not new."""
        base = self._base(history)
        same = self._same(written, history)
        if same is not None:
            return replace(same, new=False)
        digest, content = self._content(written, base)
        self._used = {file.path for file in content.files}
        if base is not None and base.digest == digest and not self._force:
            return replace(base, new=False)
        return DatasetVersion(
            name=self._name,
            version=len(history.versions) + 1,
            digest=digest,
            rows=content.rows,
            columns=columns.describe(written.schema),
            mode=self._change.mode,
            manifest=manifests.save(content, self._datasets.blobs),
            added=written.digest if base else "",
            source=self._source,
            origin=self._origin | self._indexed(history, content),
            message=self._message,
            run=self._run,
            watermark=self._watermark(base),
            intake=self._intake(),
            pii=dict(self._treatment.marks),
        )

    def _indexed(self, history: History, content: Manifest) -> dict[str, str]:
        return {"index": self._index(history, self._files.scan(content.files))} if self._index else {}

    def _watermark(self, base: DatasetVersion | None) -> dict[str, Any]:
        column = self._change.watermark
        if not column:
            return {}
        rows = self._datasets.scan(base) if base and column in base.columns else None
        values = [v for v in (watermark.greatest(base, rows, column), self._top) if v is not None]
        return watermark.kept(column, max(values, default=None))

    def _intake(self) -> dict[str, Any]:
        facts = self._quarantine.facts() if self._quarantine else {}
        return facts | ({"ignored": list(self._ignored)} if self._ignored else {})

    def _same(self, written: Written, history: History) -> DatasetVersion | None:
        """Return the version that makes this commit unnecessary, if there is one."""
        mode = self._change.mode
        if self._run:  # a step that was killed and runs again may have committed already
            for version in history.versions:
                facts = version.run, version.source, version.mode, version.added or version.digest
                if facts == (self._run, self._source, mode, written.digest):
                    return version
        latest = history.latest
        if latest is None or self._force:
            return None
        if mode == "replace":
            return latest if latest.digest == written.digest else None
        again = self._once and latest.mode == mode and (latest.added or latest.digest) == written.digest
        same_columns = columns.describe(written.schema) == latest.columns
        return latest if again or (written.rows == 0 and same_columns) else None

    def _content(self, written: Written, base: DatasetVersion | None) -> tuple[str, Manifest]:
        schema = written.schema.serialize().to_pybytes()
        change = self._change
        if base is None and not change.key:
            return written.digest, Manifest(schema=schema, files=written.files, blocks=written.blocks)
        manifest = self._datasets.manifest(base) if base else Manifest(schema=schema, files=(), blocks=())
        if (
            base
            and columns.agreed(self._datasets.schema(base), written.schema, change.drift, base.ref) != written.schema
        ):
            raise Conflict(
                f"the columns of dataset {self._name!r} changed while mlopsfw added the rows", hint="Add them again."
            )
        merge = Merge(self._files, written.schema, manifest)
        try:
            return merge.content(written.files, change.key, change.watermark, self._limit(base))
        finally:
            self._made.extend(file.path for file in merge.made)


def refuse_other(history: History, origin: Mapping[str, Any]) -> None:
    """Raise `UsageError` if the dataset's versions are of another kind: references, a set of files, or a table."""
    if (latest := history.latest) is None:
        return
    if latest.mode == "reference":
        raise UsageError(f"dataset {history.name!r} refers to {latest.uri}", hint="Add the rows under another name.")
    if bool(latest.index) != (origin.get("how") == FILES):
        kind = "set of files" if latest.index else "table"
        raise UsageError(f"dataset {history.name!r} is a {kind}", hint="Add other kinds of data under another name.")


def digest_of(datasets: VersionStore, version: DatasetVersion) -> str:
    """Return the digest of the current content of a version's files, read again."""
    schema = datasets.schema(version)
    scanned = record_batches(datasets.scan(version))
    return table_digest(columns.fit(batch, schema, version.ref) for batch in scanned)
