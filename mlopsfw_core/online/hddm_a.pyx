"""HDDM_A: the mean since the start against the mean up to the best cut, by Hoeffding's bound."""

from __future__ import annotations

cimport cython
from libc.math cimport log, sqrt
from libc.stdint cimport int64_t, uint8_t

from ._detector cimport DRIFT, QUIET, WARNING, Mean, WarningDetector, add_to_mean, check_unit


cdef struct State:
    Mean all
    Mean low, high              # the mean up to the cut where its bound was lowest; highest
    double low_bound, high_bound


cdef State _fresh() noexcept nogil:
    return State(Mean(0, 0), Mean(0, 0), Mean(0, 0), 0, 0)


cdef inline double _margin(const Mean* part, const Mean* all, double logarithm) noexcept nogil:
    """How far the means of a part and of all may differ."""
    return sqrt((all.n - part.n) / part.n * (1.0 / all.n) / 2 * logarithm)


@cython.final
cdef class HDDM_A(WarningDetector):
    """HDDM_A(drift_confidence=0.001, warning_confidence=0.005, two_sided_test=False)
--

    Detect a change of mean by Hoeffding's bound (Frías-Blanco et al., IEEE TKDE 27(3), 2015, A-test).

    The cut is where mean + sqrt(ln(1 / drift_confidence) / 2n) was lowest. With n rows up to it and N in all, an
    increase is detected where mean_N - mean_n >= sqrt((N - n) / (n N) ln(2 / confidence) / 2).

    Args:
        drift_confidence: confidence of a detection.
        warning_confidence: confidence of a warning.
        two_sided_test: detect decreases too.

    Values are in [0, 1], 1 an error; others raise ValueError. NaN and null are passed over.
    """

    cdef readonly double drift_confidence, warning_confidence
    cdef readonly bint two_sided_test
    cdef State state
    cdef double log_cut, log_drift, log_warning

    def __cinit__(self, double drift_confidence=0.001, double warning_confidence=0.005, bint two_sided_test=False):
        if not 0 < drift_confidence < 1 or not 0 < warning_confidence < 1:
            raise ValueError(f"confidences are in (0, 1), not {drift_confidence} and {warning_confidence}")
        self.drift_confidence, self.warning_confidence = drift_confidence, warning_confidence
        self.two_sided_test = two_sided_test
        self.log_cut = log(1.0 / drift_confidence)
        self.log_drift, self.log_warning = log(2.0 / drift_confidence), log(2.0 / warning_confidence)
        self.state = _fresh()

    cdef int _check(self, const double* x, int64_t n) except -1:
        return check_unit(x, n)

    cdef inline uint8_t _level(self, const Mean* part, const Mean* all, double rise) noexcept nogil:
        if part.n == all.n:
            return QUIET
        if rise >= _margin(part, all, self.log_drift):
            return DRIFT
        return WARNING if rise >= _margin(part, all, self.log_warning) else QUIET

    cdef inline uint8_t _step(self, State* s, double x) noexcept nogil:
        cdef double bound
        cdef uint8_t signal
        add_to_mean(&s.all, x)
        bound = sqrt(1.0 / (2 * s.all.n) * self.log_cut)
        if s.low.n == 0 or s.low.value + s.low_bound >= s.all.value + bound:
            s.low, s.low_bound = s.all, bound
        signal = self._level(&s.low, &s.all, s.all.value - s.low.value)
        if self.two_sided_test:
            if s.high.n == 0 or s.high.value - s.high_bound <= s.all.value - bound:
                s.high, s.high_bound = s.all, bound
            signal |= self._level(&s.high, &s.all, s.high.value - s.all.value)
        return signal

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        scan(self, x, n, signals)

    def _arguments(self):
        return {"drift_confidence": self.drift_confidence, "warning_confidence": self.warning_confidence,
                "two_sided_test": bool(self.two_sided_test)}

    def _kept(self):
        return self.state

    def _restore(self, kept):
        self.state = kept


ctypedef HDDM_A Self

include "_scan.pxi"
