"""How far apart two empirical distribution functions come: the kernels under Kolmogorov-Smirnov and Kuiper.

The gap at v is #{x <= v} n - #{y <= v} m, a whole number; over m n it is F - G. Large samples are
not sorted: both are counted into cells by a monotone map; at the cells' borders the gap is then known, and inside a cell it can
pass the best border only by what the cell holds. Only the values of cells that might hold the extreme are fetched and sorted.
"""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint8_t

cnp.import_array()

SMALLEST_GRID = 40_000
"""Fewer values than this are faster sorted."""

_SAMPLED = 2048      # values that decide the map's range; they affect the speed, never the answer
_OUTER = 0.02        # share of values left to each of the two outer cells, so that far tails do not stretch the others
_PER_CELL = 24       # values per cell that are aimed at
_WORTH = 0.35        # share of values that may have to be fetched before a full sort is as good

cdef struct Extremes:
    int64_t above, below           # the largest gap, and the largest with the sign turned
    double above_at, below_at      # the first values at which they are attained; NaN where the gap is 0


cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
    #define WIDE __attribute__((target_clones("avx2", "default")))
    #else
    #define WIDE
    #endif
    #define GRID_BLOCK 512

    /* Cell numbers of up to GRID_BLOCK values: (v - low) scale, held within the grid. Monotone in v. Returns how many are NaN. */
    WIDE static int64_t grid_place(const double *values, int64_t n, double low, double scale, double last, int32_t *cells) {
      int64_t missing = 0;
      for (int64_t i = 0; i < n; ++i) {
        double t = (values[i] - low) * scale;
        t = t > 0 ? t : 0;
        t = t < last ? t : last;
        cells[i] = (int32_t)t;
      }
      for (int64_t i = 0; i < n; ++i) missing += values[i] != values[i];
      return missing;
    }

    static int64_t grid_count(const double *values, int64_t n, double low, double scale, double last, int32_t *counts) {
      int32_t cells[GRID_BLOCK];
      int64_t missing = 0;
      for (int64_t start = 0; start < n; start += GRID_BLOCK) {
        int64_t size = n - start < GRID_BLOCK ? n - start : GRID_BLOCK;
        missing += grid_place(values + start, size, low, scale, last, cells);
        for (int64_t i = 0; i < size; ++i) ++counts[cells[i]];
      }
      return missing;
    }

    /* Copy the values of wanted cells; `out` has room for one more than there are. */
    static void grid_fetch(const double *values, int64_t n, double low, double scale, double last, const uint8_t *wanted, double *out) {
      int32_t cells[GRID_BLOCK];
      for (int64_t start = 0; start < n; start += GRID_BLOCK) {
        int64_t size = n - start < GRID_BLOCK ? n - start : GRID_BLOCK;
        grid_place(values + start, size, low, scale, last, cells);
        for (int64_t i = 0; i < size; ++i) { *out = values[start + i]; out += wanted[cells[i]]; }
      }
    }
    """
    int64_t grid_count(const double* values, int64_t n, double low, double scale, double last, int32_t* counts) noexcept nogil
    void grid_fetch(
        const double* values, int64_t n, double low, double scale, double last, const uint8_t* wanted, double* out
    ) noexcept nogil


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


def grid_extremes(const double[::1] x, const double[::1] y):
    """Return D+ and D- in units of 1 / (m n) and the first values at which they are attained, without sorting the samples.

    Args:
        x: the first sample, in any order.
        y: the second.

    Returns:
        The extremes, or None where a sort is the better way: a sample is small, holds NaN, or sits on few values.
    """
    cdef int64_t m = x.shape[0], n = y.shape[0], missing
    cdef double low, scale, last
    cdef cnp.ndarray x_counts, y_counts
    if min(m, n) < _SAMPLED or m + n < SMALLEST_GRID:
        return None
    low, scale, last = _range(np.asarray(x), np.asarray(y))
    if not scale > 0:
        return None
    x_counts, y_counts = np.zeros(<int64_t> last + 1, dtype=np.int32), np.zeros(<int64_t> last + 1, dtype=np.int32)
    with nogil:
        missing = grid_count(&x[0], m, low, scale, last, <int32_t*> cnp.PyArray_DATA(x_counts))
        missing += grid_count(&y[0], n, low, scale, last, <int32_t*> cnp.PyArray_DATA(y_counts))
    if missing:
        return None
    gaps = np.cumsum(n * x_counts.astype(np.int64) - m * y_counts.astype(np.int64))
    wanted = _promising(gaps, x_counts, y_counts, m, n)
    fetched = int(x_counts[wanted].sum()) + int(y_counts[wanted].sum())
    if fetched > _WORTH * (m + n):
        return None
    flags = wanted.view(np.uint8)
    xs = _fetch(x, low, scale, last, flags, int(x_counts[wanted].sum()))
    ys = _fetch(y, low, scale, last, flags, int(y_counts[wanted].sum()))
    return _walk_cells(xs, ys, np.flatnonzero(wanted), x_counts, y_counts, gaps, m, n)


def _range(x, y) -> tuple:
    """Choose (low, scale, last cell) of the map from a few evenly spaced values; scale 0 where they give no range."""
    cells = min(1 << 17, max(1024, (len(x) + len(y)) // _PER_CELL))
    sample = np.sort(np.concatenate([x[:: len(x) // (_SAMPLED // 2)], y[:: len(y) // (_SAMPLED // 2)]]))
    low, high = sample[int(_OUTER * len(sample))], sample[int((1 - _OUTER) * len(sample))]
    with np.errstate(all="ignore"):
        scale = (cells - 2) / (high - low)
    # The first inner cell begins one width above `low`, so that the cell of everything below is not shared.
    return (low - 1 / scale, scale, cells - 1) if 0 < scale < np.inf and np.isfinite(high - low) else (0.0, 0.0, 1)


def _promising(gaps, x_counts, y_counts, m, n):
    """Say which cells can hold an extreme: those that might reach the best border, and those that end at it."""
    before = gaps - n * x_counts.astype(np.int64) + m * y_counts.astype(np.int64)
    above, below = max(0, int(gaps.max())), max(0, -int(gaps.min()))
    wanted = (before + n * x_counts.astype(np.int64) >= max(above, 1)) & (x_counts > 0)
    return wanted | ((m * y_counts.astype(np.int64) - before >= max(below, 1)) & (y_counts > 0))


cdef object _fetch(const double[::1] values, double low, double scale, double last, cnp.ndarray wanted, int64_t size):
    """Return the values of wanted cells, sorted."""
    cdef cnp.ndarray out = np.empty(size + 1)
    cdef int64_t n = values.shape[0]
    with nogil:
        grid_fetch(&values[0], n, low, scale, last, <uint8_t*> cnp.PyArray_DATA(wanted), <double*> cnp.PyArray_DATA(out))
    kept = out[:size]
    kept.sort()
    return kept


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
