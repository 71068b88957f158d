"""What a contract is checked on: a dataset's version, a file, or a step's rows; and how the result is kept.

A result is the event `dataset.checked` in the dataset's stream: counts and names of rules and columns, never a value.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.data.contracts.distribution import judge_distribution
from mlopsfw.data.contracts.evaluation import judge
from mlopsfw.data.contracts.loading import load_known
from mlopsfw.data.contracts.results import worst_first
from mlopsfw.data.datasets.versions import CHECKED
from mlopsfw.data.tables.calendar import check_calendar
from mlopsfw.kernel.base.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.data.contracts.loading import Origin
    from mlopsfw.data.contracts.model import Contract
    from mlopsfw.data.contracts.results import Report
    from mlopsfw.data.datasets import DatasetVersion
    from mlopsfw.project.facade import Project

_SCANNED = (".parquet", ".pq")


def check_version(project: Project, ref: str, file: Path | None = None) -> Report:
    """Check a dataset's version; keep the result.

    Args:
        project: The project.
        ref: `name` or `name@version`.
        file: The contract; None for the one of `[data.NAME]`.

    Raises:
        UsageError: The dataset has no contract.
        ConfigError: The contract cannot be read.
        DataError: The rows cannot be read.
    """
    version = project.datasets.resolve(ref)
    contract, origin = contract_of(project, version.name, file)
    rows = project.datasets.scan(version)
    report = check_rows(project, rows, contract, subject=version.ref, version=version, **origin)
    record(project, version, report)
    return report


def contract_of(project: Project, name: str, file: Path | None) -> tuple[Contract, Origin]:
    """Return a dataset's contract and what a report says of it: its file and that file's digest."""
    if file is None:
        file = project.contract_file(name)
        if file is None:
            raise UsageError(
                f"dataset {name!r} has no contract",
                hint=f'Write one: mlopsfw data check {name} --infer -o contracts/{name}.toml; '
                f'then [data.{name}] contract = "contracts/{name}.toml", or --contract FILE.',
            )  # fmt: skip
    shown = file.relative_to(project.root).as_posix() if file.is_relative_to(project.root) else file.as_posix()
    return load_known(file, shown)


def check_rows(
    project: Project,
    rows: pl.LazyFrame,
    contract: Contract,
    *,
    subject: str,
    file: str,
    digest: str,
    version: DatasetVersion | None = None,
) -> Report:
    """Check rows; those of a dataset's version are compared with the version before. Raise `DataError` where they cannot be read."""
    now = dt.datetime.fromtimestamp(project.clock.now(), dt.UTC)
    personal = set(project.privacy.everywhere) | set(version.pii if version else ())
    with readable(subject):
        check_calendar(rows, subject)
        report = judge(rows, contract, now=now, personal=personal, subject=subject, file=file, digest=digest)
        if contract.distribution is None:
            return report
        more = judge_distribution(project.datasets, version, contract.distribution)
    return msgspec.structs.replace(report, results=worst_first([*report.results, *more]))


def record(project: Project, version: DatasetVersion, report: Report) -> None:
    """Keep what was found, as an event of the dataset."""
    project.datasets.stream(version.name).append(CHECKED, {"version": version.version, **report.body()})


def check_file(path: Path, file: Path, *, now: dt.datetime, personal: Collection[str] = ()) -> Report:
    """Check a file's rows, read as `data add` would; there is no version before, so no distribution is judged."""
    from mlopsfw.data.contracts.distribution import without_previous

    contract, origin = load_known(file, file.as_posix())
    with rows_of([path]) as rows, readable(str(path)):
        check_calendar(rows, str(path))
        report = judge(rows, contract, now=now, personal=personal, subject=str(path), **origin)
    if contract.distribution is None:
        return report
    more = without_previous(contract.distribution, f"{path.name} has no version before")
    return msgspec.structs.replace(report, results=worst_first([*report.results, *more]))


@contextlib.contextmanager
def readable(subject: str) -> Iterator[None]:
    """Turn what Polars says of rows that cannot be read into a `DataError`."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{subject} cannot be read: {str(error).strip().partition(chr(10))[0]}") from None


@contextlib.contextmanager
def rows_of(paths: Sequence[Path]) -> Iterator[pl.LazyFrame]:
    """Yield the rows of files lazily. Parquet is read where it lies; others are first unpacked and typed into a private folder.

    Raises:
        DataError: A file is not there, or cannot be read; with the line where it has lines.
        UsageError: A file's suffix does not say what it is.
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
        _spool(paths, file)
        yield pl.scan_ipc(file)


def _spool(paths: Sequence[Path], target: Path) -> None:
    """Write files' rows as Arrow IPC."""
    import pyarrow as pa

    from mlopsfw.data.intake import readers as reading
    from mlopsfw.data.intake.csv.options import CsvOptions
    from mlopsfw.data.intake.paths import locate
    from mlopsfw.data.intake.type_inference import Guesses, WrongGuess

    files = locate(paths, tuple(reading.FORMATS))
    guesses = Guesses()
    while True:
        batches = reading.read(files, CsvOptions(), guesses)
        try:
            first = next(batches, None)
            if first is None:
                raise DataError(f"{paths[0]} holds nothing")
            with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
                writer.write_batch(first)
                for batch in batches:
                    writer.write_batch(batch)
        except WrongGuess as error:
            guesses.learn(error)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"the files do not have the same columns: {error}") from None
        else:
            return


def infer_version(project: Project, ref: str) -> tuple[str, Contract]:
    """Return the contract inferred from a dataset's version, as a file's text and as its rules."""
    version = project.datasets.resolve(ref)
    now = dt.datetime.fromtimestamp(project.clock.now(), dt.UTC)
    marks = set(project.privacy.marks(version.name)) | set(version.pii)
    with readable(version.ref):
        return _infer(project.datasets.scan(version), version.ref, version.name, now, marks)


def infer_file(path: Path, project: Project | None) -> tuple[str, Contract]:
    """Return the contract inferred from a file; see `infer_version`."""
    with rows_of([path]) as rows, readable(str(path)):
        return _infer(rows, path.name, "NAME", dt.datetime.now(dt.UTC), personal_columns(project))


def _infer(
    rows: pl.LazyFrame, subject: str, name: str, now: dt.datetime, personal: Collection[str]
) -> tuple[str, Contract]:
    from mlopsfw.data.contracts.inference import infer
    from mlopsfw.data.contracts.writing import write_contract

    check_calendar(rows, subject)
    found = infer(rows, now=now, personal=personal)
    head = [
        f"What the rows of {subject} are like, inferred from its {found.rows:,} rows on {now.date()}. Yours to edit.",
        "A rule that is broken fails the check, or only warns where `warn` names it or its `level` says so. What held without",
        "exception fails, what was measured warns; `allow` is the share of rows that may differ. docs/contracts.md says more.",
        f'In mlopsfw.toml: [data.{name}] contract = "…"',
    ]
    if found.left_out:
        head.append(f"Tried, and not true of all rows alike: {'; '.join(found.left_out)}.")
    return write_contract(found.contract, head=head, notes=found.notes), found.contract


def personal_columns(project: Project | None) -> Collection[str]:
    """Return the columns that any dataset of a project marks as personal: whose a file is no one knows."""
    return set(project.privacy.everywhere) if project else ()
