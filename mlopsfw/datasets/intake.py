"""Files on their way into a dataset: read anew while types are still being learnt, bad rows set aside, progress told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.clock import rfc3339
from mlopsfw.datasets import marked, sources
from mlopsfw.datasets.commits import Commit
from mlopsfw.datasets.csvoptions import CsvOptions
from mlopsfw.datasets.gathered import gather
from mlopsfw.datasets.guesses import Guesses, WrongGuess
from mlopsfw.datasets.located import SourceFile
from mlopsfw.datasets.quarantine import Quarantine
from mlopsfw.datasets.unfit import located
from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.datacontract.sifting import Sieve
    from mlopsfw.datasets.catalog import Datasets
    from mlopsfw.datasets.change import Change
    from mlopsfw.datasets.outside import Outside
    from mlopsfw.datasets.tablesource import SourceTable
    from mlopsfw.datasets.versions import DatasetVersion
    from mlopsfw.project import Project


def take_in(  # noqa: PLR0917 - called in one place
    project: Project,
    name: str,
    places: Sequence[Path | str],
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
        now = rfc3339(project.clock.now())
        return _read(datasets, name, found.files, change, options, sieve, now=now, progress=progress, **facts)


def _read(  # noqa: PLR0917 - called in one place
    datasets: Datasets,
    name: str,
    files: Sequence[SourceFile | SourceTable],
    change: Change,
    options: CsvOptions,
    sieve: Sieve | None,
    *,
    now: str,
    progress: Any,
    **facts: Any,
) -> DatasetVersion:
    treatment = datasets.treatment(name)
    texts = {column: "string" for column, mark in treatment.marks.items() if mark == "hash"}  # 007 and 7 stay two
    options = msgspec.structs.replace(
        options, expected=texts | _expected(datasets, name, change), max_ratio=change.max_ratio
    )
    guesses = Guesses()
    while True:
        quarantine = None
        if change.max_bad:
            quarantine = Quarantine(datasets.tables, name, change.max_bad, now, personal=bool(treatment.marks))
        batches = sources.read(files, options, guesses, quarantine)
        if quarantine and sieve:
            batches = sieve.sift(batches, quarantine, facts["source"])
        batches = _counted(batches, progress, files) if progress else batches
        commit = Commit(datasets, name, change, quarantine=quarantine, **facts)
        try:
            return commit.make(quarantine.watch(batches) if quarantine else batches)
        except WrongGuess as error:
            guesses.learn(error)
        except DataError as met:
            told = located(met, files, options)
            if not treatment.marks:
                raise told from None
            known = latest.columns if (latest := datasets.history(name).latest) else {}
            raise marked.withheld(told, {name, *treatment.marks, *known}) from None


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
    """Yield `batches` and tell rows and bytes read so far, and bytes in all. Bytes are what Arrow holds, at most the sources' own."""
    rows = read = 0
    size = sum(_size(file) for file in files)
    for batch in batches:
        rows, read = rows + batch.num_rows, read + batch.nbytes
        progress(rows, min(read, size), size)
        yield batch


def _size(file: SourceFile | SourceTable) -> int:
    if not isinstance(file, SourceFile):
        return file.size()
    return file.path.stat().st_size if file.path.is_file() else 0
