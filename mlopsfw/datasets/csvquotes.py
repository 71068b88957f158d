"""A quote that is opened in a CSV file and never closed: all that follows would be one field, and no parser complains of it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from mlopsfw.datasets.opened import open_bytes
from mlopsfw.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.datasets.csvsource import CsvOptions


class Watched:
    """A file being read, which knows whether its quotes came in pairs and whether its last line was ended.

    Args:
        raw: The file.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._quotes, self._last = raw, 0, b"\n"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        data = self._raw.read(size)
        self._quotes += data.count(b'"')
        self._last = data[-1:] or self._last
        return data

    def suspicious(self, last: pa.RecordBatch | None) -> bool:
        """Return whether the file may have ended within quotes: its last row holds a line end, or itself has none and an odd quote.

        Args:
            last: The last batch with rows.
        """
        if self._quotes % 2 and self._last not in b"\r\n":
            return True
        return last is not None and any(_has_line_end(column[last.num_rows - 1].as_py()) for column in last.columns)


def _has_line_end(value: object) -> bool:
    if isinstance(value, bytes):
        return b"\n" in value or b"\r" in value
    return isinstance(value, str) and ("\n" in value or "\r" in value)


def check_end(path: Path, options: CsvOptions) -> None:
    """Raise `DataError` where the last row of the file has a quote that is never closed. Reads it all, in Python."""
    from mlopsfw.datasets.csvsource import separator, text_of

    lines: list[str] = []
    begin, line, last = 1, 1, [""]
    with open_bytes(path, options.max_ratio) as raw, text_of(raw, options) as text:
        reader = csv.reader(_kept(cast("Iterator[str]", text), lines), delimiter=separator(path, options))
        for fields in reader:
            if fields:
                begin, last = line, lines.copy()
            line = reader.line_num + 1
            lines.clear()
    if _open_ended(last, separator(path, options)):
        raise DataError(
            f"{path}:{begin}: the row has a quote that is never closed; all that follows would be one field",
            hint="Close the quote, or double it where it belongs to the text.",
        )


def _kept(lines: Iterator[str], kept: list[str]) -> Iterator[str]:
    for line in lines:
        kept.append(line)
        yield line


def _open_ended(record: list[str], delimiter: str) -> bool:
    try:
        list(csv.reader(record, delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "end of data" in str(error) or "".join(record).count('"') % 2 == 1
    return False
