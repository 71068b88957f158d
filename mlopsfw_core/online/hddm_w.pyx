"""HDDM_W: a weighted mean since a cut against the one before it, by McDiarmid's bound."""

from __future__ import annotations

cimport cython
from libc.math cimport INFINITY, log, sqrt
from libc.stdint cimport int64_t, uint8_t

from ._detector cimport DRIFT, QUIET, WARNING, WarningDetector, check_unit


cdef struct Sample:
    double mean         # exponentially weighted
    double weight       # sum of squared weights: the bound's independence condition
    int64_t begun       # 1 once it holds a value


cdef struct State:
    Sample all
    Sample low_before, low_after        # of the cut where mean + bound was lowest
    Sample high_before, high_after      # of the cut where mean - bound was highest
    double lowest, highest


cdef Sample _nothing() noexcept nogil:
    return Sample(0, 1, 0)


cdef State _fresh() noexcept nogil:
    return State(_nothing(), _nothing(), _nothing(), _nothing(), _nothing(), INFINITY, -INFINITY)


@cython.final
cdef class HDDM_W(WarningDetector):
    """HDDM_W(drift_confidence=0.001, warning_confidence=0.005, lambda_val=0.05, two_sided_test=False)
--

    Detect a change of mean by McDiarmid's bound (Frías-Blanco et al., IEEE TKDE 27(3), 2015, W-test).

    Means weigh the past by (1 - lambda_val). The cut is where mean + bound was lowest; an increase is detected where the mean
    since the cut exceeds the mean up to it by more than sqrt(w ln(1 / confidence) / 2), w the squared weights of both.

    Args:
        drift_confidence: confidence of a detection.
        warning_confidence: confidence of a warning.
        lambda_val: the weight of the newest value.
        two_sided_test: detect decreases too.

    Values are in [0, 1], 1 an error; others raise ValueError. NaN and null are passed over.
    """

    cdef readonly double drift_confidence, warning_confidence, lambda_val
    cdef readonly bint two_sided_test
    cdef State state
    cdef double log_drift, log_warning, newest, others

    def __cinit__(
        self, double drift_confidence=0.001, double warning_confidence=0.005, double lambda_val=0.05, bint two_sided_test=False,
    ):
        cdef object others = 1 - lambda_val
        if not 0 < drift_confidence < 1 or not 0 < warning_confidence < 1:
            raise ValueError(f"confidences are in (0, 1), not {drift_confidence} and {warning_confidence}")
        if not 0 <= lambda_val <= 1:
            raise ValueError(f"lambda_val is in [0, 1], not {lambda_val}")
        self.drift_confidence, self.warning_confidence = drift_confidence, warning_confidence
        self.lambda_val, self.two_sided_test = lambda_val, two_sided_test
        self.log_drift, self.log_warning = log(1 / drift_confidence), log(1 / warning_confidence)
        self.newest = lambda_val * lambda_val
        self.others = others ** 2  # Python's power, whose last bit river has
        self.state = _fresh()

    cdef int _check(self, const double* x, int64_t n) except -1:
        return check_unit(x, n)

    cdef inline void _add(self, Sample* sample, double x) noexcept nogil:
        sample.mean = self.lambda_val * x + (1.0 - self.lambda_val) * sample.mean if sample.begun else x
        sample.begun = 1
        sample.weight = self.newest + self.others * sample.weight

    cdef inline uint8_t _level(self, const Sample* one, const Sample* other) noexcept nogil:
        cdef double weight = one.weight + other.weight, rise = other.mean - one.mean
        if not (one.begun and other.begun):
            return QUIET
        if rise > sqrt(weight * self.log_drift / 2):
            return DRIFT
        return WARNING if rise > sqrt(weight * self.log_warning / 2) else QUIET

    cdef inline uint8_t _step(self, State* s, double x) noexcept nogil:
        cdef double bound
        cdef uint8_t signal
        self._add(&s.all, x)
        bound = sqrt(s.all.weight * self.log_drift / 2)
        if s.all.mean + bound < s.lowest:
            s.lowest, s.low_before, s.low_after = s.all.mean + bound, s.all, _nothing()
        else:
            self._add(&s.low_after, x)
        signal = self._level(&s.low_before, &s.low_after)
        if self.two_sided_test:
            if s.all.mean - bound > s.highest:
                s.highest, s.high_before, s.high_after = s.all.mean - bound, s.all, _nothing()
            else:
                self._add(&s.high_after, x)
            signal |= self._level(&s.high_after, &s.high_before)
        return signal

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        scan(self, x, n, signals)

    def _arguments(self):
        return {"drift_confidence": self.drift_confidence, "warning_confidence": self.warning_confidence,
                "lambda_val": self.lambda_val, "two_sided_test": bool(self.two_sided_test)}

    def _kept(self):
        return self.state

    def _restore(self, kept):
        self.state = kept


ctypedef HDDM_W Self

include "_scan.pxi"
