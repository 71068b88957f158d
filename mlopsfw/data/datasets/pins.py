"""Outside tables by reference: a URI, pinned by digest, ETag or table version, and checked before each read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.data.tables.delta_scan import scan_delta
from mlopsfw.data.tables.digest import file_digest
from mlopsfw.data.tables.files import local_folder
from mlopsfw.kernel.base.errors import DataError, ReferenceChanged, UsageError

if TYPE_CHECKING:
    import polars as pl

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}
"""Suffix → Polars' format. A version's event holds the format."""


def absolute(uri: str, root: Path) -> str:
    """Return `uri`, with a relative path made absolute against `root`."""
    folder = local_folder(uri)
    return uri if folder is None else str((root / folder).resolve())


def pin(uri: str) -> dict[str, Any]:
    """Return the pin of the table at `uri` (absolute).

    Returns:
        `{"kind": "delta", "table": id, "version": n}`, `{"kind": "files", "format": …, "files": {relative path: sha256}}`, or
        `{"kind": "object", "format": …, "etag": …, "size": …}`.

    Raises:
        DataError: There is no table, or the store sends no ETag.
    """
    path = local_folder(uri)
    if _is_delta(uri, path):
        return _pin_delta(uri, None)
    if path is None:
        return _pin_object(uri)
    files = _local_files(path)
    return {"kind": "files", "format": _one_format(files), "files": {_relative(path, f): file_digest(f) for f in files}}


def check(uri: str, pinned: dict[str, Any], name: str) -> None:
    """Raise `ReferenceChanged` unless `uri` still matches the pin of dataset `name`."""
    try:
        now = _pin_delta(uri, pinned["version"]) if pinned["kind"] == "delta" else pin(uri)
    except DataError as error:
        raise _changed(name, uri, str(error)) from None
    if now == pinned:
        return
    files, was = now.get("files", {}), pinned.get("files", {})
    different = sorted(path for path in files.keys() | was.keys() if files.get(path) != was.get(path))
    raise _changed(name, uri, f"{', '.join(different)} differ" if different else "it is a different object")


def scan(uri: str, pinned: dict[str, Any]) -> pl.LazyFrame:
    """Return the pinned table's rows lazily."""
    import polars as pl

    if pinned["kind"] == "delta":
        from deltalake import DeltaTable

        return scan_delta(DeltaTable(uri, version=pinned["version"]))
    path = local_folder(uri)
    location: list[Any] = [uri] if path is None else _local_files(path)
    if pinned["format"] == "parquet":
        return pl.scan_parquet(location, glob=False)
    if pinned["format"] == "ipc":
        return pl.scan_ipc(location, glob=False)
    if pinned["format"] == "jsonl":
        return pl.scan_ndjson(location, infer_schema_length=None)
    return pl.scan_csv(location, infer_schema_length=None, try_parse_dates=True, glob=False)


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
        table = DeltaTable(uri, version=version)
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
    return {"kind": "object", "format": _one_format([Path(key)]), "etag": head["e_tag"], "size": head["size"]}


def _local_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in _FORMATS)
    if not files:
        raise DataError(
            f"there is no table at {path}",
            hint="Name a Parquet, CSV, JSONL or IPC file, a folder of them, or a Delta table.",
        )
    return files


def _relative(path: Path, file: Path) -> str:
    return file.name if path.is_file() else file.relative_to(path).as_posix()


def _one_format(files: list[Path]) -> str:
    kinds = {_FORMATS.get(file.suffix.lower(), "") for file in files}
    if len(kinds) == 1 and "" not in kinds:
        return kinds.pop()
    raise UsageError(f"{files[0]}: these files do not form one table", hint="Name files of one format with its suffix.")
