"""EDDM: errors that follow one another ever faster."""

from __future__ import annotations

cimport cython
from libc.math cimport pow
from libc.stdint cimport int64_t, uint8_t

from ._detector cimport DRIFT, QUIET, WARNING, Mean, WarningDetector, add_to_mean, check_bits


cdef struct State:
    Mean distance       # rows from one error to the next
    double squares      # sum of squared deviations of those distances
    double longest      # the highest mean + 2 deviations
    int64_t rows, last_error, errors
    int64_t warned      # 1 while a warning stands


cdef State _fresh() noexcept nogil:
    return State(Mean(0, 0), 0, -1, 0, 0, 0, 0)


@cython.final
cdef class EDDM(WarningDetector):
    """EDDM(warm_start=30, alpha=0.95, beta=0.9)
--

    Detect that errors come closer together (Baena-García et al., "Early drift detection method", 2006).

    With m and s the mean and standard deviation of the distances between errors, drift is detected where
    (m + 2 s) / max(m + 2 s) < beta, after more than `warm_start` errors.

    Args:
        warm_start: rows, and errors, before the first detection.
        alpha: the ratio below which it warns.
        beta: the ratio below which it detects; at most alpha.

    Values are 1 for an error and 0 for none; others raise ValueError. NaN and null are passed over.
    """

    cdef readonly int64_t warm_start
    cdef readonly double alpha, beta
    cdef State state
    cdef double calm            # a ratio surely above alpha

    def __cinit__(self, int64_t warm_start=30, double alpha=0.95, double beta=0.9):
        if not alpha >= beta:  # NaN too
            raise ValueError(f"alpha ({alpha}) is at least beta ({beta}), and both are numbers: it warns before it detects")
        self.warm_start, self.alpha, self.beta = warm_start, alpha, beta
        self.calm = alpha * (1 + 1e-12)  # far above what rounding does
        self.state = _fresh()

    cdef int _check(self, const double* x, int64_t n) except -1:
        return check_bits(x, n)

    cdef inline uint8_t _error(self, State* s) noexcept nogil:
        """Take an error into account; as in river, a warning stands until an error takes it back."""
        cdef double gap = <double> (s.rows - s.last_error), before = s.distance.value, variance
        s.errors += 1
        s.last_error = s.rows
        add_to_mean(&s.distance, gap)
        s.squares += (gap - before) * (gap - s.distance.value)
        if s.rows <= self.warm_start:
            return QUIET
        if s.errors > self.warm_start and self._surely_calm(s):
            s.warned = 0
            return QUIET
        variance = s.squares / (s.distance.n - 1) if s.distance.n > 1 else 0.0
        return self._compare(s, s.distance.value + 2 * pow(variance, 0.5))

    cdef inline bint _surely_calm(self, State* s) noexcept nogil:
        """Say whether mean + 2 deviations is surely under its highest and over a warning, without a root or a division.

        Both sides are squared; the margins are far above what rounding does.
        """
        cdef double under = (1 - 1e-12) * s.longest - s.distance.value, over = self.calm * s.longest - s.distance.value
        cdef double spread = 4 * s.squares, n = s.distance.n - 1
        cdef bint higher = over < 0 or over * over * n < spread * (1 - 1e-12)
        return higher and under > 0 and spread < under * under * n * (1 - 1e-12)

    cdef uint8_t _compare(self, State* s, double reach) noexcept nogil:
        """Compare with the longest reach; `reach` is by pow, since river writes ** 0.5, which sqrt misses by a last bit."""
        if reach > s.longest:
            s.longest = reach
        elif s.errors > self.warm_start:
            if reach / s.longest < self.beta:
                return DRIFT
            s.warned = reach / s.longest < self.alpha
        return QUIET

    cdef inline uint8_t _step(self, State* s, double x) noexcept nogil:
        cdef uint8_t signal = QUIET
        s.rows += 1
        if x == 1:
            signal = self._error(s)
        return signal | (WARNING if s.warned else QUIET)

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        scan(self, x, n, signals)

    def _arguments(self):
        return {"warm_start": self.warm_start, "alpha": self.alpha, "beta": self.beta}

    def _kept(self):
        return self.state

    def _restore(self, kept):
        self.state = kept


ctypedef EDDM Self

include "_scan.pxi"
