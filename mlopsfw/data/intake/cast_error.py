"""Values of files of text that do not fit the dataset, told with the line where they stand: the files are read once more for it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlopsfw.data.intake.formats import called
from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.intake.type_inference import Guesses, WrongInference
from mlopsfw.data.tables.columns import CastError
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.reading import ReadRequest

if TYPE_CHECKING:
    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.reading import Format, ReadOptions
    from mlopsfw.kernel.roles.source import SourceTable

_READABLE = ("int64", "double", "bool", "date32[day]", "timestamp[us]")


def located(
    error: DataError, formats: Formats, files: Sequence[SourceFile | SourceTable], options: ReadOptions
) -> DataError:
    """Return the error of the first value that `error` is about with its file and line, or `error` where there is none to be found."""
    if not isinstance(error, CastError) or error.kind not in _READABLE or error.column in options.types:
        return error
    as_stored = replace(options, expected={error.column: error.kind})
    for file in files:
        if isinstance(file, SourceFile) and not (reader := formats.of(file.path)).typed:
            try:
                with called(file):
                    _read_through(reader, file.path, as_stored)
            except DataError as found:
                if found.hint.startswith("Correct"):
                    found.hint = "Correct the row, name the text that means a missing value (--null TEXT), or put such rows in quarantine (--max-bad 0.01)."
                return found
    return error


def _read_through(reader: Format, path: Path, options: ReadOptions) -> None:
    """Read a file for its errors alone."""
    guesses = Guesses()

    def read() -> None:
        for _ in reader.read(ReadRequest(path=path, options=options, learned=guesses.columns)):
            pass

    with contextlib.suppress(WrongInference):  # nothing new was learnt
        guesses.retry(read)
