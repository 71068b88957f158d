"""Types that a user declared for columns whose values have types of their own, and texts that mean a missing value.

A declared type reads the value's text, as it reads the text of a CSV file: 501 as a string is "501", "1" as a bool is true, 1.5 as an int64 is
an error. Nothing is rounded, and no number becomes a time. A time declared in microseconds drops the digits below them, which no table holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mlopsfw.data.tables.logical import decoded
from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.lineage.canonical import finite

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")


Cast = Callable[["pa.Array", "pa.DataType"], "pa.Array"]


_FINER = r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{6})\d+((?:Z|[+-]\d\d(?::?\d\d)?)?)$"
"""A time with digits below a microsecond."""


_PLACES = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""Digits of a second, by unit."""


class TooManyBad(Exception):
    """More values do not fit a type than may."""


def type_of(name: str, column: str = "") -> pa.DataType:
    """Return the Arrow type of that name. Raise `UsageError` naming `column` if there is none, or no table can hold it."""
    import pyarrow as pa

    if name.startswith("timestamp[ns"):
        kind = name.replace("[ns", "[us", 1)
        raise UsageError(f"column {column!r}: no table can hold {name}", hint=truncation_hint(column, kind))
    try:
        return pa.timestamp("us", "UTC") if name == "timestamp[us, tz=UTC]" else pa.type_for_alias(name)
    except ValueError:
        hint = "Types are int64, double, string, bool, date32[day], timestamp[us] and similar."
        raise UsageError(f"column {column!r}: there is no type {name!r}", hint=hint) from None


def truncation_hint(column: str, kind: str) -> str:
    """Return how to load times with digits below a microsecond; `kind` is the type that a table has for them."""
    return (
        f'A table keeps microseconds. Pass --type "{column}={kind}" to drop the digits below, '
        f"or keep the text (--type {column}=string)."
    )


def text_hint(column: str, *, is_length: bool = False) -> str:
    """Return how to load a column of a type that no table holds; `column` may name a field within it, `a.b`."""
    name = column.partition(".")[0]
    numbers = f", or whole microseconds (--type {name}=int64)" if is_length and name == column else ""
    return f"Load it as text (--type {name}=string){numbers}."


def is_finer(text: str) -> bool:
    """Return whether a text is a time with digits below a microsecond."""
    return re.match(_FINER, text.strip()) is not None


def is_micro(kind: pa.DataType) -> bool:
    """Return whether a type is a time in microseconds."""
    import pyarrow.types as t

    return bool(t.is_timestamp(kind)) and kind.unit == "us"


def cast_texts(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return texts as a declared type: a time in microseconds drops the digits below. Raise Arrow's errors."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return texts.cast(kind, safe=not pa.types.is_floating(kind))
    except pa.ArrowInvalid:
        if not is_micro(kind):
            raise
    return pc.replace_substring_regex(texts, _FINER, r"\1\2").cast(kind)


def null_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts that mean a missing value in a column of numbers, times or booleans: the usual ones, and `texts`."""
    import pyarrow.csv as pc

    return [*pc.ConvertOptions().null_values, *texts]


def without_texts(values: pa.Array, texts: Sequence[str]) -> pa.Array:
    """Return a column with null for each of these texts; a column of other values as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = decoded(values)
    if not texts or not _is_text(plain.type):
        return values
    return pc.if_else(pc.is_in(plain, pa.array(texts, plain.type)), pa.scalar(None, plain.type), plain)


def as_type(
    values: pa.Array, kind: pa.DataType, null: Sequence[str], most: int = 0
) -> tuple[pa.Array | None, dict[int, str]]:
    """Return a column as `kind`, and what is wrong with the values that do not fit, by their position.

    Args:
        values: The column.
        kind: The declared type.
        null: Texts that mean a missing value, besides the usual ones.
        most: How many values may not fit; they become null. If there are more, the column is None.
    """
    bad: dict[int, str] = {}
    try:
        return _as_type(decoded(values), kind, null, bad, most), bad
    except TooManyBad:
        return None, bad


def _as_type(values: pa.Array, kind: pa.DataType, null: Sequence[str], bad: dict[int, str], most: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if values.type == kind:
        return values
    if t.is_temporal(values.type) and t.is_temporal(kind):
        return _moments(values, kind, bad, most)
    if t.is_duration(values.type):
        if _is_text(kind):
            return _clock_texts(values).cast(kind)
        values = cast_each(values, pa.duration("us"), bad, most).cast(pa.int64())
    if t.is_nested(values.type) and _is_text(kind):
        return _as_json(values).cast(kind)
    is_direct = _is_text(values.type) or t.is_nested(values.type)
    if t.is_floating(kind) and (t.is_integer(values.type) or t.is_floating(values.type)):
        is_direct = True
    texts = values if is_direct else cast_each(values, pa.string(), bad, most)
    if _is_text(texts.type) and not _is_text(kind):
        texts = without_texts(pc.utf8_trim_whitespace(texts), null_texts(null))
    return cast_each(texts, kind, bad, most, cast_texts if _is_text(texts.type) else None)


def _as_json(values: pa.Array) -> pa.Array:
    """Return lists and objects as JSON texts, with infinity and NaN as texts."""
    import pyarrow as pa

    texts = [json.dumps(finite(row), default=str, ensure_ascii=False) for row in values.to_pylist()]
    return pa.array(texts, pa.string(), mask=values.is_null().to_numpy(zero_copy_only=False))


def _clock_texts(values: pa.Array) -> pa.Array:
    """Return lengths of time as texts, in every unit the same: 30:00:00, -00:00:00.500."""
    import pyarrow as pa

    places = _PLACES[values.type.unit]

    def text(units: int) -> str:
        seconds, fraction = divmod(abs(units), 10**places)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        digits = f".{fraction:0{places}}" if fraction else ""
        return "-" * (units < 0) + clock + digits.removesuffix("000").removesuffix("000")

    return pa.array([None if each is None else text(each) for each in values.cast(pa.int64()).to_pylist()], pa.string())


def cast_each(  # noqa: PLR0917 - of the recursion
    values: pa.Array,
    kind: pa.DataType,
    bad: dict[int, str],
    most: int,
    cast: Cast | None = None,
    start: int = 0,
) -> pa.Array:
    """Return `values` as `kind`, with null for those that do not fit; halved until each of them is found.

    Args:
        values: The values.
        kind: The type.
        bad: Gets what is wrong with each value that does not fit, by its position.
        most: How many may not.
        cast: Returns values as `kind`, or raises Arrow's errors; by default by reading texts.
        start: The position of the first value.

    Raises:
        TooManyBad: More than `most` do not fit.
    """
    import pyarrow as pa

    try:
        return cast(values, kind) if cast else values.cast(kind, safe=not pa.types.is_floating(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        if len(values) == 1:
            bad[start] = str(error).removesuffix(".")
            if len(bad) > most:
                raise TooManyBad from None
            return pa.nulls(1, kind)
        half = len(values) // 2
        parts = (values[:half], start), (values[half:], start + half)
        return pa.concat_arrays([cast_each(part, kind, bad, most, cast, first) for part, first in parts])


def _moments(values: pa.Array, kind: pa.DataType, bad: dict[int, str], most: int) -> pa.Array:
    """Return dates and times as `kind`; one that would lose a part does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_micro(kind) and pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        values = _truncated(values)
    try:
        moments = values.cast(kind, safe=False)
        lost = pc.fill_null(pc.not_equal(moments.cast(values.type, safe=False), values), fill_value=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return cast_each(values, kind, bad, most)
    for place in pc.indices_nonzero(lost).to_pylist():
        bad[place] = f"{_shown(values[place])} is no {kind}"
        if len(bad) > most:
            raise TooManyBad
    return pc.if_else(lost, pa.scalar(None, kind), moments)


def _shown(value: pa.Scalar) -> str:
    """Return a date or a time for people: Python has none of nanoseconds, nor after the year 9999."""
    import pyarrow as pa

    try:
        return str(value)
    except (ValueError, OverflowError):
        return str(value.cast(pa.string()))


def _truncated(values: pa.Array) -> pa.Array:
    """Return times in nanoseconds without the digits below a microsecond, before 1970 too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    moments = values.cast(pa.timestamp("us", values.type.tz), safe=False)  # towards 1970
    is_later = pc.greater(moments.cast(values.type), values)
    return pc.if_else(is_later, pc.subtract(moments, pa.scalar(1, pa.duration("us"))), moments)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return bool(t.is_string(kind) or t.is_large_string(kind))
