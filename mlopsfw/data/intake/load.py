"""Files, tables and queries on their way into a dataset: read anew while types are still being learnt, bad rows set aside, progress told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.datasets import marked
from mlopsfw.data.datasets.commits import Commit
from mlopsfw.data.intake import readers as reading
from mlopsfw.data.intake.csv.cast_error import located
from mlopsfw.data.intake.csv.options import CsvOptions
from mlopsfw.data.intake.load_sources import gather
from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.intake.quarantine import Quarantine
from mlopsfw.data.intake.type_inference import Guesses, WrongGuess
from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.datasets.catalog import Datasets
    from mlopsfw.data.datasets.change import Change
    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.data.intake.lakehouse import SourceTable
    from mlopsfw.data.intake.remote.options import Outside
    from mlopsfw.data.intake.sql.query import Query
    from mlopsfw.project.facade import Project


def take_in(  # noqa: PLR0917 - called in one place
    project: Project,
    name: str,
    places: Sequence[Path | str | Query],
    change: Change,
    options: CsvOptions,
    outside: Outside,
    *,
    progress: Any = None,
    **facts: Any,
) -> DatasetVersion:
    """Make a version of what is at `places`, or return the newest where that tells that nothing changed; as for `Datasets.add`."""
    datasets = project.datasets
    latest = datasets.history(name).latest
    again = facts["force"] or not (facts["once"] or change.mode == "replace")
    known = {} if again or latest is None or latest.mode != change.mode or latest.erased else latest.origin
    sieve = project.sieve(name) if change.max_bad else None
    how = [change, options, datasets.treatment(name).marks, sieve.contract if sieve else None]
    heard = (lambda done, whole: progress(0, done, whole)) if progress else (lambda _done, _whole: None)
    with gather(project, places, outside, how, known, heard) as found:
        if latest is not None and found.unchanged:
            return msgspec.structs.replace(latest, new=False)
        facts |= {"source": found.source, "origin": found.origin}
        return _read(project, name, found.files, change, options, progress=progress, **facts)


def put_in(
    project: Project, name: str, batches: Iterator[pa.RecordBatch], change: Change, **facts: Any
) -> DatasetVersion:
    """Make a version of rows that are at hand; as for `Datasets.commit`."""
    try:
        return _made(project, name, batches, change, _quarantine(project, name, change), **facts)
    except DataError as error:
        raise _told(project.datasets, name, error) from error.__cause__


def _read(
    project: Project,
    name: str,
    files: Sequence[SourceFile | SourceTable],
    change: Change,
    options: CsvOptions,
    *,
    progress: Any,
    **facts: Any,
) -> DatasetVersion:
    datasets = project.datasets
    marks = datasets.treatment(name).marks
    texts = {column: "string" for column, mark in marks.items() if mark == "hash"}  # 007 and 7 stay two
    options = msgspec.structs.replace(
        options,
        expected=texts | _expected(datasets, name, change),
        max_ratio=change.max_ratio,
        key=_untyped_key(datasets, name, change),
    )
    guesses = Guesses()
    while True:
        quarantine = _quarantine(project, name, change)
        with contextlib.closing(reading.read(files, options, guesses, quarantine)) as read:  # no cursor stays open
            batches = _counted(read, progress, files) if progress else read
            try:
                return _made(project, name, batches, change, quarantine, **facts)
            except WrongGuess as error:
                guesses.learn(error)
            except DataError as error:
                raise _told(datasets, name, located(error, files, options)) from None


def _quarantine(project: Project, name: str, change: Change) -> Quarantine | None:
    """Return where one load's bad rows go; None where it may have none."""
    if not change.max_bad:
        return None
    now, personal = rfc3339(project.clock.now()), bool(project.datasets.treatment(name).marks)
    return Quarantine(project.datasets.tables, name, change.max_bad, now, personal=personal)


def _made(
    project: Project,
    name: str,
    batches: Iterator[pa.RecordBatch],
    change: Change,
    quarantine: Quarantine | None,
    **facts: Any,
) -> DatasetVersion:
    """Make a version of those rows that keep the contract, where others may go to `quarantine`."""
    commit = Commit(project.datasets, name, change, quarantine=quarantine, **facts)
    if quarantine is None:
        return commit.make(batches)
    sieve = project.sieve(name)
    return commit.make(quarantine.watch(sieve.sift(batches, quarantine, facts["source"]) if sieve else batches))


def _told(datasets: Datasets, name: str, error: DataError) -> DataError:
    """Return an error about rows of a dataset, without their values where some of its columns are personal."""
    if not (marks := datasets.treatment(name).marks):
        return error
    known = latest.columns if (latest := datasets.history(name).latest) else {}
    return marked.withheld(error, {name, *marks, *known})


def _untyped_key(datasets: Datasets, name: str, change: Change) -> tuple[str, ...]:
    """Return the columns of the key whose type no version decides: 9.0 is the 9 of a dataset of whole numbers."""
    latest = datasets.history(name).latest
    known = datasets.schema(latest).names if latest is not None and latest.manifest else []
    return tuple(column for column in change.key if column not in known)


def _expected(datasets: Datasets, name: str, change: Change) -> dict[str, str]:
    """Return the types that CSV columns have in the dataset already: text stays text there, whatever it looks like."""
    latest = None if change.mode == "replace" else datasets.history(name).latest
    if latest is None or not latest.manifest:
        return {}
    names = {field.name: str(field.type).removeprefix("large_") for field in datasets.schema(latest)}
    strict = {"string"} | ({"int64", "double", "bool", "date32[day]", "timestamp[us]"} if change.max_bad else set())
    return {column: kind for column, kind in names.items() if kind in strict}


def _counted(
    batches: Iterator[pa.RecordBatch], progress: Any, files: Sequence[SourceFile | SourceTable]
) -> Iterator[pa.RecordBatch]:
    """Yield `batches` and tell rows and bytes read so far, and bytes in all, None where nobody knows. Bytes are what Arrow holds, at most the sources' own."""
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
