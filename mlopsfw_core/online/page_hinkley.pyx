"""Page-Hinkley: a cumulative sum of deviations from the running mean that strays too far from its extreme.

Page, "Continuous inspection schemes", Biometrika 41 (1954), in river's two-sided form with a forgetting factor.
"""

from __future__ import annotations

cimport cython
from libc.math cimport INFINITY, isnan
from libc.stdint cimport int64_t, uint8_t

from ._detector cimport DRIFT, QUIET, Detector, Mean, add_to_mean

MODES = ("up", "down", "both")


cdef struct State:
    Mean mean
    double increase     # forgetful sum of x - mean - delta
    double decrease     # forgetful sum of x - mean + delta
    double lowest       # of increase
    double highest      # of decrease


cdef State _fresh() noexcept nogil:
    return State(Mean(0, 0), 0, 0, INFINITY, -1)


@cython.final
cdef class PageHinkley(Detector):
    """PageHinkley(min_instances=30, delta=0.005, threshold=50.0, alpha=0.9999, mode='both')
--

    Detect a change of mean by Page's cumulative sum.

    With S_t = alpha S_(t-1) + (x_t - mean_t) - delta, an increase is detected where S_t - min S > threshold; a decrease
    likewise, with + delta and max S - S_t.

    Args:
        min_instances: detect nothing before this many values.
        delta: the deviation that is tolerated at each value.
        threshold: how far the sum may stray.
        alpha: the forgetting factor.
        mode: "up", "down" or "both".

    NaN, null and ±inf are passed over.
    """

    cdef readonly int64_t min_instances
    cdef readonly double delta, threshold, alpha
    cdef readonly str mode
    cdef State state
    cdef bint up, down

    def __cinit__(
        self, int64_t min_instances=30, double delta=0.005, double threshold=50.0, double alpha=1 - 0.0001, str mode="both",
    ):
        if mode not in MODES:
            raise ValueError(f"mode is 'up', 'down' or 'both', not {mode!r}")
        if isnan(delta) or isnan(threshold) or isnan(alpha):
            raise ValueError("delta, threshold and alpha are numbers: with NaN it would never detect")
        self.min_instances, self.delta, self.threshold = min_instances, delta, threshold
        self.alpha, self.mode = alpha, mode
        self.up, self.down = mode != "down", mode != "up"
        self.state = _fresh()

    cdef inline uint8_t _step(self, State* s, double x) noexcept nogil:
        cdef double deviation
        add_to_mean(&s.mean, x)
        deviation = x - s.mean.value
        s.increase = self.alpha * s.increase + deviation - self.delta
        s.decrease = self.alpha * s.decrease + deviation + self.delta
        s.lowest = s.increase if s.increase < s.lowest else s.lowest
        s.highest = s.decrease if s.decrease > s.highest else s.highest
        if s.mean.n < self.min_instances:
            return QUIET
        if (self.up and s.increase - s.lowest > self.threshold) or (self.down and s.highest - s.decrease > self.threshold):
            return DRIFT
        return QUIET

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        scan(self, x, n, signals)

    def _arguments(self):
        return {"min_instances": self.min_instances, "delta": self.delta, "threshold": self.threshold, "alpha": self.alpha,
                "mode": self.mode}

    def _kept(self):
        return self.state

    def _restore(self, kept):
        self.state = kept


ctypedef PageHinkley Self

include "_scan.pxi"
