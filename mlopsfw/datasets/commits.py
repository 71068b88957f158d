"""The one way in which a version of a dataset comes to be.

1. The rows are written as new Parquet files, durable and referred to by nothing.
2. A manifest (which files, in which order) is stored as a blob.
3. The event is appended to `dataset/NAME` at the number after the one that was decided upon. From here on the version exists.
4. The Delta log is brought up to the events.

Killed before 3, the old version is current and the files are leftovers that `tidy` removes; killed before 4, the version is there
and the next commit, or `tidy`, brings the log up. Whoever loses the race for 3 decides anew upon the winner's version and never
writes its files again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from mlopsfw.datasets import columns
from mlopsfw.datasets import manifest as manifests
from mlopsfw.datasets.manifest import DataFile, Manifest
from mlopsfw.datasets.versions import COMMITTED, DatasetVersion, History
from mlopsfw.digest import BLOCK, TableDigest, record_batches, table_digest
from mlopsfw.errors import Conflict, DataError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.datasets.catalog import Datasets
    from mlopsfw.datasets.files import TableFiles

Mode = Literal["append", "replace"]


class Written(NamedTuple):
    """Rows that are durable but belong to no version yet."""

    schema: pa.Schema
    files: tuple[DataFile, ...]
    digest: str
    blocks: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many."""
        return sum(file.rows for file in self.files)


class Commit:
    """One commit to one dataset.

    Args:
        datasets: Where it goes.
        name: The dataset.
        mode: Whether the rows come after those there are, or instead of them.
        source: Where they came from, for people.
        message: Why, for people.
        run: The run that makes it.
        force: Make a version even where the content is already there.
        once: Add nothing where the newest version is an append of these very rows.
    """

    def __init__(
        self,
        datasets: Datasets,
        name: str,
        *,
        mode: Mode,
        source: str,
        message: str,
        run: str,
        force: bool,
        once: bool,
    ) -> None:
        self._datasets, self._name, self._mode, self._force, self._once = datasets, name, mode, force, once
        self._source, self._message, self._run = source, message, run
        self._files: TableFiles = datasets.files(name)

    def make(self, batches: Iterable[pa.RecordBatch]) -> DatasetVersion:
        """Write the rows and make the version; return it, or the newest one with `new=False` where nothing differs."""
        history = self._datasets.history(self._name)
        refuse_reference(history)
        written = self._write(batches, history)
        try:
            version = self._agree(written, history)
        except BaseException:
            self._files.delete(file.path for file in written.files)
            raise
        if version.new:
            self._datasets.bring_up(self._name)
        else:
            self._files.delete(file.path for file in written.files)
        return version

    def _write(self, batches: Iterable[pa.RecordBatch], history: History) -> Written:
        stream = iter(batches)
        first = next(stream, None)
        if first is None:
            raise DataError("there are no record batches, so no columns", hint="Give an empty table with its schema.")
        base = self._base(history)
        schema = self._datasets.schema(base) if base else columns.stored_schema(first.schema)
        digest = TableDigest(schema)
        files = self._files.write(self._fitted(first, stream, schema, digest), schema)
        total, blocks = digest.finish()
        return Written(schema, files, total, tuple(blocks))

    def _fitted(
        self, first: pa.RecordBatch, rest: Iterator[pa.RecordBatch], schema: pa.Schema, digest: TableDigest
    ) -> Iterator[pa.RecordBatch]:
        what = f"dataset {self._name!r}"
        fitted = columns.fit(first, schema, what)
        while True:
            digest.update(fitted)
            if fitted.num_rows:
                yield fitted
            following = next(rest, None)
            if following is None:
                return
            fitted = columns.fit(following, schema, what)

    def _base(self, history: History) -> DatasetVersion | None:
        """Return the version that an append goes on from."""
        return history.latest if self._mode == "append" else None

    def _agree(self, written: Written, history: History) -> DatasetVersion:
        while True:
            version = self._decide(written, history)
            if not version.new:
                return version
            stream = self._datasets.stream(self._name)
            try:
                event = stream.append(COMMITTED, version.body(), expecting=history.seq)
            except Conflict:
                history = self._datasets.history(self._name)
                refuse_reference(history)
                continue
            return replace(version, time=event.time, actor=event.actor)

    def _decide(self, written: Written, history: History) -> DatasetVersion:
        """Return the version that these rows make upon `history`, or its newest, marked as not new."""
        base = self._base(history)
        same = self._same(written, history)
        if same is not None:
            return replace(same, new=False)
        digest, content = self._content(written, base)
        return DatasetVersion(
            name=self._name,
            version=len(history.versions) + 1,
            digest=digest,
            rows=content.rows,
            columns=columns.describe(written.schema),
            mode=self._mode,
            manifest=manifests.save(content, self._datasets.blobs),
            added=written.digest if base else "",
            source=self._source,
            message=self._message,
            run=self._run,
        )

    def _same(self, written: Written, history: History) -> DatasetVersion | None:
        """Return the version that makes this commit needless, if one does."""
        if self._run:  # a step that is tried again after it was killed has perhaps committed already
            for version in history.versions:
                facts = version.run, version.source, version.mode, version.added or version.digest
                if facts == (self._run, self._source, self._mode, written.digest):
                    return version
        latest = history.latest
        if latest is None or self._force:
            return None
        if self._mode == "replace":
            return latest if latest.digest == written.digest else None
        again = self._once and latest.mode == "append" and (latest.added or latest.digest) == written.digest
        return latest if again or written.rows == 0 else None

    def _content(self, written: Written, base: DatasetVersion | None) -> tuple[str, Manifest]:
        schema = written.schema.serialize().to_pybytes()
        if base is None:
            return written.digest, Manifest(schema=schema, files=written.files, blocks=written.blocks)
        known = self._datasets.manifest(base)
        if known.schema != schema:
            raise Conflict(f"dataset {self._name!r} got other columns while rows were added", hint="Add them again.")
        digest = TableDigest(written.schema, known.blocks)
        tail = known.rows % BLOCK
        parts = ([self._files.tail(known.files, tail)] if tail else []) + [self._files.scan(written.files)]
        for batch in record_batches(parts):
            digest.update(columns.fit(batch, written.schema, f"dataset {self._name!r}"))
        total, blocks = digest.finish()
        files = (*known.files, *(file for file in written.files if file.rows))
        return total, Manifest(schema=schema, files=files, blocks=tuple(blocks))


def refuse_reference(history: History) -> None:
    """Raise `UsageError` where the dataset's versions are references: its rows are not ours to add to."""
    if history.latest and history.latest.mode == "reference":
        raise UsageError(
            f"dataset {history.name!r} refers to {history.latest.uri}", hint="Add the rows under another name."
        )


def digest_of(datasets: Datasets, version: DatasetVersion) -> str:
    """Return the digest of what a version's files hold now, read anew."""
    schema = datasets.schema(version)
    scanned = record_batches(datasets.scan(version))
    return table_digest(columns.fit(batch, schema, version.ref) for batch in scanned)
