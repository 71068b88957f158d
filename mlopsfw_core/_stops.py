"""Where to count a numeric column that does not fit into memory, and its exact counts there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._buffers import numeric_rows
from ._numbers import Sorted, sort_column, value_counts
from ._sorting import ascending
from .drift._samples import Floats

POINTS = 4096
"""Stops at which both distribution functions are counted, besides the infinities."""

SAMPLE = 1 << 17
"""Rows of a column that a thinned sample holds at most."""


@dataclass(slots=True)
class Thinned:
    """Every k-th row of a column, k the least power of two that keeps at most `SAMPLE` rows; the same however rows come in blocks."""

    rows: int = 0
    stride: int = 1
    kept: Floats = field(default_factory=lambda: np.zeros(0))  # NaN where missing, so that halving keeps its step

    def add(self, column: Any) -> None:
        """Take the rows of the next block.

        Raises:
            TypeError: the column holds no numbers.
        """
        values, valid = numeric_rows(column)
        first = -self.rows % self.stride
        taken = values[first :: self.stride].copy()
        if valid is not None:
            taken[~valid[first :: self.stride]] = np.nan
        self.kept, self.rows = np.concatenate([self.kept, taken]), self.rows + values.size
        while self.kept.size > SAMPLE:
            self.kept, self.stride = self.kept[::2].copy(), 2 * self.stride


def stops_of(samples: Iterable[Thinned], points: int = POINTS) -> Floats:
    """Return where to count: the samples' own values, thinned to quantiles where there are more than `points`, and the infinities."""
    pooled = np.concatenate([np.zeros(0), *(sample.kept for sample in samples)])
    ordered = ascending(pooled[np.isfinite(pooled)])
    values, _ = value_counts(ordered)
    if values.size > points:
        ranks = ((np.arange(points) + 0.5) * (ordered.size / points)).astype(np.int64)
        values = np.unique(np.concatenate([ordered[ranks], ordered[[0, -1]]]))
    return np.concatenate([[-np.inf], values, [np.inf]])


@dataclass(frozen=True, slots=True)
class NumberTally:
    """Exact counts of a numeric column: at each stop the rows below it, and the rows at or below it. `+` joins two blocks."""

    stops: Floats
    below: NDArray[np.int64]
    upto: NDArray[np.int64]
    rows: int
    missing: int

    @classmethod
    def empty(cls, stops: Floats) -> NumberTally:
        """Return the counts of no rows."""
        none = np.zeros(stops.size, dtype=np.int64)
        return cls(stops, none, none, 0, 0)

    def add(self, column: Any) -> NumberTally:
        """Return the counts with a block more.

        Raises:
            TypeError: the column holds no numbers.
        """
        return self + self._of(sort_column(column))

    def _of(self, block: Sorted) -> NumberTally:
        missing = block.nulls + block.nan
        below, upto = (np.searchsorted(block.values, self.stops, side=side) for side in ("left", "right"))
        return NumberTally(self.stops, below, upto, block.values.size + missing, missing)

    def __add__(self, other: NumberTally) -> NumberTally:
        return NumberTally(
            self.stops,
            self.below + other.below,
            self.upto + other.upto,
            self.rows + other.rows,
            self.missing + other.missing,
        )

    @property
    def values(self) -> int:
        """Rows with a number, infinities included."""
        return self.rows - self.missing

    def against(self) -> NumberTally:
        """Return empty counts at the same stops, for the column that this one is compared with."""
        return NumberTally.empty(self.stops)

    @property
    def cells(self) -> NDArray[np.int64]:
        """Rows at each stop and in each open cell between two, in order; they sum to the rows with a value."""
        counts = np.empty(2 * self.stops.size - 1, dtype=np.int64)
        counts[::2], counts[1::2] = self.upto - self.below, self.below[1:] - self.upto[:-1]
        return counts


def ks_bounds(reference: NumberTally, current: NumberTally) -> tuple[int, int]:
    """Return bounds of Kolmogorov's D in units of 1 / (n m): the distance at the stops, and with the most that lies between two of them.

    Between two stops F - G is at most its value at the lower one plus all of F's rows between them, and at most its value at the upper
    one plus all of G's; F and G exchanged give the other side. Whole numbers, so that nothing is rounded (up to 3e9 rows).
    """
    n, m = reference.values, current.values
    before, after = reference.below * m - current.below * n, reference.upto * m - current.upto * n
    low = int(max(np.abs(before).max(), np.abs(after).max()))
    f, g = m * (reference.below[1:] - reference.upto[:-1]), n * (current.below[1:] - current.upto[:-1])
    above = np.minimum(after[:-1] + f, before[1:] + g)
    under = np.minimum(g - after[:-1], f - before[1:])
    return low, int(max(low, above.max(), under.max()))
