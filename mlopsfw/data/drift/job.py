"""Compare two files of rows: in memory if they are small enough, else streamed. The decision is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.data.drift.blocks import Blocks, known_columns
from mlopsfw.data.drift.representation import agree, applied, is_text
from mlopsfw.data.tables.batches import without_rows
from mlopsfw.data.tables.exact import is_number
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.roles.reading import ReadOptions

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.drift.representation import Plan
    from mlopsfw.data.intake.formats import Formats
    from mlopsfw_core import ColumnDrift, StreamedDrift

Read = Callable[[], "Iterator[pa.RecordBatch]"]

STREAM_FROM = 1 << 30
"""Bytes. By default a file is streamed if its rows take more than this in memory."""

_PACKED = {".gz", ".zip", ".xlsx"}
_UNPACKS = 8  # approximate ratio of unpacked to packed size
_TEXT, _CODE, _OTHER = 24, 4, 8  # bytes of a value in memory

Progress = Callable[[str, Iterator[Any]], Iterator[Any]]
"""Wraps the blocks of one pass, with a name for it, to show its progress."""


@dataclass(frozen=True)
class DriftJob:
    """What to compare, and how.

    Args:
        reference, current: The files.
        columns: The columns to compare; empty for all of the reference's.
        alpha: The level, corrected over columns; it holds if rows are exchangeable.
        threshold: The smallest effect that counts, as a share of rows.
        stream: Whether to stream; None decides by the files' size.
        preset: "evidently", or None for our own rule.
        options: The format of files without types, as for `data add`.
        sheet: Of Excel workbooks, the sheet; empty for the only one.
    """

    reference: Path
    current: Path
    columns: tuple[str, ...] = ()
    alpha: float = 0.05
    threshold: float = 0.05
    stream: bool | None = None
    preset: str | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    sheet: str = ""


@dataclass(frozen=True)
class Outcome:
    """The columns, most drifted first, with the data for a page.

    Args:
        drifts: One for each column of the reference.
        alarm: Whether the tables have drifted: whether any column has, or the preset's share of columns.
        rows: The rows of the reference, and of the current file.
        frames: Both tables if they were read whole, of Polars or Arrow.
        stream: The counts of the stream, if the files were streamed.
        left_out: Column → why it was not compared.
        nothing: Why nothing was compared, else empty. Without a comparison there is neither an alarm nor an all-clear.
        notes: What the user should know about the reading of the files.
    """

    drifts: list[ColumnDrift]
    rows: tuple[int, int]
    alarm: bool
    frames: tuple[Any, Any] | None = None
    stream: StreamedDrift | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    nothing: str = ""
    notes: tuple[str, ...] = ()

    @property
    def drifted(self) -> list[str]:
        """The names of the columns that have drifted."""
        return [column.column for column in self.drifts if column.drifted]

    @property
    def error(self) -> float:
        """How much larger than reported the effect of a column can be at most: 0 if everything was counted."""
        return max((column.details.get("error", 0.0) for column in self.drifts), default=0.0)


def compare_files(formats: Formats, job: DriftJob, watch: Progress = lambda _, blocks: blocks) -> Outcome:
    """Run the job; `formats` read the files.

    Raises:
        UnknownName: A file lacks a column that was asked for.
        DataError: A file cannot be read.
        UsageError: The preset cannot stream, and the files must be streamed.
    """
    stream = any(is_large(formats, file) for file in (job.reference, job.current)) if job.stream is None else job.stream
    if stream and job.preset:
        raise UsageError(
            "a preset needs files that fit into memory, but these are streamed",
            hint="Compare a sample of the rows, or pass --no-stream if they do fit.",
        )
    before, after = _open_both(formats, job, stream=stream)
    names = known_columns(job.reference, tuple(before.schema.names), job.columns)
    known_columns(job.current, tuple(after.schema.names), job.columns)
    measures = _measures(before, after)
    _as_text_alike(before, after, measures)
    plan = agree(before.schema, after.schema, names, measures)
    sides = _sides(plan, before, after)
    if not plan.names:
        outcome = Outcome([], (1, 1), alarm=False)
    else:
        outcome = _streamed(job, sides, watch) if stream else _in_memory(job, plan, sides)
    new = {} if job.columns else dict.fromkeys(after.schema.names, f"only {job.current} has it")
    left_out = {**plan.left_out, **{name: reason for name, reason in new.items() if name not in before.schema.names}}
    notes = [
        note for file, side in ((job.reference, before), (job.current, after)) for note in _notes(file, side, measures)
    ]
    unlike = [name for name in plan.names if name not in measures and name in before.unlike and name in after.unlike]
    outcome = replace(outcome, left_out=left_out, notes=(*notes, *_not_seen(unlike)))
    return with_reason(outcome, (str(job.reference), str(job.current)))


def is_large(formats: Formats, file: Path) -> bool:
    """Return whether a file's rows would take more memory than `STREAM_FROM`."""
    facts = formats.describe(file)
    if facts.schema is not None and facts.rows is not None:
        return facts.rows * row_bytes(facts.schema) > STREAM_FROM
    packed = _UNPACKS if file.suffix.lower() in _PACKED else 1
    return file.stat().st_size * packed > STREAM_FROM


def row_bytes(schema: pa.Schema) -> int:
    """Return the approximate size of a row in memory, in bytes."""
    return sum(map(_width, schema.types))


def _width(kind: pa.DataType) -> int:
    """Return about how many bytes a value takes in memory."""
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return _CODE
    if t.is_boolean(kind):
        return 1
    return _OTHER if t.is_primitive(kind) else _TEXT


def _open_both(formats: Formats, job: DriftJob, *, stream: bool) -> tuple[Blocks, Blocks]:
    """Open both files together: reads files without types through once, to learn them."""
    files = (job.reference, job.current)
    formats.check_options(files, job.options, job.sheet)
    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(Blocks, formats, file, *formats.taken(file, job.options, job.sheet), keep=not stream)
            for file in files
        ]
        import mlopsfw_core  # noqa: F401 - NumPy, and the core, while files are read

        return futures[0].result(), futures[1].result()


def _measures(before: Blocks, after: Blocks) -> dict[str, str]:
    """Return the columns of texts whose numbers or times are compared, and which: as texts, each is a category, and no shift of them is seen."""
    return {
        name: words.kind
        for name, words in before.words.items()
        if words.measures and name in after.schema.names and _is_of(words.kind, after, name)
    }


def _is_of(kind: str, side: Blocks, name: str) -> bool:
    import pyarrow.types as t

    if name in side.words:
        return side.words[name].kind == kind
    values = side.schema.field(name).type
    return is_number(values) if kind == "numbers" else bool(t.is_temporal(values))


def _as_text_alike(before: Blocks, after: Blocks, measures: Mapping[str, str]) -> None:
    """Read a column as text if it is text in the other file: one file may happen to hold only codes that are plain numbers."""
    for side, other in ((before, after), (after, before)):
        texts = [f.name for f in other.schema if is_text(f.type) and f.name in side.schema.names]
        side.as_text([name for name in texts if name not in measures and is_number(side.schema.field(name).type)])


def _notes(file: Path, side: Blocks, measures: Mapping[str, str]) -> Iterator[str]:
    """Yield what the user should know about the reading of a file: which of its columns are numbers or times with words among them, too."""
    yield from side.notes
    for name, words in side.words.items():
        column, word = f"{file}: column {name!r}", repr(words.word) if words.word else "one"
        if name in measures and not words.word and name not in side.late:
            yield f"{column} holds {words.kind} as texts. The {words.kind} are compared; to compare texts, pass --type {name}=string."
        elif name in measures:
            yield (
                f"{column} holds texts among its {words.kind}. The {words.kind} are compared, and each text counts as missing. If {word} "
                f"means a missing value, pass it with --null; to compare texts, pass --type {name}=string."
            )
        elif words.word:
            yield f"{column} is read as text, although most values are {words.kind}. If {word} means a missing value, pass it with --null."


def _not_seen(unlike: list[str]) -> Iterator[str]:
    """Yield a note on columns whose texts hardly repeat: each is a category of its own, and all that are rare count together."""
    if unlike:
        yield (
            f"The texts of {', '.join(map(repr, unlike))} hardly repeat: compared as categories, a shift may not show. If they hold numbers "
            "or times, write these plainly, such as 1234.5 and 2024-03-31."
        )


def _sides(plan: Plan, before: Blocks, after: Blocks) -> tuple[Read, Read]:
    """Return how to read each file's rows. If they share no column, a column that is not compared stands for the current rows.

    An empty batch comes first, so that a file without rows has its columns, too.
    """
    shared = tuple(name for name in plan.names if name in after.schema.names) or tuple(after.schema.names[:1])

    def first() -> Iterator[pa.RecordBatch]:
        return applied(chain(_empty(before.schema, plan.names), before.read(plan.names)), plan.before)

    def second() -> Iterator[pa.RecordBatch]:
        return applied(chain(_empty(after.schema, shared), after.read(shared)), plan.after)

    return first, second


def _empty(schema: pa.Schema, names: tuple[str, ...]) -> list[pa.RecordBatch]:
    return [without_rows(schema).select(list(names))]


def _in_memory(job: DriftJob, plan: Plan, sides: tuple[Read, Read]) -> Outcome:
    import pyarrow as pa

    from mlopsfw_core import compare_as_evidently, compare_samples

    with ThreadPoolExecutor(2) as pool:
        tables = [pa.Table.from_batches(batches) for batches in pool.map(lambda side: list(side()), sides)]
    first, second = ({name: table[name] for name in table.column_names if name in plan.names} for table in tables)
    if job.preset:
        drifts = compare_as_evidently(first, second)
    else:
        drifts = compare_samples(first, second, alpha=job.alpha, threshold=job.threshold)
    frames = (tables[0], tables[1].select(list(second)))
    return Outcome(drifts, (tables[0].num_rows, tables[1].num_rows), _alarms(job, drifts), frames=frames)


def _streamed(job: DriftJob, sides: tuple[Read, Read], watch: Progress) -> Outcome:
    from mlopsfw_core import compare_streams

    result = compare_streams(
        lambda: watch(job.reference.name, sides[0]()),
        lambda: watch(job.current.name, sides[1]()),
        alpha=job.alpha,
        threshold=job.threshold,
    )
    return Outcome(result.drifts, result.rows, _alarms(job, result.drifts), stream=result)


def _alarms(job: DriftJob, drifts: list[ColumnDrift]) -> bool:
    from mlopsfw_core.evidently import DRIFT_SHARE

    drifted = sum(column.drifted for column in drifts)
    return drifted >= DRIFT_SHARE * len(drifts) > 0 if job.preset else drifted > 0


def with_reason(outcome: Outcome, names: tuple[str, str]) -> Outcome:
    """Return the outcome, with the reason if nothing was compared. `names` are those of the two tables."""
    empty = [name for name, rows in zip(names, outcome.rows, strict=True) if not rows]
    if empty and outcome.drifts:
        nothing = f"{' and '.join(empty)} {'have' if len(empty) > 1 else 'has'} no rows"
    elif not outcome.drifts:
        nothing = f"no column of {names[0]} can be compared"
        outcome = replace(outcome, rows=(0, 0))
    else:
        return outcome
    return replace(outcome, drifts=[], alarm=False, nothing=nothing)
