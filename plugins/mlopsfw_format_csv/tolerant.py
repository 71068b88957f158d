"""CSV files whose bad rows are set aside: ragged ones, those of another encoding, and values that are not of their column's type.

A block without bad rows is read as `strict` reads it. In one that Arrow refuses, each bad row is found. A column's type is the
one declared, else the dataset's, else the one of which the fewest values of the first block are not, if their share may go to
quarantine; otherwise it is text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlopsfw.formats import TooManyBad, WrongType, cast_each, cast_texts, exact, in_order, null_texts, type_of
from mlopsfw_format_csv import diagnosis, strict
from mlopsfw_format_csv.escapes import ByteText
from mlopsfw_format_csv.options import check
from mlopsfw_format_csv.strict import Lossy, Parser

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadOptions, RejectSink
    from mlopsfw_format_csv.blocks import Blocks, Left

_CANDIDATES = ("int64", "double", "bool", "date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]")
_PERHAPS = re.compile(rb"\s*[-+.\d]|\s*(?:inf|nan|true|false)", re.IGNORECASE)
"""How a value of any candidate begins."""
_TELLING = 64  # values that are looked at first, besides twice as many as may be bad

Bad = dict[int, tuple[str, str]]
"""Number → what was wrong, and the row's text."""


class _Block(NamedTuple):
    """A block as it was read.

    Args:
        batch: Its good rows.
        bad: Those with a value that is not of its type, by their number among the rows of the right width, from 0.
        ragged: Those of another width, by their record, from 1.
        wide: How many have the right width.
    """

    batch: pa.RecordBatch
    bad: Bad
    ragged: Bad
    wide: int


def read_csv(
    path: Path, options: ReadOptions, guesses: Mapping[str, str], rejects: RejectSink
) -> Iterator[pa.RecordBatch]:
    """Yield the good rows of a CSV file and set the others aside; errors as for `strict.read_csv`."""
    import pyarrow as pa

    check(path, options)
    reading = _Reading(path, options, guesses, rejects.share)
    try:
        with strict.open_blocks(path, options) as blocks:
            yield from reading.batches(blocks)
    except pa.ArrowInvalid as error:
        raise diagnosis.explain(path, options, guesses, str(error)) from None
    for line, reason, text in reading.found():
        rejects.add(path.name, line, reason, text)
    if blocks.left:
        _set_aside(path, options, blocks.left, rejects)


def _set_aside(path: Path, options: ReadOptions, left: Left, rejects: RejectSink) -> None:
    """Set aside what follows a quote that is never closed; for the share it counts as the rows that its lines might have been."""
    if not left.open:
        strict.refuse(left, path, options)
    reason = f"a quote that is never closed: {left.size:,} bytes on {left.lines:,} lines, to the end of the file"
    if left.size > len(left.head):
        reason += f" (the first {len(left.head):,} are kept)"
    line = diagnosis.left_line(path, options, left)
    rejects.add(path.name, line, reason, left.head.decode(errors="backslashreplace"), rows=left.lines)


class _Reading:
    """One file being read."""

    def __init__(self, path: Path, options: ReadOptions, guesses: Mapping[str, str], share: float) -> None:
        self._path, self._options, self._share = path, options, share
        self._declared = options.expected | options.types
        self._kinds = dict(guesses) | self._declared
        self._names = diagnosis.locate(path, options, 1)[1]
        self._records = self._rows = 0  # so far: all, the header too; those of the right width
        self._ragged: Bad = {}  # by record of the file, from 1 with the header
        self._bad: Bad = {}  # by row of the right width, from 0
        self._nulls = frozenset(text.encode() for text in null_texts(options.null))
        strict.check_declared(self._names, path, options)

    def batches(self, blocks: Blocks) -> Iterator[pa.RecordBatch]:
        """Yield a batch without rows, which has the columns, then the good rows of each block."""
        import pyarrow as pa

        cut = iter(blocks)
        first = strict.first_block(cut, blocks, self._path, self._options)
        self._learn(first)
        yield pa.RecordBatch.from_pylist([], schema=self._schema(self._names))  # a header alone makes a table too
        yield from self._noted(self._read(first, self._parser(header=True)))
        self._records += 1
        parser = self._parser()
        for block in in_order(lambda block: self._read(block, parser), strict.following(cut)):
            yield from self._noted(block)

    def _parser(self, *, header: bool = False) -> Parser:
        types = {name: type_of(self._kinds[name]) for name in self._names}
        return Parser(self._path, self._options, types, () if header else self._names)

    def _noted(self, block: _Block) -> Iterator[pa.RecordBatch]:
        """Yield the good rows of a block, if there are any, once the others are noted by their place in the file."""
        self._ragged |= {self._records + number: what for number, what in block.ragged.items()}
        self._bad |= {self._rows + index: what for index, what in block.bad.items()}
        self._rows += block.wide
        self._records += block.wide + len(block.ragged)
        if len(block.batch):
            yield block.batch

    def _read(self, block: bytes, parser: Parser) -> _Block:
        import pyarrow as pa

        try:
            batch = parser(block)
            return _Block(batch, {}, {}, batch.num_rows)
        except (pa.ArrowInvalid, Lossy):
            raw, ragged = self._raw(block, parser.names)
            batch, bad = self._converted(raw)
            return _Block(batch, bad, ragged, raw.num_rows)

    def _raw(self, block: bytes, names: Sequence[str]) -> tuple[pa.RecordBatch, Bad]:
        """Return the rows of the right width as bytes, and the others by their number in the block, from 1."""
        import pyarrow as pa

        ragged: Bad = {}
        byte_text = ByteText(block)  # Arrow hands over a row as text

        def skip(row: Any) -> str:
            what = f"expected {row.expected_columns} fields, got {row.actual_columns}"
            ragged[row.number] = what, byte_text.original(row.text).decode(errors="backslashreplace")
            return "skip"

        types = dict.fromkeys(self._names, pa.binary())
        batch = Parser(self._path, self._options, types, names, skip).parse(byte_text.text)
        self._check_names(batch)
        return byte_text.originals(batch), ragged

    def _check_names(self, batch: pa.RecordBatch) -> None:
        if batch.schema.names != self._names:  # the header is of other bytes than text
            diagnosis.raise_encoding(self._path, self._options)

    def _schema(self, names: list[str]) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([(name, type_of(self._kinds[name])) for name in names])

    def _learn(self, block: bytes) -> None:
        """Decide upon the types of columns by the first block: as Arrow does, where it takes a column for no text."""
        import pyarrow as pa

        known = {name: type_of(kind) for name, kind in self._kinds.items()}
        try:
            batch = Parser(self._path, self._options, known).parse(block)
        except (pa.ArrowInvalid, Lossy):
            batch, _ = self._raw(block, ())
        self._check_names(batch)
        for field, values in zip(batch.schema, batch.columns, strict=True):
            if field.name not in self._kinds:
                self._kinds[field.name] = _guessed(field.type) or self._kind(field.name, values.cast(pa.binary()))

    def _kind(self, name: str, values: pa.Array) -> str:
        if self._is_text(values):
            return "string"
        trials: dict[str, int] = {}
        present = self._present(values, text=False).drop_null()
        if not len(present):
            return "null"
        for kind in _CANDIDATES:
            try:
                bad: dict[int, str] = {}
                numbers = cast_each(present, type_of(kind), bad, int(self._share * len(present)), _cast)
                trials[kind] = len(bad)
                if self._losses(name, present, numbers):
                    return "string"
            except TooManyBad:
                continue
            if not bad:
                break
        return min(trials, key=lambda kind: trials[kind]) if trials else "string"

    def _is_text(self, values: pa.Array) -> bool:
        """Whether the first values alone, by how they begin, are too many that can be of no other type."""
        first = values[: _TELLING + int(2 * self._share * len(values))].to_pylist()
        strange = sum(bool(value) and value not in self._nulls and not _PERHAPS.match(value) for value in first)
        return strange > self._share * len(values)

    def _present(self, values: pa.Array, *, text: bool) -> pa.Array:
        """Return the values with null for those texts that mean none; blanks around a value of no text are dropped."""
        import pyarrow as pa
        import pyarrow.compute as pc

        nulls = ["", *self._options.null] if text else null_texts(self._options.null)
        empty = pc.is_in(values, pa.array([null.encode() for null in nulls], pa.binary()))
        present = pc.if_else(empty, pa.scalar(None, pa.binary()), values)
        if text:
            return present
        return pc.ascii_trim_whitespace(present.cast(pa.string(), safe=False)).cast(pa.binary())

    def _converted(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Bad]:
        """Return the good ones of `batch` (bytes), and the others by their number in it, from 0."""
        import numpy as np
        import pyarrow as pa

        bad: dict[int, str] = {}
        names, columns = batch.schema.names, batch.columns
        done = [self._column(name, values, bad) for name, values in zip(names, columns, strict=True)]
        whole = pa.RecordBatch.from_arrays(done, schema=self._schema(names))
        if not bad:
            return whole, {}
        stays = np.ones(batch.num_rows, bool)
        stays[list(bad)] = False
        quarantined = {index: (reason, _text([values[index] for values in columns])) for index, reason in bad.items()}
        return whole.filter(pa.array(stays)), quarantined

    def _column(self, name: str, values: pa.Array, bad: dict[int, str]) -> pa.Array:
        kind = self._kinds[name]
        present = self._present(values, text=kind == "string")
        found: dict[int, str] = {}
        done = cast_each(
            present, type_of(kind), found, len(values), _declared if name in self._options.types else _cast
        )
        lost = self._losses(name, present, done)
        if lost and name not in self._declared:
            reason = next(iter(lost.values()))
            raise WrongType(f"{self._path}: column {name!r}: {reason}", name, "string")
        if found and name not in self._declared:
            self._reconsider(name, kind, present, found)
        found |= lost
        for index, reason in found.items():
            bad.setdefault(index, f"column {name!r}: {reason}")
        return done

    def _losses(self, name: str, texts: pa.Array, numbers: pa.Array) -> dict[int, str]:
        """Return the texts that a column of numbers does not keep, by their place, and why; none where its type was declared."""
        import pyarrow.types as t

        if name in self._options.types or not exact.is_number(numbers.type):
            return {}
        if name in self._options.key and name not in self._declared and t.is_floating(numbers.type):
            return {0: f"the key {name!r} has fractions"}
        return exact.losses(texts, numbers)

    def _reconsider(self, name: str, kind: str, values: pa.Array, bad: dict[int, str]) -> None:
        """Raise `WrongType` where nothing but a wider type is wanted: a fraction among whole numbers is no bad value."""
        import pyarrow as pa

        if kind == "null":
            raise WrongType(f"{self._path}: column {name!r} is not all null", name, self._kind(name, values))
        strange = values.take(pa.array(list(bad)))
        if kind in {"int64", "double"} and any(map(exact.is_code, strange.to_pylist())):
            raise WrongType(f"{self._path}: column {name!r} holds codes", name, "string")
        if kind != "int64":
            return
        still: dict[int, str] = {}
        cast_each(strange, pa.float64(), still, len(strange), _cast)
        if len(still) < len(strange):
            raise WrongType(f"{self._path}: column {name!r} is not all int64", name, "double")

    def found(self) -> Iterator[tuple[int, str, str]]:
        """Yield line, reason and text of each bad row, in order."""
        records = dict(self._ragged)
        ragged = sorted(self._ragged)
        passed = 0
        for index in sorted(self._bad):
            record = index + 2 + passed  # the header is record 1
            while passed < len(ragged) and ragged[passed] <= record:
                passed, record = passed + 1, record + 1
            records[record] = self._bad[index]
        if records:
            lines = diagnosis.lines_of(self._path, self._options, set(records))
            yield from ((lines.get(record, 0), *records[record]) for record in sorted(records))


def _guessed(kind: pa.DataType) -> str:
    """Return the name of a type that Arrow guessed, empty for texts, of which some values may be bad ones of another type."""
    import pyarrow.types as t

    if t.is_timestamp(kind):  # in more units than a table has
        return "timestamp[us, tz=UTC]" if kind.tz else "timestamp[us]"
    if t.is_time(kind):
        return "string"
    return "" if t.is_string(kind) or t.is_binary(kind) else str(kind)


def _text(fields: Sequence[Any]) -> str:
    """Return a row's fields (bytes) as a row of CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([field.as_py().decode(errors="backslashreplace") for field in fields])
    return out.getvalue()


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return `values` (binary) as `kind`. Raise Arrow's errors."""
    import pyarrow as pa

    if pa.types.is_null(kind):
        return _all_null(values)
    text = values.cast(pa.string())
    return text if pa.types.is_string(kind) else text.cast(kind)


def _declared(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return `values` (binary) as a declared `kind`. Raise Arrow's errors."""
    import pyarrow as pa

    return cast_texts(values.cast(pa.string()), kind)


def _all_null(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    if values.null_count == len(values):
        return pa.nulls(len(values))
    raise pa.ArrowInvalid("a value in a column that had none")
