"""One file's rows for verbs that make no dataset of them (`drift`, `predict`, `labels add`): read as `data add` reads them.

Where `data add` refuses a word far down in a column of numbers, to protect the dataset, the column is text here, and that is noted.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.intake.type_inference import BadValue, Guesses, WrongType
from mlopsfw.data.tables import exact
from mlopsfw.data.tables.declared import null_texts, text_hint
from mlopsfw.data.tables.logical import decoded
from mlopsfw.kernel.base.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.reading import ReadOptions, TextFormat

_LOOKED_AT = 1_000  # rows that tell whether a column of text is one of numbers
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d|$)")
_DIGITS = 38  # of a decimal, at most
_FEW = 50  # different values up to which texts are compared one by one, whatever they are

Taken = TypeVar("Taken")


class InferredFile:
    """A file that is read anew while its types are being learnt.

    Args:
        formats: Read it.
        path: The file.
        options: How it is written.
        sheet: Of a workbook.

    Attributes:
        notes: What its reader should know: columns that became text.
        late: Columns that became text for a word far down, which a note quotes.
    """

    def __init__(self, formats: Formats, path: Path, options: ReadOptions, sheet: str = "") -> None:
        self._formats, self._file, self._options = formats, SourceFile(path, sheet=sheet), options
        self._guesses = Guesses()
        self.notes: list[str] = []
        self.late: set[str] = set()

    def take(self, work: Callable[[Iterator[pa.RecordBatch]], Taken]) -> Taken:
        """Return what `work` makes of the batches, of which the first has no rows; it is begun anew when a type turns out otherwise.

        Raises:
            DataError: The file cannot be read, or its suffix does not say what it is.
            UsageError: An option is wrong.
        """
        is_typed(self._formats, self._file.path)

        def read() -> Taken:
            try:
                with contextlib.closing(self.batches()) as batches:
                    return work(batches)
            except BadValue as error:
                if error.column in self._options.types or error.column in self._options.expected:
                    raise
                self.notes.append(f"{error.message}: the column is read as text.")
                self.late.add(error.column)
                raise WrongType(error.message, error.column, "string") from None

        return self._guesses.retry(read)

    @property
    def typed(self) -> bool:
        """Whether the file's values have types of their own, as those of CSV have not."""
        return is_typed(self._formats, self._file.path)

    def batches(self, columns: tuple[str, ...] = ()) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows, in these columns or in all, by what was learnt of their types in earlier passes."""
        return self._formats.read([self._file], self._options, self._guesses, columns=columns)

    def as_text(self, columns: Iterable[str]) -> None:
        """Read these columns as text from now on, unless they have a declared type."""
        known = self._options.types.keys() | self._options.expected.keys()
        self._guesses.columns |= {name: "string" for name in columns if name not in known}


def is_typed(formats: Formats, path: Path) -> bool:
    """Return whether a file's values have types of their own, as those of CSV have not. Raise `DataError` where no format reads it."""
    try:
        return formats.of(path).typed
    except UsageError as error:
        raise DataError(error.message, hint=error.hint) from None


def header_of(formats: Formats, path: Path, options: ReadOptions) -> list[str]:
    """Return the names in the first row of a file of texts. Raise `DataError` where there is none."""
    names = list(cast("TextFormat", formats.of(path)).header(path, options))
    if not names:
        raise DataError(f"{path}: Empty CSV file")
    return names


@dataclass(frozen=True)
class Words:
    """What a column of texts of which most are numbers or times holds besides.

    Args:
        kind: What most are.
        word: The first text that is none; empty where the first rows have none.
        measures: Whether different ones are many: as texts, each would be a category of its own, and a shift of them not seen.
    """

    kind: Literal["numbers", "times"]
    word: str
    measures: bool


def words_among_numbers(columns: Mapping[str, list[str]], late: Collection[str]) -> Iterator[tuple[str, Words]]:
    """Yield each column of text of which most values are numbers, or times: a text that means no value may be the reason.

    Args:
        columns: The first values of each, as `first_texts` returns them.
        late: Columns of which a further row holds a text that is none.
    """
    usual = null_texts(())
    for name, texts in columns.items():
        is_time = sum(map(_is_time, texts)) * 2 > len(texts)
        odd = [text for text in texts if not (_is_time(text) if is_time else _is_number(text))]
        words = [text for text in odd if text not in usual] or odd
        if (
            (words or name in late)
            and len(odd) * 2 < len(texts)
            and not any(map(exact.is_code, texts) if not is_time else ())
        ):
            kind: Literal["numbers", "times"] = "times" if is_time else "numbers"
            word = words[0] if words else ""
            yield name, Words(kind, word, measures=len(set(texts)) > _FEW)


def unlike_texts(columns: Mapping[str, list[str]]) -> list[str]:
    """Return the columns of text whose first values hardly repeat: each is a category of its own, and a shift of them not seen."""
    return [name for name, texts in columns.items() if len(set(texts)) > max(_FEW, len(texts) // 2)]


def first_texts(batch: pa.RecordBatch) -> dict[str, list[str]]:
    """Return the first values of each column of text; nulls are left out."""
    import pyarrow.types as t

    return {
        name: [text for text in values[:_LOOKED_AT].to_pylist() if text is not None]
        for name, values in zip(batch.schema.names, batch.columns, strict=True)
        if t.is_string(values.type) or t.is_large_string(values.type) or t.is_string_view(values.type)
    }


def _is_time(text: str) -> bool:
    if not _TIME.match(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:  # such as 0000-00-00
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def table_of(batches: Iterator[pa.RecordBatch]) -> pa.Table:
    """Return batches, at least one, as a table."""
    import pyarrow as pa

    return pa.Table.from_batches(list(batches))


def as_frame(rows: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    """Return rows as a frame, with texts in a column without values, as a dataset reads it. Raise `DataError` for a type that Polars lacks."""
    import polars as pl

    names = rows.schema.names
    columns = {name: _known_to_polars(rows.column(name), name) for name in names}
    return pl.DataFrame(columns, schema=names).with_columns(pl.col(pl.Null).cast(pl.String))


def _known_to_polars(values: pa.Array | pa.ChunkedArray, name: str) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.types as t

    if t.is_run_end_encoded(values.type):
        chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
        return pa.chunked_array(map(decoded, chunks), values.type.value_type)
    try:
        if t.is_decimal256(values.type):
            return values.cast(pa.decimal128(_DIGITS, values.type.scale))
        if not t.is_interval(values.type) and not t.is_union(values.type):
            return values
    except pa.ArrowInvalid:  # more digits
        pass
    raise DataError(f"column {name!r}: values of type {values.type} cannot be read", hint=text_hint(name))
