"""Quantiles of a stream in bounded space, mergeable, which state their own rank error.

The sketch is KLL's (Karnin, Lang and Liberty, FOCS 2016): level h holds values that stand for 2^h rows each; a full level is sorted and
every other value, from a random start, goes up one level. Such a step moves any rank by 2^h, 0 or -2^h, with mean 0, so
that after all steps the error is sub-Gaussian with variance at most the sum of 4^h (Hoeffding). That sum is kept and merged with
the values: `rank_error` follows from what was really done, whatever the order of the merges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlopsfw_core._sorting import ascending

from ._sketches import mix, sample

Floats = NDArray[np.float64]

CAPACITY = 312
"""Values kept of a finished column."""

STREAMING = 1024
"""Values kept in each level while a column streams."""

SAMPLED = 1 << 15
"""Once this many have been taken in, one value of each window of rows is drawn; the windows grow so that this many are drawn of all."""

WIDEST = 1 << 12

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def _compact(levels: list[Floats], h: int, coin: int, excess: int | None = None) -> float:
    """Halve level h, an odd value staying, or no more of it than frees `excess`. Returns the variance that this adds."""
    ordered = ascending(levels[h])
    if len(levels) == h + 1:
        levels.append(np.zeros(0))
    pairs = ordered.size // 2 if excess is None else min(ordered.size // 2, excess)
    start = (coin >> 1) % (ordered.size - 2 * pairs + 1)
    run = slice(start, start + 2 * pairs)
    levels[h + 1] = np.concatenate([levels[h + 1], ordered[run][coin & 1 :: 2]])
    levels[h] = np.delete(ordered, run)
    return float(4**h)


def _shrink(levels: list[Floats], capacity: int, seed: int) -> float:
    """Compact from below until an eighth of the capacity is free; returns the variance that this adds."""
    variance, step = 0.0, 0
    if sum(level.size for level in levels) <= capacity:
        return variance
    while (excess := sum(level.size for level in levels) - (capacity - capacity // 8)) > 0:
        lowest = next(h for h, level in enumerate(levels) if level.size > 1)
        variance += _compact(levels, lowest, mix(seed + step * _GOLDEN), excess)
        step += 1
    return variance


@dataclass(frozen=True, eq=False)
class Quantiles:
    """A finished sketch.

    Attributes:
        levels: the values of level h, ascending, each standing for 2^h rows.
        variance: of any rank's error, in rows squared, at most.
        seed: of the coins; adds up when sketches merge.
        capacity: values that it may hold.
    """

    levels: tuple[Floats, ...] = ()
    variance: float = 0.0
    seed: int = 0
    capacity: int = CAPACITY

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Quantiles) or len(self.levels) != len(other.levels):
            return False
        same = (self.variance, self.seed, self.capacity) == (other.variance, other.seed, other.capacity)
        return same and all(np.array_equal(*pair) for pair in zip(self.levels, other.levels, strict=True))

    def __hash__(self) -> int:
        return hash((self.variance, self.seed, self.count))

    @cached_property
    def count(self) -> int:
        """Rows that it stands for."""
        return sum(level.size << h for h, level in enumerate(self.levels))

    @cached_property
    def steps(self) -> tuple[Floats, NDArray[np.int64]]:
        """The kept values in order, and the rows at or below each."""
        values = np.concatenate([np.zeros(0), *self.levels])
        weights = np.repeat([1 << h for h in range(len(self.levels))], [level.size for level in self.levels])
        order = np.argsort(values, kind="stable")
        return values[order], np.cumsum(weights.astype(np.int64)[order])

    def rank(self, value: float) -> float:
        """Return the share of rows at or below a value."""
        values, below = self.steps
        at = int(np.searchsorted(values, value, side="right"))
        return float(below[at - 1]) / self.count if at else 0.0

    def quantile(self, q: float) -> float:
        """Return the least kept value with a share of at least `q` at or below it."""
        values, below = self.steps
        return float(
            values[min(int(np.searchsorted(below, q * self.count * (1 - 1e-15), side="left")), values.size - 1)]
        )

    def rank_error(self, confidence: float = 0.99) -> float:
        """Return the bound that the error of one rank, as a share of rows, keeps with this probability."""
        return min(1.0, sqrt(2.0 * log(2.0 / (1.0 - confidence)) * self.variance) / self.count) if self.count else 0.0

    def merge(self, other: Quantiles) -> Quantiles:
        """Return the sketch of both samples; the same for either order."""
        height = max(len(self.levels), len(other.levels))
        levels = [np.concatenate([_level(self, h), _level(other, h)]) for h in range(height)]
        return finished(
            levels, self.variance + other.variance, self.seed + other.seed, min(self.capacity, other.capacity)
        )


def _level(sketch: Quantiles, h: int) -> Floats:
    return sketch.levels[h] if h < len(sketch.levels) else np.zeros(0)


def finished(levels: list[Floats], variance: float, seed: int, capacity: int) -> Quantiles:
    """Compact levels to a capacity and freeze them; coins follow from the seeds and the number of rows alone."""
    rows = sum(level.size << h for h, level in enumerate(levels))
    variance += _shrink(levels, capacity, mix(seed + rows))
    while levels and not levels[-1].size:
        levels.pop()
    return Quantiles(tuple(ascending(level + 0.0) for level in levels), variance, seed & _WORD, capacity)


@dataclass
class QuantileStream:
    """Takes in finite values block by block; `finish` makes a sketch of them."""

    capacity: int = CAPACITY
    seed: int = 0
    _levels: list[Floats] = field(default_factory=list)
    _waiting: list[Any] = field(default_factory=list)
    _rows: int = 0
    _variance: float = 0.0
    _coins: int = 0

    def _coin(self, draws: int = 1) -> int:
        self._coins += draws
        return mix(self.seed + (self._coins - draws) * _GOLDEN)

    def add(self, values: Floats) -> None:
        """Take in finite values, in the order of the rows."""
        if not values.size:
            return
        self._rows += values.size
        width = min(WIDEST, 1 << max(0, (self._rows // SAMPLED).bit_length() - 1))
        if width > 1:
            values = np.concatenate([*self._waiting, values]) if self._waiting else values
            whole = values.size // width * width
            self._waiting = [values[whole:].copy()] if whole < values.size else []
            values = sample(values[:whole], width, self._coin(values.size) & _WORD)
            self._variance += values.size * width * width / 4.0  # a draw's error lies in a range as wide as its window
        self._put(values, width.bit_length() - 1)

    def _put(self, values: Floats, h: int) -> None:
        while len(self._levels) <= h:
            self._levels.append(np.zeros(0))
        self._levels[h] = np.concatenate([self._levels[h], values])
        while self._levels[h].size > STREAMING:
            self._variance += _compact(self._levels, h, self._coin())
            h += 1

    def finish(self) -> Quantiles:
        """Return the sketch of what came so far; the stream may go on."""
        levels = [level.copy() for level in self._levels] or [np.zeros(0)]
        levels[0] = np.concatenate([levels[0], *self._waiting])
        return finished(levels, self._variance, self.seed, self.capacity)
