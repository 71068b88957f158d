"""The base of the detectors: values in, signals out, state written down as JSON and read back.

A detector implements `_scan`, which runs without the GIL over a run of values and notes one signal each. Everything else is
here once: reading columns, locking, `update` and `update_many`, `to_dict` and `from_dict`. No statistic is here.
"""

from __future__ import annotations

from math import isfinite
from threading import Lock
from typing import NamedTuple

import numpy as np

cimport cython
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint8_t

from .._buffers import numeric_rows

VERSION = 1
"""Of the form in which state is kept; raised when a reader of the old form would misread the new one."""

MOST_ROWS = 10**18
"""A stream is shorter than that: at a billion rows a second it takes 31 years. What is counted on from there still fits in int64."""


class Signals(NamedTuple):
    """Rows where drift was detected, and rows where a warning stood: ascending int64 arrays."""

    drifts: np.ndarray
    warnings: np.ndarray


@cython.auto_pickle(False)
cdef class Detector:
    """A change detector for a stream of numbers.

    A row that holds no usable number (null, NaN; an infinity too where the detector averages) is no observation: it is
    passed over, except that it ends a detection as any row does. After a detection the next row starts afresh. Threads may share a
    detector; their updates take turns.
    """

    def __cinit__(self, *args, **kwargs):
        self._lock = Lock()

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        """Take n values in order; write one signal each. Runs alone: the caller holds the GIL or the lock."""

    cdef int _check(self, const double* x, int64_t n) except -1:
        """Raise ValueError, before anything changes, where a value can have no place in this detector."""
        return 0

    @property
    def drift_detected(self) -> bool:
        """Whether the last value was where drift was detected."""
        return bool(self._signal & DRIFT)

    def update(self, double x) -> None:
        """Take one value.

        Args:
            x: the value; NaN where it is missing.
        """
        self._check(&x, 1)
        if self._busy:
            with self._lock:
                self._scan(&x, 1, &self._signal)
        else:
            self._scan(&x, 1, &self._signal)

    def update_many(self, values):
        """Take a column of values in order, as that many calls of `update` would.

        Args:
            values: any column of numbers; nulls and NaN are passed over.

        Returns:
            The rows where drift was detected, ascending (int64). Rows are counted from the start of `values`.
        """
        return _rows(self._signals(values), DRIFT)

    cdef object _signals(self, values):
        rows, valid = numeric_rows(values)
        if valid is not None:
            rows = np.where(valid, rows, NAN)
        cdef const double[::1] x = rows
        cdef int64_t n = x.shape[0]
        signals = np.zeros(n, dtype=np.uint8)
        cdef uint8_t[::1] out = signals
        if n == 0:
            return signals
        self._check(&x[0], n)
        with self._lock:
            self._busy = True
            with nogil:
                self._scan(&x[0], n, &out[0])
            self._busy = False
        self._signal = out[n - 1]
        return signals

    def reset(self) -> None:
        """Forget all that was seen; keep the arguments."""
        self._restore(type(self)(**self._arguments())._kept())
        self._signal = QUIET

    def _arguments(self) -> dict:
        """Return the constructor's arguments by name."""
        raise NotImplementedError

    def _kept(self) -> dict:
        """Return the state apart from the last signal, in plain values."""
        raise NotImplementedError

    def _restore(self, kept: dict) -> None:
        """Take over a state that `_kept` returned; raise ValueError where it cannot be one."""
        raise NotImplementedError

    def to_dict(self) -> dict:
        """Write the detector down: a dict of plain values, strict JSON (infinities as strings), that `from_dict` resumes exactly."""
        with self._lock:
            return {
                "detector": type(self).__name__,
                "version": VERSION,
                "arguments": _plain(self._arguments()),
                "signal": int(self._signal),
                "state": _plain(self._kept()),
            }

    @classmethod
    def from_dict(cls, kept):
        """Resume a detector where `to_dict` left it.

        Raises:
            ValueError: the dict is of another detector or a newer version, or its state is damaged.
        """
        if not isinstance(kept, dict) or kept.get("detector") != cls.__name__:
            raise ValueError(f"this is no state of {cls.__name__}: give the dict that its to_dict returned")
        if kept.get("version") != VERSION:
            raise ValueError(f"{cls.__name__} state of version {kept.get('version')!r} cannot be read; this release reads {VERSION}")
        cdef Detector detector
        try:
            detector = cls(**_values(kept["arguments"]))
            detector._restore(_counted(_values(kept["state"])))
            detector._signal = kept["signal"]
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError, MemoryError) as error:
            raise ValueError(f"damaged {cls.__name__} state: {error}. Take an undamaged copy, or start a new detector") from error
        return detector


@cython.auto_pickle(False)
cdef class WarningDetector(Detector):
    """A detector that warns before it detects."""

    @property
    def warning_detected(self) -> bool:
        """Whether a warning stands after the last value."""
        return bool(self._signal & WARNING)

    def update_many_with_warnings(self, values):
        """Take a column of values as `update_many` does, and return where a warning stood, too.

        Args:
            values: any column of numbers; nulls and NaN are passed over.

        Returns:
            Signals: the rows where drift was detected, and the rows where a warning stood.
        """
        signals = self._signals(values)
        return Signals(_rows(signals, DRIFT), _rows(signals, WARNING))


cdef object _rows(signals, uint8_t kind):
    """Return the rows that carry a signal."""
    return np.flatnonzero((signals & np.uint8(kind)) != 0)


def _plain(value):
    """Replace infinities and NaN, which JSON has not, by their names."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return repr(value) if isinstance(value, float) and not isfinite(value) else value


def _values(value):
    """Undo `_plain`."""
    if isinstance(value, dict):
        return {name: _values(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_values(item) for item in value]
    return float(value) if isinstance(value, str) and value in ("inf", "-inf", "nan") else value


def _counted(value):
    """Return a state as it is; raise ValueError where a count is so high that it was never counted, and would soon overflow."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        _counted(item)
    if isinstance(value, int) and abs(value) > MOST_ROWS:
        raise ValueError(f"{value} is no count of rows")
    return value


cdef bint _all_unit(const double* x, int64_t n) noexcept nogil:
    """Say whether every value is in [0, 1] or NaN; without branches, for vectors."""
    cdef int64_t i, wrong = 0
    for i in range(n):
        wrong |= (x[i] < 0) | (x[i] > 1)
    return wrong == 0


cdef bint _all_bits(const double* x, int64_t n) noexcept nogil:
    """Say whether every value is 0 or 1; no other finite number is its own square."""
    cdef int64_t i, wrong = 0
    for i in range(n):
        wrong |= (x[i] * x[i] != x[i]) | (x[i] > 1)
    return wrong == 0


cdef int check_unit(const double* x, int64_t n) except -1:
    """Raise ValueError where a value is neither missing nor in [0, 1]."""
    cdef int64_t row
    if not _all_unit(x, n):
        row = 0
        while not (x[row] < 0 or x[row] > 1):
            row += 1
        raise ValueError(f"losses are in [0, 1] (0 right, 1 wrong), but row {row} is {x[row]}; nothing was taken in")
    return 0


cdef int check_bits(const double* x, int64_t n) except -1:
    """Raise ValueError where a value is neither missing nor 0 nor 1."""
    cdef int64_t row
    if not _all_bits(x, n):
        row = 0
        while row < n and (x[row] == 0 or x[row] == 1 or x[row] != x[row]):
            row += 1
        if row == n:  # nothing but NaN is beside the bits
            return 0
        raise ValueError(f"errors are 0 (right) or 1 (wrong), but row {row} is {x[row]}; nothing was taken in")
    return 0
