"""Columns taken in batch by batch: numbers, texts, times and lists, each into what its profile keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._characters import CLASSES, read_texts, text_bytes
from ._moments import merge_moments, moments_of, split_finite
from ._sketches import hash_numbers, mix, observe
from .codec import LABEL
from .column import ColumnProfile, Kind
from .distinct import REGISTERS, Distinct
from .frequent import FrequentStream
from .moments import NOTHING, Numbers
from .quantiles import CAPACITY, QuantileStream
from .vectors import EMPTY, profile_vectors

Floats = NDArray[np.float64]
Valid = NDArray[np.bool_] | None

BLOCK = 1 << 15
"""Finite numbers taken in at a time. Blocks are cut from the column, not from its chunks, so chunks change nothing."""

BESIDE = 232
"""Quantile values of a column that keeps a clock or projections too."""

LENGTHS = 96
"""Quantile values of lengths: a column of texts needs its room for the texts."""


class NumberStream:
    """Takes in numbers; `items` says whether their distinct and frequent values are wanted."""

    def __init__(self, kind: Kind, seed: int, *, capacity: int = CAPACITY, items: bool = True) -> None:
        self.kind, self.seed, self.items = kind, seed, items
        self.rows = self.nulls = 0
        self._outside = np.zeros(3, np.int64)
        self._sums, self._held = NOTHING, np.zeros(0)
        self._registers, self._frequent = np.zeros(REGISTERS, np.uint8), FrequentStream()
        self._quantiles = QuantileStream(capacity)

    def add(self, values: Floats, valid: Valid = None) -> None:
        """Take in rows."""
        finite, nulls, *outside = split_finite(np.ascontiguousarray(values, np.float64), valid)
        self.rows, self.nulls = self.rows + len(values), self.nulls + nulls
        self._outside += outside
        if self._held.size:
            finite = np.concatenate([self._held, finite])
        whole = finite.size // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            self._take(finite[start : start + BLOCK])
        self._held = finite[whole:].copy()

    def _take(self, block: Floats) -> None:
        hashes = hash_numbers(block)
        if not self._sums[0]:  # coins differ between parts of a table because their data do
            self._quantiles.seed = mix(self.seed + int(hashes.sum(dtype=np.uint64)))
        self._sums = merge_moments(self._sums, moments_of(block))
        self._quantiles.add(block)
        if self.items:
            observe(hashes, self._registers, REGISTERS.bit_length() - 1)
            self._frequent.add(hashes, lambda at: float(block[at]) + 0.0)

    def numbers(self) -> Numbers:
        """Take in what is held back and return the numbers' profile; nothing may be added after."""
        if self._held.size:
            self._take(self._held)
        nan, low, high = self._outside.tolist()
        return Numbers(nan, low, high, self._sums, self._quantiles.finish())

    def finish(self) -> ColumnProfile:
        """Return the column's profile."""
        numbers = self.numbers()
        if not self.items:
            return ColumnProfile(self.kind, self.rows, self.nulls, numbers)
        distinct = Distinct(self._registers.tobytes())
        return ColumnProfile(self.kind, self.rows, self.nulls, numbers, distinct, self._frequent.finish())


class TextStream:
    """Takes in texts or bytes."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.kind = kind
        self.rows = self.nulls = 0
        self._lengths = NumberStream(kind, seed, capacity=LENGTHS, items=False)
        self._registers, self._frequent = np.zeros(REGISTERS, np.uint8), FrequentStream()
        self._characters = np.zeros(2 * len(CLASSES), np.int64)

    def add(self, segment: Any) -> None:
        """Take in a run of texts, plain or encoded."""
        rows = None
        if segment.codes is not None:
            rows = np.bincount(segment.codes[segment.codes >= 0], minlength=segment.texts).astype(np.int64)
        hashes, lengths, valid, *characters = read_texts(segment, self.kind == "text", rows)
        valid_rows = np.flatnonzero(valid)
        observe(hashes, self._registers, REGISTERS.bit_length() - 1)
        self._characters += np.concatenate(characters)
        if rows is None:
            for start in range(0, hashes.size, BLOCK):
                self._frequent.add(hashes[start : start + BLOCK], _labels(segment, valid_rows[start : start + BLOCK]))
        else:
            lengths = np.repeat(lengths, rows[valid_rows])
            self._frequent.count(hashes, rows[valid_rows], np.arange(valid_rows.size), _labels(segment, valid_rows))
        self._lengths.add(lengths)
        self.rows, self.nulls = self.rows + len(segment), self.nulls + len(segment) - lengths.size

    def finish(self) -> ColumnProfile:
        """Return the column's profile."""
        distinct, frequent = Distinct(self._registers.tobytes()), self._frequent.finish()
        characters = tuple(self._characters.tolist()) if self.kind == "text" else None
        return ColumnProfile(self.kind, self.rows, self.nulls, self._lengths.numbers(), distinct, frequent, characters)


def _labels(segment: Any, rows: NDArray[np.int64]) -> Callable[[int], bytes]:
    """Return what fetches a text by its position among those present."""
    return lambda at: text_bytes(segment, int(rows[at]), LABEL)[0]


DAY = 86_400


class TimeStream:
    """Takes in times as whole numbers of a unit; `of_day` for times without a date, `clock` False for durations."""

    def __init__(self, seed: int) -> None:
        self._seconds = NumberStream("time", seed, capacity=BESIDE)
        self._clock = np.zeros(31, np.int64)

    def add(self, values: NDArray[np.int64], per_second: float, valid: Valid, *, clock: bool, of_day: bool) -> None:
        """Take in rows; `per_second` is how many units make a second (less than one for days)."""
        self._seconds.add(values / per_second, valid)
        present = values.astype(np.int64) if valid is None else values[valid].astype(np.int64)
        if not clock:
            return
        seconds = present // int(per_second) if per_second >= 1 else present * DAY
        self._clock[:24] += np.bincount(seconds % DAY // 3600, minlength=24)
        if not of_day:
            self._clock[24:] += np.bincount((seconds // DAY + 3) % 7, minlength=7)  # 1970 began on a Thursday

    def finish(self) -> ColumnProfile:
        """Return the column's profile."""
        whole = self._seconds.finish()
        return ColumnProfile(
            "time", whole.rows, whole.nulls, whole.numbers, whole.distinct_values, whole.frequent,
            clock=tuple(self._clock.tolist()),
        )  # fmt: skip


class ListStream:
    """Takes in lists: lengths, or, of floating-point numbers, vectors of the first list's length."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.kind, self.rows, self.nulls = kind, 0, 0
        self._numbers = NumberStream(kind, seed, capacity=BESIDE, items=False)
        self._vectors = EMPTY

    def add(self, starts: NDArray[np.int64], lengths: NDArray[np.int64], valid: Valid, values: Floats | None) -> None:
        """Take in rows; `values` are the lists' contents, NaN where null, needed for vectors alone."""
        self.rows += len(starts)
        if valid is not None:
            starts, lengths = starts[valid], lengths[valid]
            self.nulls += int((~valid).sum())
        if values is None:
            self._numbers.add(lengths.astype(np.float64))
            return
        step = max(1, (1 << 20) // int(lengths.max(initial=1) or 1))
        for at in range(0, len(starts), step):
            self._take(starts[at : at + step], lengths[at : at + step], values)

    def _take(self, starts: NDArray[np.int64], lengths: NDArray[np.int64], values: Floats) -> None:
        width = self._vectors.width or int(lengths[lengths > 0][:1].sum())
        even = (lengths == width) & (width > 0)
        rows = values[starts[even][:, None] + np.arange(width)].astype(np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        profiled, norms = profile_vectors(rows, len(starts) - len(rows))
        self._vectors = self._vectors.merge(profiled)
        self._numbers.add(norms)

    def finish(self) -> ColumnProfile:
        """Return the column's profile."""
        vectors = self._vectors if self.kind == "vector" else None
        return ColumnProfile(self.kind, self.rows, self.nulls, self._numbers.numbers(), vectors=vectors)
