"""Dates and times as microseconds of UTC, and their position in day, week and year. Shared by both executors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from mlopsfw.capturelog.times import micros
from mlopsfw.features.plan import Part
from mlopsfw.kernel.base.errors import DataError

MISSING = np.iinfo(np.int64).min
"""Means a missing time; NumPy's NaT."""

_DAY = 86_400_000_000
_MINUTE = 60_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_POSITIONS: dict[Part, int] = {"hour": 1440, "weekday": 7, "month": 12}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _circle(size: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(size) / size
    around = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.concatenate([around, np.zeros((1, 2))]).astype(np.float32)  # the last row is for missing values


_CIRCLES = {part: _circle(count) for part, count in _POSITIONS.items()}


def cycle(times: np.ndarray, part: Part) -> np.ndarray:
    """Return sine and cosine (float32, `[rows, 2]`) of the positions of `times` (int64 microseconds); 0, 0 for missing ones.

    Taken from a table with a row for each minute, weekday or month, so that every executor has the same bits.
    """
    valid = times != MISSING
    return _CIRCLES[part][np.where(valid, _place(np.where(valid, times, 0), part), _POSITIONS[part])]


def _place(times: np.ndarray, part: Part) -> np.ndarray:
    if part == "hour":
        return times // _MINUTE % _POSITIONS["hour"]
    days = times // _DAY
    if part == "weekday":
        return (days + 3) % 7  # the first day of 1970 was a Thursday
    return days.astype("M8[D]").astype("M8[M]").astype(np.int64) % 12


def read_times(values: Sequence[Any] | np.ndarray, *, dates: bool) -> np.ndarray:
    """Return values of a date or datetime column as int64 microseconds, UTC.

    Args:
        values: RFC 3339 texts, `date` or `datetime` objects (UTC if they have no zone), None, or a datetime64 array.
        dates: Whether they are dates.

    Raises:
        Unreadable: A value is no date or time.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return values.astype("M8[D]" if dates else "M8[us]").astype("M8[us]").astype(np.int64)
    read = _date if dates else _time
    times = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        try:
            times[row] = MISSING if value is None else read(value)
        except (DataError, ValueError, OverflowError) as error:
            raise Unreadable(str(error), row) from None
    return times


class Unreadable(DataError):
    """A value is no date or time."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


def _date(value: Any) -> int:
    if isinstance(value, str) and _DATE.fullmatch(value):
        value = date.fromisoformat(value)
    if not isinstance(value, date) or isinstance(value, datetime):
        raise DataError(f"{str(value)[:40]!r} is not a date; write it as 2013-04-01")
    return (value.toordinal() - _EPOCH_ORDINAL) * _DAY


def _time(value: Any) -> int:
    if isinstance(value, datetime):
        return micros(value if value.tzinfo else value.replace(tzinfo=UTC))
    if not isinstance(value, str):
        raise DataError(f"{str(value)[:40]!r} is not a time; write RFC 3339, such as 2013-04-01T06:30:00Z")
    return micros(value)
