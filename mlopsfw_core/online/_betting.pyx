"""Bets against "no change", summed over every row at which the change may have come: the kernel of the detectors with a stated rate.

A bet multiplies its stake by L_t = 1 + slope (z_t - limit), with E[L_t | past] <= 1 while nothing has changed. Over bets k of equal
weight:

    M_t = mean_k M_tk,  M_tk = L_tk (M_(t-1)k + w_t)                   the e-SR detector; alarm where M_t >= arl
    E_t = mean_k E_tk + 1/(t+1),  E_tk = L_tk (E_(t-1)k + 1/(t (t+1)))   an e-process, for tests at any time

w_t is 1, but 0 where the row before moved no bet, so that a column that stands still collects no evidence. M_t - t is a
supermartingale, so the mean run to a false alarm is at least `arl` (Shin, Ramdas and Rinaldo, arXiv 2309.09111), and since M
starts again from 0, n rows hold n / arl false alarms in expectation at the most. E_t is the same sum with prior weights
1/(j (j+1)) on the row j of the change, which add up to 1: P(E_t >= 1/a at any t) <= a (Ville).
"""

from __future__ import annotations

import numpy as np

cimport cython
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from ._detector cimport DRIFT, QUIET, Detector


def bets_above(double limit, double smallest=0.03, double boldness=0.9):
    """Return the stakes that bet on a mean above `limit`: from boldness / limit down by halves to `smallest`.

    A stake s multiplies by 1 + s (z - limit), which stays positive for z >= 0 while s < 1 / limit. By halves, since a stake within a
    factor of sqrt 2 of the best one grows at least 8/9 as fast.
    """
    stakes = []
    if limit < 1:
        stake = boldness / max(limit, 1e-6)
        while stake > smallest:
            stakes.append(stake)
            stake /= 2
    return stakes


@cython.auto_pickle(False)
cdef class Bettor(Detector):
    """The base of the detectors with a stated rate. Its subclasses say what is bet on.

    Args of `_open`, which they call once:
        arl: the rows that lie between two false alarms, on average, at the least.
        intervals: for each feature, the lowest and highest mean in [0, 1] that is no change.
        bounds: of x, where x itself is the feature, scaled to [0, 1] and clipped.
        thresholds: ascending, where the features are x <= threshold.
    """

    def _open(self, double arl, intervals, bounds=(0.0, 1.0), thresholds=()):
        if not 1 < arl < 1e15:
            raise ValueError(f"arl counts rows between false alarms: between 1 and 1e15, not {arl}")
        bets = [_bets_of(lowest, highest) for lowest, highest in intervals]
        flat = [bet for some in bets for bet in some] or [(0.0, 0.0)]
        cdef double[::1] limits = np.array(thresholds, dtype=np.float64)
        cdef int64_t[::1] first = np.cumsum([0] + [len(some) for some in bets], dtype=np.int64)
        cdef double[:, ::1] factors = np.array(flat, dtype=np.float64).T.copy()
        cdef double[:, ::1] sums = np.zeros((2, len(flat)))
        self.arl, self.count, self.features = arl, len(flat), len(thresholds)
        self.moved = True
        self.low, self.scale = bounds[0], 1.0 / (bounds[1] - bounds[0])
        self._buffers = (limits, first, factors, sums)
        self.thresholds = &limits[0] if len(thresholds) else NULL
        self.first, self.limit, self.slope = &first[0], &factors[0, 0], &factors[1, 0]
        self.running, self.spent = &sums[0, 0], &sums[1, 0]

    @property
    def evidence(self) -> float:
        """The detector's statistic M, which alarms at `arl`; 0 at the start."""
        return sum(self.running[k] for k in range(self.count)) / self.count if self.count else 0.0

    @property
    def e_value(self) -> float:
        """Evidence against "no change since the start", valid at any time it is looked at: P(ever >= 1/a) <= a. 1 at the start."""
        won = sum(self.spent[k] for k in range(self.count)) / self.count if self.count else 0.0
        return won + 1.0 / (self.rows + 1)

    cdef void _clear(self) noexcept nogil:
        self.rows, self.moved = 0, 1
        memset(self.running, 0, self.count * sizeof(double))
        memset(self.spent, 0, self.count * sizeof(double))

    cdef double _bet(self, double x) noexcept nogil:
        """Settle every bet on one value; return M."""
        cdef double z, total = 0, prior, stake = <double> self.moved
        cdef int64_t feature
        self.rows += 1
        prior = 1.0 / (<double> self.rows * (<double> self.rows + 1.0))
        self.moved = 0
        if self.features == 0:
            z = (x - self.low) * self.scale
            z = 0.0 if z < 0 else 1.0 if z > 1 else z
            return _settle(self, 0, self.count, z, stake, prior) / self.count
        for feature in range(self.features):
            z = x <= self.thresholds[feature]
            total += _settle(self, self.first[feature], self.first[feature + 1], z, stake, prior)
        return total / self.count

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        cdef bint fired = self._signal & DRIFT
        cdef int64_t i
        memset(signals, QUIET, n)
        if self.count == 0:
            return
        for i in range(n):
            if fired:
                self._clear()
            fired = x[i] == x[i] and self._bet(x[i]) >= self.arl
            if fired:
                signals[i] = DRIFT

    def _kept(self):
        cdef int64_t k
        return {"rows": self.rows, "moved": self.moved, "running": [self.running[k] for k in range(self.count)],
                "spent": [self.spent[k] for k in range(self.count)]}

    def _restore(self, kept):
        cdef int64_t k
        if len(kept["running"]) != self.count or len(kept["spent"]) != self.count or not 0 <= kept["rows"] < 2**53:
            raise ValueError("its bets do not fit its arguments")
        # Beyond this no sum can grow before an alarm clears it (arl < 1e15); from there one more bet could pass the largest double.
        if any(not 0 <= stake <= 1e30 for stake in [*kept["running"], *kept["spent"]]):
            raise ValueError("a bet holds a sum of 0 or more, at most 1e30")
        self.rows, self.moved = kept["rows"], bool(int(kept["moved"]))
        for k in range(self.count):
            self.running[k], self.spent[k] = kept["running"][k], kept["spent"][k]


cdef inline double _settle(Bettor bettor, int64_t begin, int64_t end, double z, double stake, double prior) noexcept nogil:
    """Settle the bets from begin to end on one feature; return the sum of their e-SR statistics."""
    cdef const double* limit = bettor.limit
    cdef const double* slope = bettor.slope
    cdef double* running = bettor.running
    cdef double* spent = bettor.spent
    cdef double total = 0, factor
    cdef int64_t k, moved = 0
    for k in range(begin, end):
        factor = 1.0 + slope[k] * (z - limit[k])
        moved |= factor != 1.0
        running[k] = factor * (running[k] + stake)
        spent[k] = factor * (spent[k] + prior)
        total += running[k]
    bettor.moved |= moved
    return total


def _bets_of(lowest, highest) -> list:
    """Return (limit, slope) of every bet against a mean in [lowest, highest]: on more than the one, on less than the other."""
    if not 0 <= lowest <= highest <= 1:
        raise ValueError(f"means that are no change lie in [0, 1], lowest first, but are {lowest} to {highest} (scaled to the bounds)")
    more = [(highest, stake) for stake in bets_above(highest)]
    less = [(lowest, -stake) for stake in bets_above(1 - lowest)]
    return more + less
