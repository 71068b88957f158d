"""Values of CSV files that do not fit the dataset, told with the line where they stand: the files are read once more for it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlopsfw.data.intake import readers
from mlopsfw.data.intake.csv.strict import read_csv
from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.intake.type_inference import Guesses, WrongGuess
from mlopsfw.data.tables.columns import Unfit
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    from mlopsfw.data.intake.csv.options import CsvOptions
    from mlopsfw.data.intake.lakehouse import SourceTable

_READABLE = ("int64", "double", "bool", "date32[day]", "timestamp[us]")


def located(error: DataError, files: Sequence[SourceFile | SourceTable], options: CsvOptions) -> DataError:
    """Return the error of the first value that `error` is about with its file and line, or `error` where there is none to be found."""
    if not isinstance(error, Unfit) or error.kind not in _READABLE or error.column in options.types:
        return error
    as_stored = replace(options, expected={error.column: error.kind})
    for file in files:
        if isinstance(file, SourceFile) and readers.format_of(file.path) == "csv":
            try:
                with readers.called(file):
                    _read_through(file.path, as_stored)
            except DataError as found:
                if found.hint.startswith("Mend"):
                    found.hint = "Mend the row, name the text that means no value (--null TEXT), or set such rows aside (--max-bad 0.01)."
                return found
    return error


def _read_through(path: Path, options: CsvOptions) -> None:
    """Read a file for its errors alone."""
    guesses = Guesses()
    with contextlib.suppress(WrongGuess):  # nothing new was learnt
        while True:
            try:
                for _ in read_csv(path, options, guesses.columns):
                    pass
            except WrongGuess as error:
                guesses.learn(error)
            else:
                return
