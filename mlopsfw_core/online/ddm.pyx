"""DDM: an error rate that rises well above the lowest it has been."""

from __future__ import annotations

cimport cython
from libc.math cimport INFINITY, isnan, sqrt
from libc.stdint cimport int64_t, uint8_t

from ._detector cimport DRIFT, QUIET, WARNING, Mean, WarningDetector, add_to_mean, check_unit


cdef struct State:
    Mean rate
    double lowest_rate, lowest_deviation, lowest_sum    # where rate + deviation was lowest


cdef State _fresh() noexcept nogil:
    return State(Mean(0, 0), 0, 0, INFINITY)


@cython.final
cdef class DDM(WarningDetector):
    """DDM(warm_start=30, warning_threshold=2.0, drift_threshold=3.0)
--

    Detect that a model errs more (Gama et al., "Learning with drift detection", SBIA 2004).

    With p the error rate of the t rows so far and s = sqrt(p (1 - p) / t), drift is detected where
    p + s > p_min + drift_threshold s_min, the minima taken where p + s was lowest.

    Args:
        warm_start: rows before the first detection.
        warning_threshold: s_min's factor for a warning.
        drift_threshold: s_min's factor for a detection.

    Values are 1 for an error and 0 for none, or losses in [0, 1]; others raise ValueError. NaN and null are passed over.
    """

    cdef readonly int64_t warm_start
    cdef readonly double warning_threshold, drift_threshold
    cdef double first_threshold     # the lower of both
    cdef State state

    def __cinit__(self, int64_t warm_start=30, double warning_threshold=2.0, double drift_threshold=3.0):
        if isnan(warning_threshold) or isnan(drift_threshold):
            raise ValueError("warning_threshold and drift_threshold are numbers: with NaN it would never warn or detect")
        self.warm_start, self.warning_threshold, self.drift_threshold = warm_start, warning_threshold, drift_threshold
        self.first_threshold = min(warning_threshold, drift_threshold)
        self.state = _fresh()

    cdef int _check(self, const double* x, int64_t n) except -1:
        return check_unit(x, n)

    cdef inline uint8_t _step(self, State* s, double x) noexcept nogil:
        cdef double p, deviation
        add_to_mean(&s.rate, x)
        p = s.rate.value
        if s.rate.n <= self.warm_start or self._surely_quiet(s, p):
            return QUIET
        deviation = sqrt(p * (1 - p) / s.rate.n)
        if p + deviation <= s.lowest_sum:
            s.lowest_rate, s.lowest_deviation, s.lowest_sum = p, deviation, p + deviation
        if p + deviation > s.lowest_rate + self.drift_threshold * s.lowest_deviation:
            return DRIFT
        return WARNING if p + deviation > s.lowest_rate + self.warning_threshold * s.lowest_deviation else QUIET

    cdef inline bint _surely_quiet(self, State* s, double p) noexcept nogil:
        """Say whether rate + deviation is surely above its lowest and below a warning, without a root or a division.

        Both sides are squared; the margins are far above what rounding does to numbers in [0, 1].
        """
        cdef double above = s.lowest_sum - p + 1e-12, spread = p * (1 - p)
        cdef double below = s.lowest_rate + self.first_threshold * s.lowest_deviation - p - 1e-12
        cdef bint higher = above < 0 or above * above * s.rate.n < spread * (1 - 1e-12)
        return higher and below > 0 and spread < below * below * s.rate.n * (1 - 1e-12)

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        scan(self, x, n, signals)

    def _arguments(self):
        return {"warm_start": self.warm_start, "warning_threshold": self.warning_threshold,
                "drift_threshold": self.drift_threshold}

    def _kept(self):
        return self.state

    def _restore(self, kept):
        self.state = kept


ctypedef DDM Self

include "_scan.pxi"
