"""Outside tables by reference: a URI, pinned by digest, ETag or table version, and checked before each read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.data.intake.lazy import scan_files
from mlopsfw.data.intake.open_file import inner_suffix
from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.tables.delta_scan import check_place, scan_delta
from mlopsfw.data.tables.digest import file_digest
from mlopsfw.data.tables.local import local_folder
from mlopsfw.kernel.base.errors import DataError, ReferenceChanged
from mlopsfw.kernel.roles.reading import ReadOptions

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.intake.formats import Formats

_FORMER = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet", ".pq", ".arrow", ".ipc", ".feather")
"""The suffixes of files that count in a folder whose pin has a `format`, as the pins of earlier releases have."""
_IN_PLACE = (".parquet", ".pq")
"""Files that are scanned where they lie: they say their types, and their columns and row groups are read alone."""
_SCALARS = ("string", "utf8", "bool", "int", "uint", "float", "double", "date", "timestamp")


def absolute(uri: str, root: Path) -> str:
    """Return `uri`, with a relative path made absolute against `root`."""
    folder = local_folder(uri)
    return uri if folder is None else os.path.realpath(root / folder)


def pin(uri: str, suffixes: Sequence[str]) -> dict[str, Any]:
    """Return the pin of the table at `uri` (absolute).

    Args:
        uri: The table.
        suffixes: Those of files that an installed format reads.

    Returns:
        `{"kind": "delta", "table": id, "version": n}`, `{"kind": "files", "files": {relative path: sha256}}`, or
        `{"kind": "object", "etag": …, "size": …}`.

    Raises:
        DataError: There is no table, or the store sends no ETag.
    """
    path = local_folder(uri)
    if _is_delta(uri, path):
        return _pin_delta(uri, None)
    if path is None:
        return _pin_object(uri)
    return {"kind": "files", "files": {_relative(path, f): file_digest(f) for f in _local_files(path, suffixes)}}


def same(pinned: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two pins are of the same table, read in the same way."""
    return _facts(pinned) | _options(pinned) == _facts(other) | _options(other)


def _facts(pinned: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in pinned.items() if name not in {"format", "options"}}


def _options(pinned: dict[str, Any]) -> dict[str, Any]:
    return {"options": pinned["options"]} if "options" in pinned else {}


def check(uri: str, pinned: dict[str, Any], name: str, suffixes: Sequence[str]) -> None:
    """Raise `ReferenceChanged` unless `uri` still matches the pin of dataset `name`."""
    counted = _FORMER if "format" in pinned else suffixes
    try:
        now = _pin_delta(uri, pinned["version"]) if pinned["kind"] == "delta" else pin(uri, counted)
    except DataError as error:
        raise _changed(name, uri, str(error)) from None
    if now == _facts(pinned):
        return
    files, was = now.get("files", {}), pinned.get("files", {})
    different = sorted(path for path in files.keys() | was.keys() if files.get(path) != was.get(path))
    raise _changed(name, uri, f"{', '.join(different)} differ" if different else "it is a different object")


def scan(formats: Formats, uri: str, pinned: dict[str, Any], columns: Mapping[str, str]) -> pl.LazyFrame:
    """Return the pinned table's rows lazily, read as `data add` reads them.

    Args:
        formats: The formats that read files.
        uri: The table.
        pinned: Its pin; `options` says how its files are written.
        columns: Column → type, as the version has them, so that the same rows come of it in every release; empty at first.
    """
    import polars as pl

    if pinned["kind"] == "delta":
        from deltalake import DeltaTable

        return scan_delta(DeltaTable(check_place(uri), version=pinned["version"]))
    path, places = local_folder(uri), _places(uri, pinned)
    if in_place(uri, pinned):
        return pl.scan_parquet([uri] if path is None else list(map(str, places)), glob=False)
    options = msgspec.convert(pinned.get("options", {}), ReadOptions)
    known = {name: kind for name, kind in columns.items() if kind.startswith(_SCALARS)}
    options = msgspec.structs.replace(options, types=known | options.types)
    return scan_files(formats, lambda: _at_hand(uri, places, local=path is not None), options)


def in_place(uri: str, pinned: dict[str, Any]) -> bool:
    """Return whether the pinned table is read where it lies, so that a slice of its rows reads little else."""
    return pinned["kind"] == "delta" or (
        "options" not in pinned and all(place.suffix.lower() in _IN_PLACE for place in _places(uri, pinned))
    )


def _places(uri: str, pinned: dict[str, Any]) -> Sequence[PurePath]:
    path = local_folder(uri)
    return [PurePosixPath(uri)] if path is None else [_file(path, name) for name in sorted(pinned["files"])]


@contextlib.contextmanager
def _at_hand(uri: str, places: Sequence[PurePath], *, local: bool) -> Iterator[Sequence[SourceFile]]:
    """Give the files, of an object a private copy."""
    if local:
        yield [SourceFile(Path(place)) for place in places]
        return
    import obstore
    from obstore.store import from_url

    base, _, key = uri.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="mlopsfw-") as folder:
        copy = Path(folder) / key
        with copy.open("wb") as out:
            for chunk in obstore.get(from_url(base), key).stream():
                out.write(chunk)
        yield [SourceFile(copy, shown=uri)]


def _file(path: Path, name: str) -> Path:
    return path if path.is_file() else path / name


def _changed(name: str, uri: str, difference: str) -> ReferenceChanged:
    hint = f"Register the present object as a new version: mlopsfw data add {name} --reference {uri}"
    return ReferenceChanged(f"dataset {name!r}: {uri} differs from the registered object: {difference}", hint=hint)


def _is_delta(uri: str, path: Path | None) -> bool:
    from deltalake import DeltaTable

    if path is not None:
        return (path / "_delta_log").is_dir()
    return not Path(uri).suffix and DeltaTable.is_deltatable(uri)


def _pin_delta(uri: str, version: int | None) -> dict[str, Any]:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(check_place(uri), version=version)
    except DeltaError as error:
        raise DataError(f"{uri} cannot be opened as a Delta table: {error}") from None
    return {"kind": "delta", "table": str(table.metadata().id), "version": table.version()}


def _pin_object(uri: str) -> dict[str, Any]:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    base, _, key = uri.rpartition("/")
    try:
        head = obstore.head(from_url(base), key)
    except (BaseError, FileNotFoundError) as error:
        raise DataError(f"{uri} cannot be reached: {error}") from None
    if not head["e_tag"]:
        raise DataError(
            f"{uri}: the store gives no ETag, so that a change would go unnoticed",
            hint="Add the rows instead of a reference.",
        )
    return {"kind": "object", "etag": head["e_tag"], "size": head["size"]}


def _local_files(path: Path, suffixes: Sequence[str]) -> list[Path]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in files if inner_suffix(file) in suffixes]
    if not files:
        known = ", ".join(suffixes)
        raise DataError(
            f"there is no table at {path}", hint=f"Name a file or a folder of files ({known}), or a Delta table."
        )
    return files


def _relative(path: Path, file: Path) -> str:
    return file.name if path.is_file() else file.relative_to(path).as_posix()
