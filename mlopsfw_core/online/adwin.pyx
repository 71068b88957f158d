"""ADWIN, adaptive windowing: a window of the recent past that is cut where its two parts differ in mean.

Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007 (the ADWIN2 form), in river's arithmetic,
operation for operation, so that both cut at the same rows.
"""

from __future__ import annotations

cimport cython
from libc.math cimport fabs, ldexp, log, sqrt
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove, memset

from ._detector cimport DRIFT, QUIET, Detector, is_finite

cdef enum:
    LEVELS = 62     # level l holds buckets of 2^l values
    ROOM = 4        # a level has room for this many times its buckets, so that they are rarely moved to its start


cdef struct Bucket:
    double total
    double variance     # sum of squared deviations from the bucket's mean


cdef struct Window:
    double total
    double variance     # sum of squared deviations from the window's mean
    double width        # values in the window
    int64_t tick        # values since the start
    int64_t n_detections
    int64_t levels      # in use


@cython.final
cdef class ADWIN(Detector):
    """ADWIN(delta=0.002, clock=32, max_buckets=5, min_window_length=5, grace_period=10)
--

    Detect a change of mean with a window that adapts its length.

    The window W is cut into an older part of n0 values and a newer one of n1 at each bucket's border; drift is detected where
    |mean0 - mean1| > sqrt(2 m s^2 d) + (2/3) m d, with s^2 the window's variance, d = ln(2 ln|W| / delta) and
    m = 1/(n0 - min_window_length + 1) + 1/(n1 - min_window_length + 1); the oldest bucket is dropped until no cut is left.
    The bound supposes values in [0, 1]: scale others by a reference first.

    Args:
        delta: significance, in (0, 1].
        clock: look for a change at every clock-th value.
        max_buckets: buckets of one size that are kept, before two become one of twice the size; 2 or more.
        min_window_length: values that each part must have; 1 or more.
        grace_period: look for no change before the window holds more values than this.

    As in river, a detection discards the whole window at the next value. NaN, null and ±inf are passed over.
    """

    cdef readonly double delta
    cdef readonly int64_t clock, max_buckets, min_window_length, grace_period
    cdef Window window
    cdef int64_t start[LEVELS]     # where each level's oldest bucket stands in its row
    cdef int64_t size[LEVELS]      # buckets in use at each level
    cdef int64_t room              # buckets in a row
    cdef Bucket* buckets           # LEVELS rows; owned

    def __cinit__(
        self, double delta=0.002, int64_t clock=32, int64_t max_buckets=5, int64_t min_window_length=5, int64_t grace_period=10,
    ):
        if not 0 < delta <= 1:
            raise ValueError(f"delta is a significance in (0, 1], not {delta}")
        if clock < 1 or not 2 <= max_buckets <= 1_000_000 or min_window_length < 1 or grace_period < 0:
            raise ValueError("ADWIN needs clock >= 1, 2 <= max_buckets <= 1,000,000, min_window_length >= 1 and grace_period >= 0")
        self.delta, self.clock, self.max_buckets = delta, clock, max_buckets
        self.min_window_length, self.grace_period = min_window_length, grace_period
        self.room = ROOM * (max_buckets + 1)
        self.buckets = <Bucket*> calloc(LEVELS * self.room, sizeof(Bucket))
        if self.buckets == NULL:
            raise MemoryError
        self._clear()

    def __dealloc__(self):
        free(self.buckets)

    @property
    def width(self) -> int:
        """Values in the window."""
        return int(self.window.width)

    @property
    def total(self) -> float:
        """Sum of the values in the window."""
        return self.window.total

    @property
    def variance(self) -> float:
        """Sum of squared deviations of the values in the window from their mean (river's name and meaning)."""
        return self.window.variance

    @property
    def estimation(self) -> float:
        """Mean of the values in the window; 0 where it is empty."""
        return self.window.total / self.window.width if self.window.width else 0.0

    @property
    def n_detections(self) -> int:
        """Detections since the window was last discarded: 0 or 1, as in river."""
        return self.window.n_detections

    cdef void _clear(self) noexcept nogil:
        cdef int64_t level
        self.window = Window(0, 0, 0, 0, 0, 1)
        for level in range(LEVELS):
            self.start[level] = self.size[level] = 0

    cdef inline Bucket* _level(self, int64_t level) noexcept nogil:
        """Point at a level's oldest bucket."""
        return self.buckets + level * self.room + self.start[level]

    cdef inline void _append(self, int64_t level, double total, double variance) noexcept nogil:
        """Add a level's newest bucket."""
        if self.start[level] + self.size[level] == self.room:
            memmove(self.buckets + level * self.room, self._level(level), self.size[level] * sizeof(Bucket))
            self.start[level] = 0
        self._level(level)[self.size[level]] = Bucket(total, variance)
        self.size[level] += 1

    cdef inline void _drop(self, int64_t level, int64_t count) noexcept nogil:
        """Take away a level's oldest buckets."""
        self.start[level] += count
        self.size[level] -= count

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        cdef int64_t i, due
        cdef bint fired = self._signal & DRIFT
        memset(signals, QUIET, n)
        due = self.clock - self.window.tick % self.clock
        for i in range(n):
            if fired:
                self._clear()
                fired, due = False, self.clock
            if not is_finite(x[i]):
                continue
            self._insert(x[i])
            due -= 1
            if due == 0:
                due = self.clock
                fired = self.window.width > self.grace_period and self._shrink()
                if fired:
                    signals[i] = DRIFT

    cdef inline void _insert(self, double value) noexcept nogil:
        """Add a value to the window's sums (Babcock et al. 2003) and to the newest level."""
        cdef Window* w = &self.window
        cdef double step
        self._append(0, value, 0.0)
        w.tick += 1
        w.width += 1
        if w.width > 1:
            step = value - w.total / (w.width - 1)
            w.variance += (w.width - 1) * step * step / w.width
        w.total += value
        if self.size[0] > self.max_buckets:
            self._compress()

    cdef void _compress(self) noexcept nogil:
        """Merge the two oldest buckets of each level that overflows into one of the next level."""
        cdef int64_t level = 0
        cdef Bucket* full
        cdef double n, apart
        while self.size[level] > self.max_buckets and level + 1 < LEVELS:
            full, n = self._level(level), ldexp(1.0, <int> level)
            apart = full[0].total / n - full[1].total / n
            self._append(
                level + 1, full[0].total + full[1].total, full[0].variance + full[1].variance + n * 0.5 * apart * apart)
            self._drop(level, 2)
            level += 1
        if level == self.window.levels:
            self.window.levels += 1

    cdef bint _shrink(self) noexcept nogil:
        """Drop oldest buckets until no cut separates two different means; say whether any was dropped."""
        cdef bint shrunk = False
        while self._cut():
            self._forget()
            shrunk = True
        self.window.n_detections += shrunk
        return shrunk

    cdef bint _cut(self) noexcept nogil:
        """Say whether some cut of the window separates two different means, oldest cut first.

        With c = u0 - n0 mean(W), the means differ by |c| |W| / (n0 n1), and the bound is at least what it is with n0 and n1 in
        m. So most cuts are passed over, without a division, where |c| + slack < sqrt(floor n0 n1) + linear; slack is
        far above what rounding can do to either side.
        """
        cdef Window* w = &self.window
        cdef double n0 = 0, n1 = w.width, u0 = 0, u1 = w.total, c = 0, n, excess
        cdef double mean = w.total / w.width, spread = w.variance / w.width
        cdef double d = log(2.0 * log(w.width) / self.delta), linear = 2.0 / 3.0 * d
        cdef bint screened = d > 0 and spread >= 0
        cdef double floor = (1 - 1e-9) * 2 * spread * d / w.width
        cdef double slack = 1e-12 * (fabs(w.total) + sqrt(w.variance * w.width)) - (1 - 1e-9) * linear
        cdef int64_t level, k
        cdef Bucket* row
        for level in range(w.levels - 1, -1, -1):
            row, n = self._level(level), ldexp(1.0, <int> level)
            for k in range(self.size[level] - (level == 0)):
                n0 += n
                n1 -= n
                u0 += row[k].total
                u1 -= row[k].total
                c += row[k].total - n * mean
                excess = fabs(c) + slack
                if screened and (excess < 0 or excess * excess < floor * n0 * n1):
                    continue
                if self._differ(n0, n1, u0, u1, spread, d, linear):
                    return True
        return False

    cdef inline bint _differ(
        self, double n0, double n1, double u0, double u1, double spread, double d, double linear,
    ) noexcept nogil:
        """Compare the means of the two parts with the bound, in river's order of operations."""
        cdef double least = <double> self.min_window_length, m
        if n0 < least or n1 < least:
            return False
        m = 1.0 / (n0 - least + 1.0) + 1.0 / (n1 - least + 1.0)
        return fabs(u0 / n0 - u1 / n1) > sqrt(2.0 * m * spread * d) + linear * m

    cdef void _forget(self) noexcept nogil:
        """Take the oldest bucket out of the window's sums."""
        cdef Window* w = &self.window
        cdef int64_t last = w.levels - 1
        cdef Bucket oldest = self._level(last)[0]
        cdef double n = ldexp(1.0, <int> last), apart
        w.width -= n
        w.total -= oldest.total
        apart = oldest.total / n - w.total / w.width
        w.variance -= oldest.variance + n * w.width * apart * apart / (n + w.width)
        self._drop(last, 1)
        if self.size[last] == 0:
            w.levels -= 1

    def _arguments(self):
        return {"delta": self.delta, "clock": self.clock, "max_buckets": self.max_buckets,
                "min_window_length": self.min_window_length, "grace_period": self.grace_period}

    def _kept(self):
        levels = [[[self._level(level)[k].total, self._level(level)[k].variance] for k in range(self.size[level])]
                  for level in range(self.window.levels)]
        return {**self.window, "buckets": levels}

    def _restore(self, kept):
        cdef Window window = kept
        cdef int64_t level
        levels = kept["buckets"]
        sizes = [len(row) for row in levels]
        if not 1 <= len(levels) <= LEVELS or window.levels != len(levels) or max(sizes) > self.max_buckets:
            raise ValueError("its buckets do not fit its arguments")
        if sum(size << level for level, size in enumerate(sizes)) != window.width or 0 in sizes[1:] or window.tick < 0:
            raise ValueError("its buckets do not add up to its width")
        self._clear()
        for level in range(len(levels)):
            for total, variance in levels[level]:
                self._append(level, total, variance)
        self.window = window
