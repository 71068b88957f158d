"""Score a file offline with a registered model: the same bundle, plan and runtime as a server, without one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError, SignatureMismatch

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.contracts.bundle import Bundle, SignatureColumn
    from mlopsfw.project import Project

_TELLING = 4_096  # rows that tell a CSV column's type, most often
_BATCH = 65_536  # rows scored at a time


def score_file(project: Project, model: str, file: Path) -> pl.DataFrame:
    """Return the rows of `file` (CSV, Parquet or JSON lines) with the outputs of `model` (`models:/name@alias`) beside them.

    Raises:
        DataError: The file cannot be read.
        SignatureMismatch: Its rows do not fit the model.
    """
    found = project.registry.resolve(model)
    with tempfile.TemporaryDirectory(dir=project.private_folder("scratch")) as scratch:
        bundle = project.bundles.open(project.blobs.get_folder(found.bundle, Path(scratch) / "bundle"))
        rows = read_rows(file)
        scored = score(bundle, project.privacy.rows(found, rows))
        return rows.with_columns(scored.select(bundle.manifest.outputs)) if rows.height else rows


def score(bundle: Bundle, rows: pl.DataFrame) -> pl.DataFrame:
    """Return `rows` with one column for each output of `bundle`."""
    import polars as pl

    missing = [column.name for column in bundle.manifest.inputs if column.name not in rows.columns]
    if missing:
        raise SignatureMismatch(f"the rows lack {', '.join(missing)}, which the model needs")
    scored: list[pl.DataFrame] = []
    for number, part in enumerate(rows.iter_slices(_BATCH)):
        columns = {column.name: request_values(part[column.name], column) for column in bundle.manifest.inputs}
        try:
            outputs = {name: values.tolist() for name, values in bundle.predict(columns).items()}
        except SignatureMismatch as error:
            raise _located(error, number * _BATCH) from None
        scored.append(part.with_columns(**{name: pl.Series(values) for name, values in outputs.items()}))
    return pl.concat(scored) if scored else rows


def _located(error: SignatureMismatch, first: int) -> SignatureMismatch:
    """Return `error` with its column and, counted from the file's first, its row in the message."""
    row = None if error.row is None else first + error.row
    parts = (f"column {error.column!r}" if error.column else "", "" if row is None else f"row {row}")
    where = ", ".join(part for part in parts if part)
    told = not where or where in error.message
    message = error.message if told else f"{where}: {error.message}"
    return SignatureMismatch(message, column=error.column, row=row, hint=error.hint)


def request_values(series: pl.Series, column: SignatureColumn) -> list[Any]:
    """Return a column as a request would send it."""
    if column.type == "datetime" and series.dtype.is_temporal():
        zone = "Z" if getattr(series.dtype, "time_zone", None) in (None, "UTC") else "%:z"
        return series.dt.to_string(f"%Y-%m-%dT%H:%M:%S%.f{zone}").to_list()
    if column.type == "date" and series.dtype.is_temporal():
        return series.dt.to_string("%Y-%m-%d").to_list()
    return series.to_list()


def read_rows(file: Path) -> pl.DataFrame:
    """Return the rows of a CSV, Parquet, JSON-lines or Arrow IPC file. Raise `DataError` if it cannot be read."""
    import polars as pl

    readers: dict[str, Any] = {
        ".csv": _read_csv,
        ".parquet": pl.read_parquet,
        ".jsonl": pl.read_ndjson,
        ".ndjson": pl.read_ndjson,
        **dict.fromkeys((".arrow", ".ipc", ".feather"), pl.read_ipc),
    }
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{file}: rows are read from {', '.join(readers)}", hint="Convert the file, or rename it.")
    try:
        rows: pl.DataFrame = reader(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    return rows


def _read_csv(file: Path) -> pl.DataFrame:
    """Read a CSV file as all of its rows would have it typed; twice only where the first do not tell."""
    import polars as pl

    try:
        rows = pl.read_csv(file, schema=pl.scan_csv(file, infer_schema_length=_TELLING).collect_schema())
    except pl.exceptions.ComputeError:  # a later row holds what the first did not
        return pl.read_csv(file, infer_schema_length=None)
    untold = any(column.head(_TELLING).null_count() == _TELLING for column in rows)
    return pl.read_csv(file, infer_schema_length=None) if untold else rows


def write_rows(rows: pl.DataFrame, file: Path) -> None:
    """Write `rows` as what the suffix of `file` says: Parquet, CSV or JSON lines."""
    writers: dict[str, Any] = {
        ".parquet": rows.write_parquet,
        ".csv": rows.write_csv,
        ".jsonl": rows.write_ndjson,
        ".ndjson": rows.write_ndjson,
    }
    writer = writers.get(file.suffix.lower())
    if writer is None:
        raise DataError(f"{file}: rows are written as {', '.join(writers)}", hint="Choose one of these suffixes.")
    writer(file)
