"""CSV files whose bad rows are set aside: ragged ones, those of another encoding, and values that are not of their column's type.

A column's type is the one declared, else the dataset's, else the one of which the fewest values of the first block are not, if
their share may go to quarantine; otherwise it is text. How a good row is read is as in `csvsource`.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.datasets import csvsource
from mlopsfw.datasets.csvquotes import Watched, check_end
from mlopsfw.datasets.csvsource import CsvOptions, WrongGuess
from mlopsfw.datasets.opened import open_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.datasets.quarantine import Quarantine

_CANDIDATES = ("int64", "double", "bool", "date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]")


class _TooMany(Exception):
    """More values are bad than may be."""


def read_csv(
    path: Path, options: CsvOptions, guesses: Mapping[str, str], quarantine: Quarantine
) -> Iterator[pa.RecordBatch]:
    """Yield the good rows of a CSV file and set the others aside; errors as for `csvsource.read_csv`."""
    import pyarrow as pa

    csvsource.check(path, options)
    reading = _Reading(path, options, guesses, quarantine.share)
    try:
        with open_bytes(path, options.max_ratio) as raw:
            yield from reading.batches(raw)
    except pa.ArrowInvalid as error:
        raise csvsource.explain(path, options, guesses, str(error)) from None
    for line, reason, text in reading.found():
        quarantine.add(str(path.name), line, reason, text)


class _Reading:
    """One file being read."""

    def __init__(self, path: Path, options: CsvOptions, guesses: Mapping[str, str], share: float) -> None:
        self._path, self._options, self._share = path, options, share
        self._declared = options.expected | options.types
        self._kinds = dict(guesses) | self._declared
        self._ragged: dict[int, tuple[str, str]] = {}  # record, from 1 with the header → reason, text
        self._bad: dict[int, tuple[str, str]] = {}  # good record, from 0 → the same

    def batches(self, raw: Any) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        start, watched = 0, Watched(raw)
        reader = csvsource.open_raw(watched, self._path, self._options, self._set_aside)
        names = reader.schema.names
        first = next(reader, pa.RecordBatch.from_pylist([], schema=reader.schema))
        self._guess(first)
        yield pa.RecordBatch.from_pylist([], schema=self._schema(names))  # a header alone makes a table too
        batch = None
        for batch in filter(len, itertools.chain((first,), reader)):
            yield self._converted(batch, start)
            start += batch.num_rows
        if watched.suspicious(batch):
            check_end(self._path, self._options)

    def _schema(self, names: list[str]) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([(name, csvsource.type_of(self._kinds[name])) for name in names])

    def _set_aside(self, row: Any) -> str:
        reason = f"expected {row.expected_columns} fields, got {row.actual_columns}"
        self._ragged[row.number or 0] = reason, row.text
        return "skip"

    def _guess(self, batch: pa.RecordBatch) -> None:
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if name not in self._kinds:
                self._kinds[name] = self._kind(values)

    def _kind(self, values: pa.Array) -> str:
        trials: dict[str, int] = {}
        present = self._present(values, text=False).drop_null()
        if not len(present):
            return "null"
        for kind in _CANDIDATES:
            try:
                bad: dict[int, str] = {}
                _cast(present, csvsource.type_of(kind), 0, bad, int(self._share * len(present)))
                trials[kind] = len(bad)
            except _TooMany:
                continue
            if not bad:
                break
        return min(trials, key=lambda kind: trials[kind]) if trials else "string"

    def _present(self, values: pa.Array, *, text: bool) -> pa.Array:
        """Return the values with null for those texts that mean none; blanks around a value of no text are dropped."""
        import pyarrow as pa
        import pyarrow.compute as pc

        nulls = ["", *self._options.null] if text else [*csvsource.null_texts(), *self._options.null]
        empty = pc.is_in(values, pa.array([null.encode() for null in nulls], pa.binary()))
        present = pc.if_else(empty, pa.scalar(None, pa.binary()), values)
        if text:
            return present
        return pc.ascii_trim_whitespace(present.cast(pa.string(), safe=False)).cast(pa.binary())

    def _converted(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa

        bad: dict[int, str] = {}
        done = [self._column(n, v, bad) for n, v in zip(batch.schema.names, batch.columns, strict=True)]
        schema = self._schema(batch.schema.names)
        for index, reason in bad.items():
            fields = [value.as_py().decode(errors="backslashreplace") for value in (c[index] for c in batch.columns)]
            self._bad[start + index] = reason, _joined(fields)
        whole = pa.RecordBatch.from_arrays(done, schema=schema)
        if not bad:
            return whole
        stays = np.ones(batch.num_rows, bool)
        stays[list(bad)] = False
        return whole.filter(pa.array(stays))

    def _column(self, name: str, values: pa.Array, bad: dict[int, str]) -> pa.Array:
        kind = self._kinds[name]
        present = self._present(values, text=kind == "string")
        found: dict[int, str] = {}
        done = _cast(present, csvsource.type_of(kind), 0, found, len(values))
        if found and name not in self._declared:
            self._reconsider(name, kind, present, found)
        for index, reason in found.items():
            bad.setdefault(index, f"column {name!r}: {reason}")
        return done

    def _reconsider(self, name: str, kind: str, values: pa.Array, bad: dict[int, str]) -> None:
        """Raise `WrongGuess` where nothing but a wider type is wanted: a fraction among whole numbers is no bad value."""
        import pyarrow as pa

        if kind == "null":
            raise WrongGuess(f"{self._path}: column {name!r} is not all null", name, self._kind(values))
        if kind != "int64":
            return
        strange = values.take(pa.array(list(bad)))
        still: dict[int, str] = {}
        _cast(strange, pa.float64(), 0, still, len(strange))
        if len(still) < len(strange):
            raise WrongGuess(f"{self._path}: column {name!r} is not all int64", name, "double")

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
            lines = csvsource.lines_of(self._path, self._options, set(records))
            yield from ((lines.get(record, 0), *records[record]) for record in sorted(records))


def _joined(fields: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(fields)
    return out.getvalue()


def _cast(values: pa.Array, kind: pa.DataType, start: int, bad: dict[int, str], most: int) -> pa.Array:
    """Return `values` (binary) as `kind`, with null for those that are not; halved until each of them is found."""
    import pyarrow as pa

    try:
        if pa.types.is_null(kind):
            return _all_null(values)
        text = values.cast(pa.string())
        return text if pa.types.is_string(kind) else text.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        if len(values) == 1:
            bad[start] = str(error).removesuffix(".")
            if len(bad) > most:
                raise _TooMany from None
            return pa.nulls(1, kind)
        half = len(values) // 2
        parts = (values[:half], start), (values[half:], start + half)
        return pa.concat_arrays([_cast(part, kind, first, bad, most) for part, first in parts])


def _all_null(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    if values.null_count == len(values):
        return pa.nulls(len(values))
    raise pa.ArrowInvalid("a value where there were none")
