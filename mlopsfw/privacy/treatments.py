"""What happens to personal columns, value by value: dropped, masked or replaced by a keyed hash. Alike at ingest, at serving and in labels.

`drop`: the column is left out. `mask`: of a text the first character stays, `A***`, or `***` of one of two characters or less; of a date
or time the year stays; anything else becomes null. `hash`: HMAC-SHA256 under the project's key of the value's text, in hex, so that
equal values stay equal, in every table of every project that has the key, and nobody without it can try values out. Null stays null.

A value's text is the same whatever file it came from: `123` for 123, 123.0 and "123"; `true`; RFC 3339 for dates and times, times
in UTC with microseconds; base64 for bytes, as JSON holds them; JSON for lists and records.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from mlopsfw.governance.keyed import keyed_hash
from mlopsfw.kernel.base.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

Mark = Literal["drop", "mask", "hash"]
STRICTER: tuple[Mark, ...] = ("hash", "mask", "drop")
"""From the one that keeps most to the one that keeps nothing."""
_SHORT = 2


class Treatment:
    """How the columns of some rows are treated.

    Args:
        marks: Column → treatment.
        key: Of the keyed hash; may be empty where no column is hashed.
    """

    def __init__(self, marks: Mapping[str, Mark], key: bytes = b"") -> None:
        self.marks, self._key = dict(marks), key
        if "hash" in self.marks.values() and not key:
            raise ConfigError("the key to hash personal columns is missing", key="privacy.key", hint=_HOW)

    def only(self, marks: Mapping[str, Mark]) -> Treatment:
        """Return the treatment of other columns under the same key."""
        return Treatment(marks, self._key)

    def value(self, column: str, value: Any) -> Any:
        """Return what is kept of one value; the value itself where its column is not marked."""
        mark = self.marks.get(column)
        if mark is None or value is None:
            return value
        return {"drop": _nothing, "mask": mask, "hash": self.hashed}[mark](value)

    def hashed(self, value: Any) -> str:
        """Return the keyed hash of a value, 64 hex digits."""
        return keyed_hash(self._key, text_of(value))

    def columns(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Return columns of plain values as they are kept."""
        return {
            name: [self.value(name, value) for value in values]
            for name, values in columns.items()
            if self.marks.get(name) != "drop"
        }

    def batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield record batches as they are kept; a hashed column becomes text."""
        return (self._batch(batch) for batch in batches) if self.marks else iter(batches)

    def _batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        treated = [
            (field, column) for field, column in zip(batch.schema, batch.columns, strict=True) if not self._drops(field)
        ]
        columns = [self._column(field, column) for field, column in treated]
        names = [field.name for field, _ in treated]
        return pa.RecordBatch.from_arrays(columns, names=names)

    def _drops(self, field: pa.Field) -> bool:
        return self.marks.get(field.name) == "drop"

    def _column(self, field: pa.Field, column: pa.Array) -> pa.Array:
        import pyarrow as pa

        mark = self.marks.get(field.name)
        if mark is None:
            return column
        text = mark == "hash" or pa.types.is_string_view(field.type)  # Arrow has no `take` for views
        kind = pa.string() if text else field.type
        act: Callable[[Any], Any] = self.hashed if mark == "hash" else mask
        return _each(column, act, kind)


def _each(column: pa.Array, act: Callable[[Any], Any], kind: pa.DataType) -> pa.Array:
    """Return `act` of each value, computed once for each distinct one where Arrow can tell."""
    import pyarrow as pa

    if pa.types.is_nested(column.type) or isinstance(column, pa.DictionaryArray | pa.ExtensionArray):
        return pa.array([None if value is None else act(value) for value in column.to_pylist()], kind)
    coded = column.dictionary_encode()
    acted = pa.array([None if value is None else act(value) for value in coded.dictionary.to_pylist()], kind)
    return acted.take(coded.indices)


def mask(value: Any) -> Any:
    """Return what `mask` keeps of a value."""
    if isinstance(value, str):
        return f"{value[0]}***" if len(value) > _SHORT else "***"
    if isinstance(value, dt.datetime):
        return value.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    return value.replace(month=1, day=1) if isinstance(value, dt.date) else None


def text_of(value: Any) -> str:
    """Return the text of a value that its hash is over, and that `forget` compares."""
    for kind, text in _TEXTS:
        if isinstance(value, kind):
            return text(value)
    return str(value)


def _moment(value: dt.datetime) -> str:
    utc = value if value.tzinfo is None else value.astimezone(dt.UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds")


def _decimal(value: Decimal) -> str:
    return format(value.normalize(), "f") if value.is_finite() else str(float(value))


_TEXTS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (bool, lambda value: str(value).lower()),
    (float, lambda value: str(int(value)) if value.is_integer() else repr(value)),
    (dt.datetime, _moment),
    (dt.date, dt.date.isoformat),
    (Decimal, _decimal),
    (bytes, lambda value: base64.b64encode(value).decode()),
    ((list, dict), lambda value: json.dumps(value, sort_keys=True, default=text_of)),
)
"""What has a text of its own, the narrower type before the wider."""


def strictest(many: Iterable[Mapping[str, Mark]]) -> dict[str, Mark]:
    """Return each column that any of them marks, with the strictest of its marks."""
    strictest_marks: dict[str, Mark] = {}
    for marks in many:
        for column, mark in marks.items():
            strictest_marks[column] = max(strictest_marks.get(column, mark), mark, key=STRICTER.index)
    return strictest_marks


def _nothing(_: Any) -> None:
    return None


_HOW = 'Make one with `openssl rand -hex 32`, and refer to it: [privacy] key = "env:NAME".'
