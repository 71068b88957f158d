"""What a user means by a path: a file, the files that a pattern matches, or a folder of them, with what their folders' names say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mlopsfw.data.intake.open_file import inner_suffix
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_PATTERN = re.compile(r"[*?\[]")
_NULL = "__HIVE_DEFAULT_PARTITION__"  # how Hive and Spark write a missing value in a folder's name


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read.

    Args:
        path: Where it is.
        partition: Column → value in all of its rows, from folders called `column=value` (Hive's partitions).
        shown: What errors call it, where `path` is but a copy; empty for the path.
        sheet: Of a workbook, the sheet; empty for the only one.
    """

    path: Path
    partition: dict[str, str | None] = field(default_factory=dict)
    shown: str = ""
    sheet: str = ""


def locate(paths: Sequence[Path], suffixes: Sequence[str]) -> list[SourceFile]:
    """Return the files that `paths` mean, those of each path in the order of their names.

    Args:
        paths: Files, patterns (`2013-*.csv`, `**/*.parquet`), or folders, whose files of known suffix are meant, except for
            those that begin with a dot or underscore.
        suffixes: The known ones.

    Raises:
        DataError: Nothing is there, or files of one path are partitioned by different columns.
    """
    return [file for path in paths for file in _files(path, suffixes)]


def _files(path: Path, suffixes: Sequence[str]) -> list[SourceFile]:
    if path.is_dir():
        base, found = path, [file for file in path.rglob("*") if file.is_file() and _shown(file.relative_to(path))]
        found = [file for file in found if inner_suffix(file) in suffixes]
        missing = f"{path} holds no file of a known format"
    elif not path.exists() and _PATTERN.search(str(path)):
        base = next(parent for parent in path.parents if not _PATTERN.search(str(parent)))
        found = [file for file in base.glob(path.relative_to(base).as_posix()) if file.is_file()]
        missing = f"nothing matches {path}"
    else:
        return [SourceFile(path)]
    if not found:
        raise DataError(missing, hint="Correct the path, or put the file there.")
    return agreeing([SourceFile(file, partition_of(file.relative_to(base).parent)) for file in sorted(found)])


def agreeing(files: list[SourceFile]) -> list[SourceFile]:
    """Return `files`, which are of one source. Raise `DataError` where they are partitioned by different columns."""
    odd = next((file for file in files if list(file.partition) != list(files[0].partition)), None)
    if odd:
        ours, others = (", ".join(file.partition) or "nothing" for file in (odd, files[0]))
        names = (file.shown or file.path for file in (odd, files[0]))
        raise DataError("{} is partitioned by {ours}, {} by {others}".format(*names, ours=ours, others=others))
    return files


def _shown(relative: Path) -> bool:
    return not any(part[0] in "._" for part in relative.parts)


def partition_of(folders: PurePath) -> dict[str, str | None]:
    """Return what folders called `column=value` say."""
    pairs = [part.partition("=") for part in folders.parts]
    values = {name: unquote(value) for name, equals, value in pairs if equals and name}
    return {name: None if value == _NULL else value for name, value in values.items()}


def partition_types(files: Sequence[SourceFile]) -> dict[str, pa.DataType]:
    """Return the type of each partition column: whole numbers, dates, else texts, by the values in all of `files`."""
    import pyarrow as pa

    names = {name: None for file in files for name in file.partition}
    types = {}
    for name in names:
        values = pa.array([file.partition.get(name) for file in files], pa.string())
        types[name] = next((kind for kind in (pa.int64(), pa.date32()) if _fits(values, kind)), pa.string())
    return types


def _fits(values: pa.Array, kind: Any) -> bool:
    import pyarrow as pa

    try:
        back = values.cast(kind).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    # 01 is month 1, but 007 is a name: a number of more digits than it needs counts only where all have as many
    widths = {len(value) for value in values.drop_null().to_pylist()}
    return values.null_count < len(values) and (back.equals(values) or (len(widths) == 1 and widths <= {2}))


def with_partition(
    batches: Iterator[pa.RecordBatch], file: SourceFile, types: dict[str, pa.DataType]
) -> Iterator[pa.RecordBatch]:
    """Yield `batches` with the columns that the file's folders say. Raise `DataError` where the file has one of them itself."""
    import pyarrow as pa

    for batch in batches:
        done = batch
        for name, value in file.partition.items():
            if name in batch.schema.names:
                raise DataError(f"{file.path} has a column {name!r}, and its folder says {name}={value}")
            column = pa.repeat(pa.scalar(value, pa.string()).cast(types[name]), batch.num_rows)
            done = done.append_column(pa.field(name, types[name]), column)
        yield done
