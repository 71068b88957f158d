"""Ranges of a version's rows and their digests, from its manifest, which holds a digest for every block of 65,536 rows.

A range that begins with a block has the digest (`mlopsfw.data.tables.digest.table_digest`) of a table of its rows. Only the rows after the last
full block are read for it. So unchanged rows are recognised, whatever was appended after them.

"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.tables.digest import BLOCK, TableDigest, record_batches
from mlopsfw.kernel.base.errors import Erased

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.data.tables.files import TableFiles
    from mlopsfw.data.tables.manifest import Manifest
    from mlopsfw.kernel.roles.artifact import Artifact


class Range(msgspec.Struct, frozen=True):
    """Rows `start` to `stop` (exclusive) of a table, and the digest of their content."""

    start: int
    stop: int
    digest: str


def of_version(datasets: VersionStore, version: DatasetVersion, rows: int) -> Iterator[Range]:
    """Yield the ranges of `rows` rows (a multiple of 65,536) of a version. The last one may be shorter; an empty version has one."""
    manifest, total = datasets.manifest(version), version.rows
    files, schema = datasets.files(version.name), datasets.schema(version)
    for start in range(0, max(total, 1), rows):
        yield _range(files, manifest, schema, start, min(start + rows, total))


def _range(files: TableFiles, manifest: Manifest, schema: pa.Schema, start: int, stop: int) -> Range:
    """Return the range from `start`, the beginning of a block, to `stop`, the end of a block or of the version."""
    full = stop // BLOCK
    digest = TableDigest(schema, manifest.blocks[start // BLOCK : full])
    if stop % BLOCK:
        for batch in record_batches(files.after(manifest.files, full * BLOCK).head(stop % BLOCK)):
            digest.update(batch)
    return Range(start, stop, digest.finish()[0])


def of_batches(frame: pl.LazyFrame, rows: int) -> Iterator[Range]:
    """Yield the ranges of `rows` rows of a table, reading it once."""
    start, digest = 0, None
    for batch in record_batches(frame):
        digest = digest or TableDigest(batch.schema)
        at = 0
        while at < batch.num_rows:
            part = batch.slice(at, rows - digest.rows)
            digest.update(part)
            at += part.num_rows
            if digest.rows == rows:
                yield Range(start, start + rows, digest.finish()[0])
                start, digest = start + rows, TableDigest(batch.schema)
    if digest is not None and (digest.rows or not start):
        yield Range(start, start + digest.rows, digest.finish()[0])


def scan(datasets: VersionStore, artifact: Artifact) -> pl.LazyFrame:
    """Return the rows of `artifact`, a range of a dataset's `rows`.

    Raises:
        Erased: The rows have changed, since an erasure removed some from the version.
    """
    start, stop = artifact.rows or (0, 0)
    version = datasets.resolve(artifact)
    if version.erased and _now(datasets, version, start, stop) != artifact.digest:
        raise Erased(
            f"rows {start:,} to {stop:,} of {version.ref} have changed: rows were erased from it on request",
            hint="Run the step that reads it again.",
        )
    return datasets.scan(version).slice(start, stop - start)


def _now(datasets: VersionStore, version: DatasetVersion, start: int, stop: int) -> str:
    files, manifest = datasets.files(version.name), datasets.manifest(version)
    return _range(files, manifest, datasets.schema(version), start, stop).digest
