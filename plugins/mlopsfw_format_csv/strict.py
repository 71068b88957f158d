"""CSV files as record batches, strictly: a row that cannot be read is an error that names file, line and column.

The text is cut into blocks of whole records, and the blocks are parsed side by side. Types are guessed from the first one, and a
guess that would lose something of a value (`mlopsfw.formats.exact`) is given up for text.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mlopsfw.errors import DataError
from mlopsfw.formats import (
    TooManyBad,
    WrongType,
    cast_each,
    cast_texts,
    exact,
    in_order,
    is_micro,
    null_texts,
    open_bytes,
    type_of,
    without_texts,
)
from mlopsfw_format_csv import diagnosis
from mlopsfw_format_csv.blocks import Blocks, Left
from mlopsfw_format_csv.options import check, separator, utf8_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.csv as pc

    from mlopsfw.roles import ReadOptions

_BLOCK = 4 << 20  # bytes of the longest row, and about those of a block: what one costs beside its rows is then little


_EXCELS_NOTE = re.compile(r"sep=(.?),?")
"""The first line that Excel reads as a note on the separator: `sep=;`."""


class Lossy(Exception):
    """Texts that the types of their columns would not keep.

    Args:
        columns: Column → its first such text: the record in the block, from 1 with the header, and why.
    """

    def __init__(self, columns: Mapping[str, tuple[int, str]]) -> None:
        super().__init__(columns)
        self.columns = columns


class Parser:
    """Parses blocks of one file, each into one record batch; any thread may.

    Args:
        path: The file.
        options: How it is written.
        types: Column → type; others are guessed.
        names: The columns; empty where the block has the header.
        ragged: Asked what to do with rows of too few or too many fields; they are errors without it.
    """

    def __init__(
        self,
        path: Path,
        options: ReadOptions,
        types: Mapping[str, pa.DataType],
        names: Sequence[str] = (),
        ragged: Callable[[Any], str] | None = None,
    ) -> None:
        import pyarrow.csv as pc

        self.names, self._null = list(names), options.null
        self._delimiter, self._declared = separator(path, options), options.types
        self._key = set(options.key) - set(options.expected)
        self._parsing = pc.ParseOptions(delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=ragged)
        self._types, self._nulls = types, null_texts(options.null)
        self._times = [name for name in options.types if name in types and is_micro(types[name])]
        self._converting: dict[str, pc.ConvertOptions] = {}

    def __call__(self, block: bytes) -> pa.RecordBatch:
        """Return the rows of a block, texts that mean "no value" as null. Raise `pa.ArrowInvalid`, `Lossy`."""
        return _text_nulls(self.parse(block), self._null)

    def parse(self, block: bytes) -> pa.RecordBatch:
        """Return the rows of a block, texts as they are. Raise `pa.ArrowInvalid`, `Lossy`."""
        import pyarrow as pa

        try:
            batch = self._parsed(block, self._conversion(block))
        except pa.ArrowInvalid:
            if not self._times:
                raise
            batch = self._truncated(block)
        if lost := self._lost(block, batch):
            raise Lossy(lost)
        return batch

    def _truncated(self, block: bytes) -> pa.RecordBatch:
        """Return the rows of a block; times declared in microseconds drop the digits below. Raise `pa.ArrowInvalid`."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.csv as pcsv

        types = {**self._types, **dict.fromkeys(self._times, pa.string())}
        conversion = pcsv.ConvertOptions(column_types=types, null_values=self._nulls, strings_can_be_null=False)
        batch = self._parsed(block, conversion)
        for name in self._times:
            index, bad, kind = batch.schema.names.index(name), dict[int, str](), self._types[name]
            texts = without_texts(pc.utf8_trim_whitespace(batch.column(index)), self._nulls)
            try:
                times = cast_each(texts, kind, bad, 0, cast_texts)
            except TooManyBad:
                place = next(iter(bad))
                row, what = place + (1 if self.names else 2), f"invalid value '{texts[place]}'"
                raise pa.ArrowInvalid(
                    f"In CSV column #{index}: Row #{row}: CSV conversion error to {kind}: {what}"
                ) from None
            batch = batch.set_column(index, name, times)
        return batch

    def _lost(self, block: bytes, batch: pa.RecordBatch) -> dict[str, tuple[int, str]]:
        """Return the numbers that are not what stood there, for which the text is read a second time only where there may be some."""
        import pyarrow as pa
        import pyarrow.csv as pc

        if len(set(batch.schema.names)) < batch.num_columns:
            return {}  # two of one name are refused later on
        numbers = [f.name for f in batch.schema if exact.is_number(f.type) and f.name not in self._declared]
        first = 1 if self.names else 2
        lost = {name: (first, f"the key {name!r} has fractions") for name in self._fractions(batch, numbers)}
        if not (numbers and exact.may_hold_codes(block, self._delimiter)):
            numbers = [name for name in numbers if exact.is_long(batch.column(name))]
        if not numbers:
            return lost
        as_bytes = dict.fromkeys(numbers, pa.binary())
        texts = self._parsed(block, pc.ConvertOptions(column_types=as_bytes, include_columns=numbers))
        for name in numbers:
            for place, reason in exact.losses(texts.column(name), batch.column(name)).items():
                lost.setdefault(name, (place + first, reason))
        return lost

    def _fractions(self, batch: pa.RecordBatch, numbers: Sequence[str]) -> list[str]:
        """Return the columns that identify rows and were taken for fractions: 1.5 and 1.50 are two keys as long as nobody says other."""
        import pyarrow.types as t

        return [name for name in numbers if name in self._key and t.is_floating(batch.schema.field(name).type)]

    def _parsed(self, block: bytes, conversion: pc.ConvertOptions) -> pa.RecordBatch:
        import pyarrow as pa
        import pyarrow.csv as pc

        if self.names and block.startswith(codecs.BOM_UTF8):
            block = b"\n" + block  # such a mark is none but at the head of a file
        size = len(block) + 1  # one block for Arrow too
        reading = pc.ReadOptions(
            use_threads=False, block_size=size, column_names=self.names or None
        )  # serial: it counts rows
        table = pc.read_csv(pa.py_buffer(block), reading, self._parsing, conversion)
        batches: list[pa.RecordBatch] = table.to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)

    def _conversion(self, block: bytes) -> pc.ConvertOptions:
        """Return how texts become values. Arrow looks for each null text in each value: those a block cannot hold are left out."""
        import pyarrow.csv as pc

        absent = "".join(letter for letter in "Nn" if letter.encode() not in block)
        if absent not in self._converting:
            nulls = [text for text in self._nulls if not any(letter in text for letter in absent)]
            self._converting[absent] = pc.ConvertOptions(
                column_types=self._types, null_values=nulls, strings_can_be_null=False
            )
        return self._converting[absent]


def read_csv(path: Path, options: ReadOptions, guesses: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a CSV file; `guesses` are types learnt from an earlier `WrongType`.

    Raises:
        WrongType: Read it again, with the error's type for its column.
        DataError: A row has too few or too many fields, a value is not of its column's type, or the encoding is wrong.
    """
    import pyarrow as pa

    check(path, options)
    known = options.expected | dict(guesses) | options.types
    passed = 0  # records, the header too
    try:
        with open_blocks(path, options) as blocks:
            for batch in _batches(blocks, path, options, known):
                yield batch
                passed += batch.num_rows or 1  # the one without rows is the header's
    except pa.ArrowInvalid as error:
        raise diagnosis.explain(path, options, known, str(error), passed) from None
    except Lossy as error:
        raise diagnosis.explain_lossy(path, options, error.columns, passed) from None


def _batches(blocks: Blocks, path: Path, options: ReadOptions, known: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Yield a batch without rows, which has the columns, then the rows of each block."""
    parser = Parser(path, options, {name: type_of(kind) for name, kind in known.items()})
    rest = iter(blocks)
    first = parser(first_block(rest, blocks, path, options))
    _check_columns(first.schema, path, options)
    yield first[:0]
    if len(first):
        yield first
    names = first.schema.names
    parser = Parser(path, options, dict(zip(names, first.schema.types, strict=True)), names)
    yield from filter(len, in_order(parser, following(rest)))
    if blocks.left:
        refuse(blocks.left, path, options)


@contextlib.contextmanager
def open_blocks(path: Path, options: ReadOptions) -> Iterator[Blocks]:
    """Open a file as blocks of whole records. Raise `DataError` where its bytes are not of its encoding."""
    with open_bytes(path, options.max_ratio) as raw:
        try:
            yield Blocks(utf8_of(raw, options), separator(path, options), most=_BLOCK, size=_BLOCK)
        except UnicodeDecodeError:
            diagnosis.raise_encoding(path, options)


def first_block(cut: Iterator[bytes], blocks: Blocks, path: Path, options: ReadOptions) -> bytes:
    """Return the first block, which is empty where the file is. Raise `DataError` where it has no end."""
    block = next(cut, b"")
    if blocks.left and not block:
        refuse(blocks.left, path, options)
    return block


def refuse(left: Left, path: Path, options: ReadOptions) -> NoReturn:
    """Raise `DataError` for a record that cannot be parsed."""
    raise diagnosis.explain_left(path, options, left, _BLOCK)


def following(cut: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the blocks after the first that hold more than line ends."""
    return (block for block in cut if not block.isspace() or block.strip(b"\r\n"))


def _check_columns(schema: pa.Schema, path: Path, options: ReadOptions) -> None:
    import pyarrow as pa

    for field in schema:
        if pa.types.is_binary(field.type):
            diagnosis.raise_encoding(path, options)
        if pa.types.is_time(field.type):  # tables have no type for a time of day
            raise WrongType(f"{path}: column {field.name!r} holds times of day", field.name, "string")
    check_declared(schema.names, path, options)


def check_declared(names: Sequence[str], path: Path, options: ReadOptions) -> None:
    """Raise `DataError` where a column has a declared type and the file lacks it, or one column stands for many."""
    if names and (note := _EXCELS_NOTE.fullmatch(",".join(names))):
        raise DataError(
            f"{path}:1: {note[0]!r} names the separator for Excel, and is no header",
            hint=f"Delete the line, and pass --separator '{note[1]}'.",
        )
    other = next((letter for letter in ",;\t|" if letter in names[0]), None) if len(names) == 1 else None
    if other and not options.separator:
        shown, own = (letter.replace("\t", "\\t") for letter in (other, separator(path, options)))
        raise DataError(
            f"{path}: there is only one column, and its name contains '{shown}': {names[0]!r}",
            hint=f"If '{shown}' separates fields, pass --separator '{shown}'. If there is one column, pass --separator '{own}'.",
        )
    unknown = sorted(set(options.types) - set(names))
    if unknown:
        raise DataError(f"{path} has no column {unknown[0]!r}", hint=f"It has: {', '.join(names)}.")


def _text_nulls(batch: pa.RecordBatch, null: tuple[str, ...]) -> pa.RecordBatch:
    """Make null of empty texts, and of those that `null` names."""
    import pyarrow as pa

    columns = [_without(values, null) if pa.types.is_string(values.type) else values for values in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _without(texts: pa.Array, null: tuple[str, ...]) -> pa.Array:
    """Return texts, of which none is null, with null for empty ones and those that `null` names; nothing is copied."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stays = pc.not_equal(pc.binary_length(texts), 0)
    if null:
        stays = pc.and_not(stays, pc.is_in(texts, pa.array(null)))
    if stays.true_count == len(texts):
        return texts
    return pa.Array.from_buffers(texts.type, len(texts), [stays.buffers()[1], *texts.buffers()[1:]])
