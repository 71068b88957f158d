"""Files on their way into a dataset: read anew while types are still being learnt, bad rows set aside, progress told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.datasets import marked, sources
from mlopsfw.datasets.commits import Commit
from mlopsfw.datasets.csvoptions import CsvOptions
from mlopsfw.datasets.csvwrong import WrongGuess
from mlopsfw.datasets.located import SourceFile, locate
from mlopsfw.datasets.quarantine import Quarantine
from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.datasets.catalog import Datasets
    from mlopsfw.datasets.change import Change
    from mlopsfw.datasets.versions import DatasetVersion


def take_in(
    datasets: Datasets,
    name: str,
    paths: Sequence[Path],
    change: Change,
    options: CsvOptions,
    *,
    now: str,
    progress: Any = None,
    **facts: Any,
) -> DatasetVersion:
    """Make a version of files; arguments and errors as for `Datasets.add`, `now` in RFC 3339."""
    treatment = datasets.treatment(name)
    texts = {column: "string" for column, mark in treatment.marks.items() if mark == "hash"}  # 007 and 7 stay two
    options = msgspec.structs.replace(
        options, expected=texts | _expected(datasets, name, change), max_ratio=change.max_ratio
    )
    files = locate(paths, tuple(sources.FORMATS))
    guesses: dict[str, str] = {}
    while True:  # each round knows the type of one more column
        quarantine = None
        if change.max_bad:
            quarantine = Quarantine(datasets.tables, name, change.max_bad, now, personal=bool(treatment.marks))
        batches = sources.read(files, options, guesses, quarantine)
        batches = _counted(batches, progress, files) if progress else batches
        commit = Commit(datasets, name, change, quarantine=quarantine, **facts)
        try:
            return commit.make(quarantine.watch(batches) if quarantine else batches)
        except WrongGuess as error:
            if guesses.get(error.column) == error.type:
                raise
            guesses[error.column] = error.type
        except DataError as error:
            if not treatment.marks:
                raise
            known = latest.columns if (latest := datasets.history(name).latest) else {}
            raise marked.withheld(error, {name, *treatment.marks, *known}) from None


def _expected(datasets: Datasets, name: str, change: Change) -> dict[str, str]:
    """Return the types that CSV columns have in the dataset already: text stays text there, whatever it looks like."""
    latest = None if change.mode == "replace" else datasets.history(name).latest
    if latest is None or not latest.manifest:
        return {}
    names = {field.name: str(field.type).removeprefix("large_") for field in datasets.schema(latest)}
    strict = {"string"} | ({"int64", "double", "bool", "date32[day]", "timestamp[us]"} if change.max_bad else set())
    return {column: kind for column, kind in names.items() if kind in strict}


def _counted(batches: Iterator[pa.RecordBatch], progress: Any, files: Sequence[SourceFile]) -> Iterator[pa.RecordBatch]:
    """Yield `batches` and tell rows and bytes read so far. Bytes are what Arrow holds, at most the files' own."""
    rows = read = 0
    size = sum(file.path.stat().st_size for file in files if file.path.is_file())
    for batch in batches:
        rows, read = rows + batch.num_rows, read + batch.nbytes
        progress(rows, min(read, size))
        yield batch
