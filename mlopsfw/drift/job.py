"""Compares two files of rows: in memory where they are small enough, streamed where not. The decision is one and the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw_core import ColumnDrift, StreamedDrift

STREAM_FROM = 1 << 30
"""Bytes: a file whose rows take more than this in memory is streamed, unless it is said otherwise."""

_WIDTH = {"String": 24, "Categorical": 4, "Boolean": 1}  # bytes of a value in memory, where not 8

Progress = Callable[[str, Iterator[Any]], Iterator[Any]]
"""Wraps the blocks of one pass, named by what is being done, so that it can be watched."""


@dataclass(frozen=True)
class DriftJob:
    """What to compare and how.

    Args:
        reference, current: The files.
        columns: Only these; all of the reference's where empty.
        alpha: The level, corrected over columns; it holds where rows are exchangeable.
        threshold: The least effect that counts, as a share of rows.
        stream: Whether to stream; None decides by the files' size.
        preset: "evidently", or None for our own rule.
    """

    reference: Path
    current: Path
    columns: tuple[str, ...] = ()
    alpha: float = 0.05
    threshold: float = 0.05
    stream: bool | None = None
    preset: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The columns, most drifted first, with what a page is drawn from.

    Args:
        drifts: One for each column of the reference.
        alarm: Whether the tables have drifted: where any column has, or by the preset's share of columns.
        rows: Of the reference, and of the current file.
        frames: Both tables, where they were read whole.
        stream: What the stream counted, where it was streamed.
    """

    drifts: list[ColumnDrift]
    rows: tuple[int, int]
    alarm: bool
    frames: tuple[pl.DataFrame, pl.DataFrame] | None = None
    stream: StreamedDrift | None = None

    @property
    def drifted(self) -> list[str]:
        """The names of the columns that have drifted."""
        return [one.column for one in self.drifts if one.drifted]

    @property
    def error(self) -> float:
        """How much larger than reported the effect of any column can be: 0 where everything was counted."""
        return max((one.details.get("error", 0.0) for one in self.drifts), default=0.0)


def compare_files(job: DriftJob, watch: Progress = lambda _, blocks: blocks) -> Outcome:
    """Do the job.

    Raises:
        UnknownName: A file lacks a column that was asked for.
        DataError: A file cannot be read.
        UsageError: The preset was asked for on files that have to be streamed.
    """
    stream = any(map(is_large, (job.reference, job.current))) if job.stream is None else job.stream
    if stream and job.preset:
        raise UsageError(
            "a preset compares files that fit into memory, and these are streamed",
            hint="Compare a sample of the rows, or say --no-stream if they do fit.",
        )
    return _streamed(job, watch) if stream else _in_memory(job)


def is_large(file: Path) -> bool:
    """Say whether a file's rows would take more memory than `STREAM_FROM`. JSON lines are never streamed."""
    suffix = file.suffix.lower()
    if suffix == ".parquet" and file.stat().st_size:
        return _parquet_bytes(file) > STREAM_FROM
    return suffix not in {".jsonl", ".ndjson"} and file.stat().st_size > STREAM_FROM


def _parquet_bytes(file: Path) -> int:
    import polars as pl

    try:
        lazy = pl.scan_parquet(file)
        return int(lazy.select(pl.len()).collect().item()) * row_bytes(lazy.collect_schema())
    except (pl.exceptions.PolarsError, OSError):
        return 0  # whoever reads it says what is wrong with it


def row_bytes(schema: pl.Schema) -> int:
    """Return about how many bytes a row takes in memory."""
    return sum(_WIDTH.get(str(dtype), 8) for dtype in schema.values())


def _in_memory(job: DriftJob) -> Outcome:
    from mlopsfw.drift.blocks import known_columns
    from mlopsfw.scoring import read_rows

    with ThreadPoolExecutor(2) as pool:
        read = [pool.submit(read_rows, file) for file in (job.reference, job.current)]
        from mlopsfw_core import compare_as_evidently, compare_samples  # NumPy, and the core, while files are read

        before, after = (one.result() for one in read)
    names = known_columns(job.reference, tuple(before.columns), job.columns)
    known_columns(job.current, tuple(after.columns), job.columns)
    first, second = ({name: frame[name] for name in names if name in frame.columns} for frame in (before, after))
    if job.preset:
        drifts = compare_as_evidently(first, second)
    else:
        drifts = compare_samples(first, second, alpha=job.alpha, threshold=job.threshold)
    frames = (before.select(list(first)), after.select(list(second)))
    return Outcome(drifts, (before.height, after.height), _alarms(job, drifts), frames=frames)


def _streamed(job: DriftJob, watch: Progress) -> Outcome:
    from mlopsfw.drift.blocks import known_columns, open_blocks
    from mlopsfw_core import compare_streams

    before, after = open_blocks(job.reference), open_blocks(job.current)
    names = known_columns(job.reference, before.names, job.columns)
    known_columns(job.current, after.names, job.columns)
    shared = tuple(name for name in names if name in after.names)
    found = compare_streams(
        lambda: watch(job.reference.name, before.read(names)),
        lambda: watch(job.current.name, after.read(shared)),
        alpha=job.alpha,
        threshold=job.threshold,
    )
    return Outcome(found.drifts, found.rows, _alarms(job, found.drifts), stream=found)


def _alarms(job: DriftJob, drifts: list[ColumnDrift]) -> bool:
    from mlopsfw_core.evidently import DRIFT_SHARE

    drifted = sum(one.drifted for one in drifts)
    return drifted >= DRIFT_SHARE * len(drifts) > 0 if job.preset else drifted > 0
