"""How far apart two empirical distribution functions come: the kernels under Kolmogorov-Smirnov and Kuiper.

The gap at v is #{x <= v} n - #{y <= v} m, a whole number; over m n it is F - G. Large samples are
not sorted: both are counted into cells by a monotone map; at the cells' borders the gap is then known, and inside a cell it can
pass the best border only by what the cell holds. Only the values of cells that might hold the extreme are fetched and sorted.
"""

from __future__ import annotations

import numpy as np

from mlopsfw_core._sorting import ascending

cimport cython
cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t

cnp.import_array()

SMALLEST_GRID = 40_000
"""Fewer values than this are faster sorted."""

_LOOKED_AT = 2048    # values that decide the map; they affect the speed, never the answer
_FINENESS = 24       # cells over the root of the values: as the gap grows where nothing has changed
_MOST_CELLS = 65535  # a cell's number fits 16 bits
_WORTH = 0.35        # share of values that may have to be fetched before a full sort is as good

cdef struct Extremes:
    int64_t above, below           # the largest gap, and the largest with the sign turned
    double above_at, below_at      # the first values at which they are attained; NaN where the gap is 0


cdef extern from "mlopsfw_core/drift/_gaps.h":
    ctypedef struct grid_map:
        double centre, scale
        float half

    int64_t grid_count(const double* values, int64_t n, const grid_map* map, uint16_t* cells, int32_t* counts) noexcept nogil
    void grid_fetch(const double* values, int64_t n, const uint16_t* cells, const uint8_t* wanted, double* out) noexcept nogil


cdef inline void _note(Extremes* best, int64_t gap, double value) noexcept nogil:
    if gap > best.above:
        best.above, best.above_at = gap, value
    elif -gap > best.below:
        best.below, best.below_at = -gap, value


cdef int64_t _walk(
    const double* x, int64_t x_end, const double* y, int64_t y_end, int64_t x_step, int64_t y_step, int64_t gap, Extremes* best
) noexcept nogil:
    """Walk two sorted runs from a known gap, noting extremes; returns the gap at their end.

    Each step takes the heads that equal the smaller one, without a branch. A gap counts only where no tie is left to take,
    which is looked at only when it would be a new extreme.
    """
    cdef int64_t i = 0, j = 0
    cdef bint from_x, from_y
    cdef double value
    while i < x_end and j < y_end:
        from_x, from_y = x[i] <= y[j], y[j] <= x[i]
        value = x[i] if from_x else y[j]
        i += from_x
        j += from_y
        gap += (x_step if from_x else 0) - (y_step if from_y else 0)
        if gap > best.above or -gap > best.below:
            if (i == x_end or x[i] > value) and (j == y_end or y[j] > value):
                _note(best, gap, value)
    # One run is spent; what is left of the other may still begin with ties of the last value.
    while i < x_end:
        gap += x_step
        i += 1
        if i == x_end or x[i] > x[i - 1]:
            _note(best, gap, x[i - 1])
    while j < y_end:
        gap -= y_step
        j += 1
        if j == y_end or y[j] > y[j - 1]:
            _note(best, gap, y[j - 1])
    return gap


@cython.final
cdef class Counted:
    """A sample counted into the cells of a map; kept in its order with each value's cell, or sorted."""

    cdef const double[::1] values
    cdef grid_map grid
    cdef readonly object counts         # int32, of each cell
    cdef readonly object starts         # of a sorted sample: where each cell begins; else None
    cdef cnp.ndarray cells              # uint16, of each value
    cdef readonly int64_t missing       # NaN, which are counted in cell 0

    def __init__(self, const double[::1] values, centre, scale, n_cells, ascending=False):
        self.values = values
        self.grid.centre, self.grid.scale, self.grid.half = centre, scale, n_cells / 2
        self.cells, counts = np.empty(values.shape[0], dtype=np.uint16), np.zeros(n_cells + 1, dtype=np.int32)
        cdef int32_t* into = <int32_t*> cnp.PyArray_DATA(counts)
        cdef uint16_t* cells = <uint16_t*> cnp.PyArray_DATA(self.cells)
        if values.shape[0]:
            with nogil:
                self.missing = grid_count(&self.values[0], self.values.shape[0], &self.grid, cells, into)
        self.counts = counts
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]) if ascending else None
        if ascending:
            self.cells = None

    def fetch(self, wanted):
        """Return the values of wanted cells, sorted."""
        cdef cnp.ndarray out, flags
        if self.starts is not None:
            parts = [np.asarray(self.values)[self.starts[cell]:self.starts[cell + 1]] for cell in np.flatnonzero(wanted).tolist()]
            return np.concatenate(parts) if parts else np.zeros(0)
        size = int(self.counts[wanted].sum())
        flags, out = wanted.view(np.uint8), np.empty(size + 1)
        cdef const uint16_t* cells = <uint16_t*> cnp.PyArray_DATA(self.cells)
        if self.values.shape[0]:
            with nogil:
                grid_fetch(
                    &self.values[0], self.values.shape[0], cells, <uint8_t*> cnp.PyArray_DATA(flags),
                    <double*> cnp.PyArray_DATA(out)
                )
        return ascending(out[:size])


def grid_extremes(const double[::1] x, const double[::1] y):
    """Return D+ and D- in units of 1 / (m n) and the first values at which they are attained, without sorting the samples.

    Args:
        x: the first sample, in any order.
        y: the second.

    Returns:
        The extremes, or None where a sort is the better way: a sample is small, holds NaN, or gives no spread.
    """
    cdef int64_t m = x.shape[0], n = y.shape[0]
    if min(m, n) < _LOOKED_AT or m + n < SMALLEST_GRID:
        return None
    place = spread(np.asarray(x), np.asarray(y)), cells_for(m + n)
    if not place[0][1] > 0:
        return None
    return counted_extremes(Counted(x, *place[0], place[1]), Counted(y, *place[0], place[1]))


def counted_extremes(Counted x, Counted y):
    """Return the extremes of two samples counted into one map's cells; None where a sort is the better way."""
    cdef int64_t m = x.values.shape[0], n = y.values.shape[0]
    if x.missing or y.missing:
        return None
    gaps = np.cumsum(n * x.counts.astype(np.int64) - m * y.counts.astype(np.int64))
    wanted = _promising(gaps, x.counts, y.counts, m, n)
    if int(x.counts[wanted].sum()) + int(y.counts[wanted].sum()) > _WORTH * (m + n):
        return None
    return _walk_cells(x.fetch(wanted), y.fetch(wanted), np.flatnonzero(wanted), x.counts, y.counts, gaps, m, n)


def at_ranks(const double[::1] values, ranks):
    """Return the values that sorting would put at these ranks, ascending; None where a sort is the better way."""
    cdef Counted counted
    if values.shape[0] < SMALLEST_GRID:
        return None
    place = spread(np.asarray(values), np.asarray(values))
    if not place[1] > 0:
        return None
    counted = Counted(values, *place, cells_for(values.shape[0]))
    ends = np.cumsum(counted.counts, dtype=np.int64)
    holders = np.searchsorted(ends, ranks, side="right")
    wanted = np.zeros(len(ends), dtype=bool)
    wanted[holders] = True
    if counted.missing or int(counted.counts[wanted].sum()) > _WORTH * values.shape[0]:
        return None
    before = np.cumsum(np.where(wanted, 0, counted.counts))
    return counted.fetch(wanted)[ranks - before[holders]]


def cells_for(total) -> int:
    """How many cells suit so many values."""
    return min(_MOST_CELLS, int(_FINENESS * total**0.5))


def spread(x, y) -> tuple:
    """Choose (centre, scale) of the map from a few evenly spaced values; scale 0 where they give none."""
    look = ascending(np.concatenate([x[:: len(x) // (_LOOKED_AT // 2)], y[:: len(y) // (_LOOKED_AT // 2)]]))
    if not look.size:
        return 0.0, 0.0
    low, centre, high = look[len(look) // 4], look[len(look) // 2], look[3 * len(look) // 4]
    with np.errstate(all="ignore"):
        scale = 1 / (high - low)
    return (centre, scale) if np.isfinite(high - low) and 0 < scale < np.inf else (0.0, 0.0)


def _promising(gaps, x_counts, y_counts, m, n):
    """Say which cells can hold an extreme: those that might reach the best border, and those that end at it."""
    before = gaps - n * x_counts.astype(np.int64) + m * y_counts.astype(np.int64)
    above, below = max(0, int(gaps.max())), max(0, -int(gaps.min()))
    wanted = (before + n * x_counts.astype(np.int64) >= max(above, 1)) & (x_counts > 0)
    return wanted | ((m * y_counts.astype(np.int64) - before >= max(below, 1)) & (y_counts > 0))


cdef tuple _walk_cells(
    const double[::1] xs, const double[::1] ys, const int64_t[::1] cells, const int32_t[::1] x_counts, const int32_t[::1] y_counts,
    const int64_t[::1] gaps, int64_t m, int64_t n,
):
    """Walk cell by cell through the fetched values; equal values never lie in two cells."""
    cdef Extremes best = Extremes(0, 0, float("nan"), float("nan"))
    cdef int64_t k, cell, x_at = 0, y_at = 0, a, b
    cdef const double* x = &xs[0] if xs.shape[0] else NULL
    cdef const double* y = &ys[0] if ys.shape[0] else NULL
    with nogil:
        for k in range(cells.shape[0]):
            cell = cells[k]
            a, b = x_counts[cell], y_counts[cell]
            _walk(x + x_at, a, y + y_at, b, n, m, gaps[cell] - n * a + m * b, &best)
            x_at += a
            y_at += b
    return best.above, best.below, best.above_at, best.below_at
