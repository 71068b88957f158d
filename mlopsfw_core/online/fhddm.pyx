"""FHDDM: the error rate of a sliding window against the highest it has been, by Hoeffding's bound."""

from __future__ import annotations

cimport cython
from libc.math cimport log, sqrt
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free

from ._detector cimport DRIFT, QUIET, Detector, check_bits


cdef struct State:
    int64_t held            # values in the window
    int64_t at              # where the next value goes
    int64_t ones            # in the window
    int64_t short_ones      # among its newest short_window_size
    int64_t highest, short_highest      # the most ones that either has held


cdef State _fresh() noexcept nogil:
    return State(0, 0, 0, 0, 0, 0)


cdef inline bint _fell(int64_t highest, int64_t ones, int64_t size, double margin, int64_t calm) noexcept nogil:
    """Say whether the share of ones fell by more than the margin; divides, as river does, only where it is near."""
    if highest - ones < calm:
        return False
    return <double> highest / <double> size - <double> ones / <double> size > margin


@cython.final
cdef class FHDDM(Detector):
    """FHDDM(sliding_window_size=100, confidence_level=1e-06, short_window_size=None)
--

    Detect that the rate of ones falls (Pesaranghader and Viktor, "Fast Hoeffding drift detection method", ECML 2016).

    Drift is detected where max u - u > sqrt(ln(1 / confidence_level) / 2n), u the share of ones among the newest n values. In the
    paper a one is a right prediction; river's arithmetic is the same, so give it 1 for right.

    Args:
        sliding_window_size: n.
        confidence_level: the probability of error of one comparison.
        short_window_size: also compare this many newest values likewise (stacking FHDDM); at most the sliding window.

    Values are 0 and 1; others raise ValueError. NaN and null are passed over.
    """

    cdef readonly int64_t sliding_window_size
    cdef readonly double confidence_level
    cdef readonly object short_window_size
    cdef State state
    cdef double margin, short_margin
    cdef int64_t calm, short_calm   # fewer ones than these under the highest are surely within the margin
    cdef int64_t short_size         # 0 where there is no short window
    cdef uint8_t* window            # a ring of sliding_window_size; owned

    def __cinit__(self, int64_t sliding_window_size=100, double confidence_level=0.000001, short_window_size=None):
        if not 1 <= sliding_window_size <= 2**31:
            raise ValueError(f"sliding_window_size is 1 or more, not {sliding_window_size}")
        if short_window_size is not None and not 1 <= short_window_size <= sliding_window_size:
            raise ValueError(f"short_window_size is between 1 and sliding_window_size, not {short_window_size}")
        if not 0 < confidence_level <= 1:
            raise ValueError(f"confidence_level is in (0, 1], not {confidence_level}")
        self.sliding_window_size, self.confidence_level = sliding_window_size, confidence_level
        self.short_window_size, self.short_size = short_window_size, short_window_size or 0
        self.margin = sqrt(log(1 / confidence_level) / (2 * sliding_window_size))
        self.short_margin = sqrt(log(1 / confidence_level) / (2 * self.short_size)) if self.short_size else 0.0
        self.calm, self.short_calm = <int64_t> (self.margin * sliding_window_size), <int64_t> (self.short_margin * self.short_size)
        self.window = <uint8_t*> calloc(sliding_window_size, 1)
        if self.window == NULL:
            raise MemoryError
        self.state = _fresh()

    def __dealloc__(self):
        free(self.window)

    @property
    def n_one(self) -> int:
        """Ones in the window, the oldest value apart once it is full (as in river)."""
        return self.state.ones

    cdef int _check(self, const double* x, int64_t n) except -1:
        return check_bits(x, n)

    cdef inline int64_t _before(self, int64_t at, int64_t back) noexcept nogil:
        return at - back if at >= back else at - back + self.sliding_window_size

    cdef inline uint8_t _step(self, State* s, double value) noexcept nogil:
        cdef uint8_t x = value == 1
        cdef int64_t at = s.at, size = self.sliding_window_size
        cdef bint fired = False
        if self.short_size:
            s.short_ones += x
            if s.held >= self.short_size:
                s.short_ones -= self.window[self._before(at, self.short_size)]
        self.window[at] = x
        s.at = at + 1 if at + 1 < size else 0
        s.ones += x
        s.held += 1
        if s.held < size:
            return QUIET
        s.highest = max(s.highest, s.ones)
        fired = _fell(s.highest, s.ones, size, self.margin, self.calm)
        if self.short_size:
            s.short_highest = max(s.short_highest, s.short_ones)
            fired |= _fell(s.short_highest, s.short_ones, self.short_size, self.short_margin, self.short_calm)
        s.ones -= self.window[s.at]
        s.held -= 1
        if self.short_size == size:
            s.short_ones = s.ones
        return DRIFT if fired else QUIET

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        scan(self, x, n, signals)

    def _arguments(self):
        return {"sliding_window_size": self.sliding_window_size, "confidence_level": self.confidence_level,
                "short_window_size": self.short_window_size}

    def _kept(self):
        cdef int64_t size = self.sliding_window_size
        return {**self.state, "window": "".join(str(self.window[i]) for i in range(size))}

    def _restore(self, kept):
        cdef State state = kept
        cdef int64_t i, size = self.sliding_window_size
        window = kept["window"]
        if len(window) != size or set(window) - set("01") or not 0 <= state.at < size or not 0 <= state.held < size:
            raise ValueError("its window does not fit its arguments")
        for i in range(size):
            self.window[i] = window[i] == "1"
        self.state = state


ctypedef FHDDM Self

include "_scan.pxi"
