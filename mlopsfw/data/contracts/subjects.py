"""Check files of rows against a contract, or infer one from them. `mlopsfw.data.datasets.checking` checks versions of datasets."""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.contracts.evaluation import judge
from mlopsfw.data.contracts.loading import load_known
from mlopsfw.data.contracts.results import worst_first
from mlopsfw.data.tables.calendar import check_calendar
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.contracts.model import Contract
    from mlopsfw.data.contracts.results import Report
    from mlopsfw.data.intake.formats import Formats

_SCANNED = (".parquet", ".pq")


def check_file(formats: Formats, path: Path, file: Path, *, now: dt.datetime, personal: Collection[str] = ()) -> Report:
    """Check a file's rows, read as `data add` reads them. Without a previous version there is no `distribution`."""
    from mlopsfw.data.contracts.distribution import without_previous

    contract, origin = load_known(file, file.as_posix())
    with rows_of(formats, [path]) as rows, readable(str(path)):
        check_calendar(rows, str(path))
        report = judge(rows, contract, now=now, personal=personal, subject=str(path), **origin)
    if contract.distribution is None:
        return report
    more = without_previous(contract.distribution, f"{path.name} has no previous version")
    return msgspec.structs.replace(report, results=worst_first([*report.results, *more]))


@contextlib.contextmanager
def readable(subject: str) -> Iterator[None]:
    """Turn an error of Polars' about unreadable rows into a `DataError`."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{subject} cannot be read: {str(error).strip().partition(chr(10))[0]}") from None


@contextlib.contextmanager
def rows_of(formats: Formats, paths: Sequence[Path]) -> Iterator[pl.LazyFrame]:
    """Yield the rows of files lazily. Parquet is read in place; other files are first converted into a private folder.

    Raises:
        DataError: A file is missing or cannot be read; with the line, if it has lines.
        UsageError: A file's suffix names no known format.
    """
    import polars as pl

    if len(paths) == 1 and paths[0].suffix.lower() in _SCANNED and paths[0].is_file():
        with readable(str(paths[0])):
            rows = pl.scan_parquet(paths[0])
            rows.collect_schema()
        yield rows
        return
    with tempfile.TemporaryDirectory(prefix="mlopsfw-") as folder:
        file = Path(folder) / "rows.arrow"
        _spool(formats, paths, file)
        yield pl.scan_ipc(file)


def _spool(formats: Formats, paths: Sequence[Path], target: Path) -> None:
    """Write files' rows as Arrow IPC."""
    import pyarrow as pa

    from mlopsfw.data.intake.paths import locate
    from mlopsfw.data.intake.type_inference import Guesses
    from mlopsfw.kernel.roles.reading import ReadOptions

    files, guesses = locate(paths, formats.suffixes), Guesses()

    def write() -> None:
        batches = formats.read(files, ReadOptions(), guesses)
        first = next(batches)
        with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)

    try:
        guesses.retry(write)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"the files have different columns: {error}") from None


def infer_file(formats: Formats, path: Path, personal: Collection[str] = ()) -> tuple[str, Contract]:
    """Return the contract inferred from a file, as a file's text and as its rules."""
    with rows_of(formats, [path]) as rows, readable(str(path)):
        return infer_rows(rows, path.name, "NAME", dt.datetime.now(dt.UTC), personal)


def infer_rows(
    rows: pl.LazyFrame, subject: str, name: str, now: dt.datetime, personal: Collection[str]
) -> tuple[str, Contract]:
    """Return the contract inferred from rows, as a file's text and as its rules.

    Args:
        rows: The rows.
        subject: Their name.
        name: The dataset of the contract.
        now: The time for `freshness`.
        personal: Columns whose values the contract must not contain.
    """
    from mlopsfw.data.contracts.inference import infer
    from mlopsfw.data.contracts.writing import write_contract

    check_calendar(rows, subject)
    inferred = infer(rows, now=now, personal=personal)
    head = [
        f"A contract for {subject}, inferred from its {inferred.rows:,} rows on {now.date()}. Edit it as you like.",
        "A broken rule fails the check, or only warns if `warn` names it or its `level` says so. Rules that held without",
        "exception fail; measured ones warn. `allow` is the share of rows that may break a rule. See docs/contracts.md.",
        f'In mlopsfw.toml: [data.{name}] contract = "…"',
    ]
    if inferred.left_out:
        head.append(f"Left out, since they do not hold in every part of the rows: {'; '.join(inferred.left_out)}.")
    return write_contract(inferred.contract, head=head, notes=inferred.notes), inferred.contract
