"""`Subject`: whom an erasure is about, found in columns whether they hold the value or its keyed hash. The value leaves no process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.governance.keyed import keyed_hash
from mlopsfw.kernel.base.errors import ConfigError, DataError, UsageError
from mlopsfw.kernel.base.spans import in_zone, instant

if TYPE_CHECKING:
    import polars as pl

SEARCHABLE = 6
"""Characters from which on a text is looked for in logs, reports and values; a shorter one would be found everywhere."""


class Subject:
    """The rows whose `column` has a value.

    Args:
        column: The column.
        text: The value, as text.
        key: The project's key of keyed hashes.
        words: Further texts to look for where there are no columns, of at least 6 characters.
        values: What the text stands for; None for itself.
    """

    def __init__(
        self, column: str, text: str, key: bytes, words: tuple[str, ...] = (), values: tuple[str, ...] | None = None
    ) -> None:
        if not key:
            hint = 'Make one with `openssl rand -hex 32`, and refer to it: [privacy] key = "env:NAME".'
            raise ConfigError("the key to prove an erasure is missing", key="privacy.key", hint=hint)
        if any(len(word) < SEARCHABLE for word in words):
            hint = "A shorter one stands in texts that are about somebody else. Omit it, or give more of the text."
            raise UsageError(f"a text to look for has at least {SEARCHABLE} characters", hint=hint)
        self.column, self.text, self._key, self._more = column, text, key, words
        self.digest = keyed_hash(key, f"mlopsfw subject\0{column}\0{text}")
        self._values = (text,) if values is None else values
        self._hashes = tuple(keyed_hash(key, value) for value in self._values)
        self.texts = (*self._values, *words)
        self.words = tuple(word for word in self.texts if len(word) >= SEARCHABLE)

    def among(self, values: Iterable[str]) -> Subject:
        """Return the same subject, found by `values`, which its text stands for, such as the paths that a pattern means."""
        return Subject(self.column, self.text, self._key, self._more, tuple(values))

    def rows(self, schema: Mapping[str, pl.DataType]) -> pl.Expr | None:
        """Return which rows are the subject's; None where no column of the schema can tell.

        A capture table has the column as `input_<column>` where it would hide another, or as `<column>:<type>` for an old type.
        """
        import polars as pl

        names = [name for name in schema if name.partition(":")[0] in (self.column, f"input_{self.column}")]
        parts = [part for name in names if (part := self._equals(name, schema[name])) is not None]
        return pl.any_horizontal(parts).fill_null(value=False) if parts else None

    def _equals(self, name: str, kind: pl.DataType) -> pl.Expr | None:
        import polars as pl

        if kind in (pl.String, pl.Categorical) or isinstance(kind, pl.Enum):
            return pl.col(name).cast(pl.String).is_in([*self._values, *self._hashes])
        reads = next((read for base, read in _READERS if _is(kind, base)), None)
        if reads is None:
            return None
        parts = [part for text in self._values if (part := _is_read(name, kind, reads, text)) is not None]
        return pl.any_horizontal(parts) if parts else None


def _is_read(name: str, kind: pl.DataType, reads: Callable[[str], Any], text: str) -> pl.Expr | None:
    """Return whether a column is the value that is read from a text; None where that is none of its kind."""
    import polars as pl

    try:
        value = reads(text)
    except (ValueError, DataError):
        return None
    if isinstance(value, dt.datetime):
        return pl.col(name) == pl.lit(value).dt.replace_time_zone(getattr(kind, "time_zone", None))
    return pl.col(name) == pl.lit(value)


def parse(key: str) -> tuple[str, str]:
    """Return the column and the value of `COLUMN=VALUE`. Raise `UsageError`, which does not hold the value."""
    column, equals, value = key.partition("=")
    if not (column and equals and value):
        raise UsageError(
            "a key is COLUMN=VALUE",
            hint="Write --key customer=123, or write customer=123 into a file and pass --key-file FILE.",
        )
    return column, value


def _is(kind: Any, base: str) -> bool:
    return bool(getattr(kind, f"is_{base}")()) if base in ("integer", "float") else type(kind).__name__ == base


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text] if text in ("true", "false") else _no()


def _no() -> bool:
    raise ValueError


def _moment(text: str) -> dt.datetime:
    moment = instant(text)
    return moment if moment.tzinfo is None else in_zone(moment).replace(tzinfo=None)


_READERS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("integer", int), ("float", float), ("Boolean", _boolean), ("Datetime", _moment), ("Date", dt.date.fromisoformat),
)  # fmt: skip
"""Kind of column → how the value is read for it."""
