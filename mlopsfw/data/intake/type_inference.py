"""What files taught that were read before: types that their first rows do not show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


class WrongGuess(DataError):
    """What was guessed from the first rows does not hold further on; reading anew with something else may do.

    Args:
        message: What was met.
        about: A CSV column, or the path of a file of JSON lines.
        kind: What to take it for: the column's type, the file's schema.
        also: Other columns that turned out otherwise at once, and their types.
    """

    def __init__(self, message: str, about: str | Path, kind: Any, also: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.about, self.kind, self.also = about, kind, also or {}


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
    """What to take columns and files for. There is nothing known at first."""

    def __init__(self) -> None:
        self.columns: dict[str, str] = {}
        self._schemas: dict[Path, pa.Schema] = {}

    def schema(self, path: Path) -> pa.Schema | None:
        """Return the schema of a file of JSON lines, if one was learnt."""
        return self._schemas.get(path)

    def learn(self, wrong: WrongGuess) -> None:
        """Take in what a reading found out; each knows more than the one before. Raise `wrong` where it is nothing new."""
        known: dict[Any, Any] = self._schemas if isinstance(wrong.about, Path) else self.columns
        if known.get(wrong.about) == wrong.kind:
            raise wrong
        known[wrong.about] = wrong.kind
        self.columns |= wrong.also
