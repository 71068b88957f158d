"""The closed set of functions for derived columns. Needs only NumPy: training and serving run the same code.

Numbers and booleans (0, 1) are float64 with NaN for missing values, texts are object arrays with None, times are int64 microseconds of UTC
with `MISSING`. A missing argument makes the result missing unless the function says otherwise. Infinities count as missing.

"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from mlopsfw.features.times import MISSING

Kind = Literal["number", "boolean", "string", "datetime", "local"]
"""A `local` time is one in a time zone: functions may only ask for its parts."""

_LONGEST_TEXT = 1 << 16
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Function(NamedTuple):
    """One function of the set.

    Args:
        takes: Kinds of the arguments, `same` for one kind that all such arguments share; the last repeats where `more` is set.
        gives: The result's kind, `same` for that of the arguments.
        run: From arrays to an array.
        more: Whether further arguments like the last are taken.
    """

    takes: tuple[str, ...]
    gives: str
    run: Callable[..., np.ndarray]
    more: bool = False


def missing(values: np.ndarray) -> np.ndarray:
    """Return where `values` are missing."""
    if values.dtype == object:
        return np.equal(values, None)  # type: ignore[call-overload, no-any-return]
    mask: np.ndarray = np.isnan(values) if values.dtype.kind == "f" else values == MISSING
    return mask


def nothing(like: np.ndarray) -> Any:
    """Return the value that means missing for this kind of array."""
    return None if like.dtype == object else np.nan if like.dtype.kind == "f" else MISSING


def finite(values: np.ndarray) -> np.ndarray:
    """Return numbers with NaN for infinities."""
    valid = np.isfinite(values)
    return values if valid.all() else np.where(valid, values, np.nan)


def _number(run: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def made(*values: np.ndarray) -> np.ndarray:
        return finite(run(*values))

    return made


def _compare(run: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    def compared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        absent = missing(a) | missing(b)
        if a.dtype == object:
            a, b = (np.where(missing(each), "", each) for each in (a, b))
        return np.where(absent, np.nan, run(a, b).astype(np.float64))

    return compared


def _and(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a and b in three-valued logic: false if either is false, else missing if either is missing."""
    return np.where((a == 0) | (b == 0), 0.0, np.where(np.isnan(a) | np.isnan(b), np.nan, 1.0))


def _or(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 1.0 - _and(1.0 - a, 1.0 - b)


def _choose(condition: np.ndarray, then: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return `then` if the condition is true, `otherwise` if it is false or missing."""
    return np.where(condition == 1.0, then, otherwise)


def _first(*values: np.ndarray) -> np.ndarray:
    """Return the first value that is not missing."""
    return reduce(lambda a, b: np.where(missing(a), b, a), values)


def _is_in(value: np.ndarray, *among: np.ndarray) -> np.ndarray:
    equal = _compare(np.equal)
    mask: np.ndarray = reduce(_or, (equal(value, each) for each in among))
    return mask


def _round(value: np.ndarray, decimals: np.ndarray) -> np.ndarray:
    """Return numbers rounded to `decimals`, halves to even."""
    scale = 10.0 ** np.rint(decimals)
    rounded: np.ndarray = np.rint(value * scale) / scale
    return rounded


def _clip(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.minimum(np.maximum(value, low), high)
    return clipped


# -- texts ---------------------------------------------------------------------------------------------------------------


def _text(run: Callable[..., Any], gives: type = object) -> Callable[..., np.ndarray]:
    """Return a function of text arrays that calls `run` for each value."""

    def each(*values: np.ndarray) -> np.ndarray:
        flat = np.broadcast_arrays(*values)
        results = [None if _absent(row) else run(*row) for row in zip(*(part.tolist() for part in flat), strict=True)]
        return np.array(results, dtype=gives) if gives is not object else objects(results)

    return each


def _absent(row: tuple[Any, ...]) -> bool:
    return any(value is None or value != value for value in row)  # noqa: PLR0124 - NaN


def objects(values: list[Any]) -> np.ndarray:
    """Return texts as an array of objects."""
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts


def _written(value: float) -> str:
    """Return a number as text; whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(value)


def _concat(a: str, b: str) -> str | None:
    """Join two texts. Return missing if the result is longer than any feature needs, so that a plan cannot exhaust memory."""
    return a + b if len(a) + len(b) <= _LONGEST_TEXT else None


def _replace(text: str, old: str, new: str) -> str | None:
    """Replace each occurrence. Return missing if the result is too long, as in `_concat`."""
    return text.replace(old, new) if len(text) + (text.count(old)) * len(new) <= _LONGEST_TEXT else None


def _slice(text: str, start: float, length: float) -> str:
    begin = max(0, len(text) + int(start)) if start < 0 else int(start)
    return text[begin : begin + max(0, int(length))]


# -- times ---------------------------------------------------------------------------------------------------------------


def in_zone(times: np.ndarray, zone: str) -> np.ndarray:
    """Return times as the wall clock of `zone` shows them, in the same unit."""
    valid, zone_info = times != MISSING, ZoneInfo(zone)
    moments = np.where(valid, times, 0) // _SECOND
    if times.size == 1:
        return np.where(valid, times + _offset(int(moments[0]), zone_info), MISSING)
    seconds, index = np.unique(moments, return_inverse=True)
    offsets = np.array([_offset(int(second), zone_info) for second in seconds], dtype=np.int64)
    return np.where(valid, times + offsets[index], MISSING)


def _offset(second: int, zone: ZoneInfo) -> int:
    try:
        offset = (_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
    except OverflowError:  # within a day of the years 1 and 9999
        return 0
    return 0 if offset is None else offset // timedelta(microseconds=1)


def _elapsed(unit: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function of two times: the number of whole units between them, negative if the second is later."""

    def elapsed(later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        valid = (later != MISSING) & (earlier != MISSING)
        micros = np.where(valid, later, 0) - np.where(valid, earlier, 0)
        return np.where(valid, np.sign(micros) * (np.abs(micros) // unit), np.nan)

    return elapsed


def _part(run: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    def part(times: np.ndarray) -> np.ndarray:
        valid = times != MISSING
        return np.where(valid, run(np.where(valid, times, 0)).astype(np.float64), np.nan)

    return part


def _months(times: np.ndarray) -> np.ndarray:
    return (times // _DAY).astype("M8[D]").astype("M8[M]").astype(np.int64)


def _day(times: np.ndarray) -> np.ndarray:
    days = (times // _DAY).astype("M8[D]")
    ordinals: np.ndarray = (days - days.astype("M8[M]")).astype(np.int64) + 1
    return ordinals


def _ordinal_day(times: np.ndarray) -> np.ndarray:
    days = (times // _DAY).astype("M8[D]")
    ordinals: np.ndarray = (days - days.astype("M8[Y]")).astype(np.int64) + 1
    return ordinals


_TWO, _ONE, _TIMES = ("number", "number"), ("number",), ("datetime", "datetime")

FUNCTIONS: dict[str, Function] = {
    "add": Function(_TWO, "number", _number(np.add)),
    "subtract": Function(_TWO, "number", _number(np.subtract)),
    "multiply": Function(_TWO, "number", _number(np.multiply)),
    "divide": Function(_TWO, "number", _number(np.divide)),
    "floor_divide": Function(_TWO, "number", _number(lambda a, b: np.floor(a / b))),
    "remainder": Function(_TWO, "number", _number(lambda a, b: a - np.floor(a / b) * b)),
    "power": Function(_TWO, "number", _number(np.power)),
    "negate": Function(_ONE, "number", _number(np.negative)),
    "abs": Function(_ONE, "number", _number(np.abs)),
    "sqrt": Function(_ONE, "number", _number(np.sqrt)),
    "log": Function(_ONE, "number", _number(np.log)),
    "log1p": Function(_ONE, "number", _number(np.log1p)),
    "log10": Function(_ONE, "number", _number(np.log10)),
    "exp": Function(_ONE, "number", _number(np.exp)),
    "floor": Function(_ONE, "number", _number(np.floor)),
    "ceil": Function(_ONE, "number", _number(np.ceil)),
    "round": Function(_TWO, "number", _number(_round)),
    "sign": Function(_ONE, "number", _number(np.sign)),
    "sin": Function(_ONE, "number", _number(np.sin)),
    "cos": Function(_ONE, "number", _number(np.cos)),
    "clip": Function(("number", "number", "number"), "number", _number(_clip)),
    "min_horizontal": Function(_ONE, "number", _number(lambda *v: reduce(np.fmin, v)), more=True),
    "max_horizontal": Function(_ONE, "number", _number(lambda *v: reduce(np.fmax, v)), more=True),
    "equal": Function(("same", "same"), "boolean", _compare(np.equal)),
    "unequal": Function(("same", "same"), "boolean", _compare(np.not_equal)),
    "less": Function(("same", "same"), "boolean", _compare(np.less)),
    "at_most": Function(("same", "same"), "boolean", _compare(np.less_equal)),
    "greater": Function(("same", "same"), "boolean", _compare(np.greater)),
    "at_least": Function(("same", "same"), "boolean", _compare(np.greater_equal)),
    "is_in": Function(("same", "same"), "boolean", _is_in, more=True),
    "is_null": Function(("same",), "boolean", lambda a: missing(a).astype(np.float64)),
    "and": Function(("boolean", "boolean"), "boolean", _and),
    "or": Function(("boolean", "boolean"), "boolean", _or),
    "not": Function(("boolean",), "boolean", lambda a: 1.0 - a),
    "choose": Function(("boolean", "same", "same"), "same", _choose),
    "coalesce": Function(("same",), "same", _first, more=True),
    "text": Function(_ONE, "string", _text(_written)),
    "concat": Function(("string", "string"), "string", _text(_concat)),
    "lowercase": Function(("string",), "string", _text(str.lower)),
    "uppercase": Function(("string",), "string", _text(str.upper)),
    "strip": Function(("string",), "string", _text(str.strip)),
    "slice": Function(("string", "number", "number"), "string", _text(_slice)),
    "length": Function(("string",), "number", _text(len, float)),
    "starts_with": Function(("string", "string"), "boolean", _text(str.startswith, float)),
    "ends_with": Function(("string", "string"), "boolean", _text(str.endswith, float)),
    "contains": Function(("string", "string"), "boolean", _text(str.__contains__, float)),
    "replace": Function(("string", "string", "string"), "string", _text(_replace)),
    "elapsed_seconds": Function(_TIMES, "number", _elapsed(_SECOND)),
    "elapsed_minutes": Function(_TIMES, "number", _elapsed(60 * _SECOND)),
    "elapsed_hours": Function(_TIMES, "number", _elapsed(3600 * _SECOND)),
    "elapsed_days": Function(_TIMES, "number", _elapsed(_DAY)),
    "minute": Function(("local",), "number", _part(lambda t: t // (60 * _SECOND) % 60)),
    "hour": Function(("local",), "number", _part(lambda t: t // (3600 * _SECOND) % 24)),
    "weekday": Function(("local",), "number", _part(lambda t: (t // _DAY + 3) % 7 + 1)),
    "day": Function(("local",), "number", _part(_day)),
    "ordinal_day": Function(("local",), "number", _part(_ordinal_day)),
    "month": Function(("local",), "number", _part(lambda t: _months(t) % 12 + 1)),
    "year": Function(("local",), "number", _part(lambda t: _months(t) // 12 + 1970)),
}
"""Name → function. `in_zone` is special: its second argument is a constant, the name of the zone."""
