"""Files of any size as tables that can be read block by block, any number of times, through the reader of `data add`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.data.drift.representation import is_text
from mlopsfw.data.intake.inferred import InferredFile, Words, first_texts, unlike_texts, words_among_numbers
from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.base.ids import nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.reading import ReadOptions


class Blocks:
    """A file whose blocks can be read any number of times.

    Args:
        formats: The formats that read files.
        file: The file.
        options: How it is written.
        sheet: The sheet of a workbook.
        keep: Whether to hold the rows of a file that has to be read for its types, so that it is read once.

    Attributes:
        schema: The columns.
        notes: What the user should know about the reading.
        late: Columns of which a row behind the first ones holds a text that is no number.
        words: Columns of text of which most values are numbers, but for those that the options declare. In a file with types
            of its own, only those with many different ones: few are categories.
        unlike: Columns of text whose values hardly repeat, but for those that the options declare.

    Raises:
        DataError: The file cannot be read.
        UsageError: Its suffix names no known format.
    """

    def __init__(self, formats: Formats, file: Path, options: ReadOptions, sheet: str = "", *, keep: bool) -> None:
        self._rows, self._keep = InferredFile(formats, file, options, sheet), keep
        self._typed, self._declared = self._rows.typed, options.types
        self._kept: list[pa.RecordBatch] = []
        self.notes: list[str] = self._rows.notes
        self.late = self._rows.late
        self.words: dict[str, Words] = {}
        self.unlike: list[str] = []
        if formats.describe(file).schema is None:
            self._settle()
        else:
            self.schema: pa.Schema = self._rows.take(next).schema
            self._keep = False
            self._look_at_texts()

    def _settle(self) -> None:
        """Read the file once to learn each column's type: the first block of a column may look like numbers, and a later one not."""

        def taken(batches: Iterator[pa.RecordBatch]) -> list[pa.RecordBatch]:
            first, some = next(batches), next(batches, None)
            if some is not None:
                self._look(some)
            remaining = [batch for batch in batches if self._keep]
            return [first, *remaining] if some is None or not self._keep else [first, some, *remaining]

        self._kept = self._rows.take(taken)
        self.schema = self._kept[0].schema

    def _look_at_texts(self) -> None:
        """Look at the first rows of a file that says its types before its rows."""
        texts = tuple(field.name for field in self.schema if is_text(field.type) and field.name not in self._declared)
        rows = next((batch for batch in self.read(texts) if batch.num_rows), None) if texts else None
        if rows is not None:
            self._look(rows)

    def _look(self, rows: pa.RecordBatch) -> None:
        """Take note of the columns of text that hold numbers or times, and of those that hardly repeat, by the first rows."""
        texts = {name: each for name, each in first_texts(rows).items() if name not in self._declared}
        self.unlike = unlike_texts(texts)
        among = words_among_numbers(texts, texts if self._typed else self.late)
        self.words |= {name: words for name, words in among if words.measures or not self._typed}

    def as_text(self, columns: list[str]) -> None:
        """Read these columns of a file of texts as text. Other formats have types of their own."""
        if columns and not self._typed:
            self._rows.as_text(columns)
            self._settle()

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Yield the columns from the first block to the last."""
        if not self._keep:
            return self._rows.batches(columns)
        return (batch.select(list(columns)) for batch in self._kept)


def known_columns(file: Path, names: tuple[str, ...], requested: tuple[str, ...]) -> tuple[str, ...]:
    """Return `requested`, or all `names` if it is empty. Raise `UnknownName` for a column that the file lacks."""
    for name in requested:
        if name not in names:
            raise UnknownName(f"{file} has no column {name!r}", hint=nearest(name, names))
    return requested or names
