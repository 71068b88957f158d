"""What files taught that were read before: types and columns that their first rows do not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")

Result = TypeVar("Result")


class WrongInference(DataError):
    """What was inferred from the first rows does not hold further on; the file is read again with what is known now."""


class WrongType(WrongInference):
    """A column has another type.

    Args:
        message: What was met.
        column: The column.
        kind: Its type.
        also: Other columns that turned out otherwise at once, and their types.
    """

    def __init__(self, message: str, column: str, kind: str, also: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.types = {**(also or {}), column: kind}


class WrongSchema(WrongInference):
    """A file has other columns.

    Args:
        message: What was met.
        path: The file.
        schema: Its columns.
    """

    def __init__(self, message: str, path: Path, schema: pa.Schema) -> None:
        super().__init__(message)
        self.path, self.schema = path, schema


class BadValue(DataError):
    """A value of a CSV file is not of its column's type, and no other number is.

    Args:
        message: What was met, and where.
        column: The column.
        hint: What to do.
    """

    def __init__(self, message: str, column: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.column = column


class Guesses:
    """What to take columns and files for. There is nothing known at first.

    Attributes:
        columns: Column → type.
    """

    def __init__(self) -> None:
        self.columns: dict[str, str] = {}
        self._schemas: dict[Path, pa.Schema] = {}
        self._learnt: set[tuple[object, str]] = set()

    def schema(self, path: Path) -> pa.Schema | None:
        """Return the columns of a file, if they were learnt."""
        return self._schemas.get(path)

    def retry(self, read: Callable[[], Result]) -> Result:
        """Return what `read` returns; it is called again as long as it raises `WrongInference` with news. Raise what has none."""
        while True:
            try:
                return read()
            except WrongInference as wrong:
                self._learn(wrong)

    def _learn(self, wrong: WrongInference) -> None:
        news: set[tuple[object, str]] = set()
        if isinstance(wrong, WrongType):
            news = set(wrong.types.items())
            self.columns |= wrong.types
        elif isinstance(wrong, WrongSchema):
            news = {(wrong.path, str(wrong.schema))}
            self._schemas[wrong.path] = wrong.schema
        if news <= self._learnt:  # a reader that goes back and forth would never end
            raise wrong
        self._learnt |= news
