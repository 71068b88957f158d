"""KSWIN: the newest values of a window against a sample of its older ones, by the Kolmogorov-Smirnov test.

Raab, Heusinger and Schleif, "Reactive soft prototype computing for concept drift streams", Neurocomputing 416 (2020). The window
is kept in order, so that one walk over it gives the statistic of any two parts of it.
"""

from __future__ import annotations

from math import ceil, log

cimport cython
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove, memset

from ..drift.ks import ks_pvalue

from ._detector cimport DRIFT, QUIET, Detector
from ._twister cimport Twister, sample_range, twister_of, twister_resume, twister_words

LEAST_DISTANCE = 0.1
"""A smaller distance is no drift, whatever its p-value (as in river)."""


cdef struct Cell:
    double value
    int64_t slot        # of the ring, where the value stands in order of time


@cython.final
cdef class KSWIN(Detector):
    """KSWIN(alpha=0.005, window_size=100, stat_size=30, seed=None, window=None)
--

    Detect a change of distribution: the newest values against a sample of the older ones of a sliding window.

    At each value, once the window is full, `stat_size` of its older values are drawn and compared with the newest `stat_size`;
    drift is detected where the two-sample test's p-value is at most alpha and the distance exceeds 0.1.

    Args:
        alpha: the test's level. It is taken at every value: the rate of false alarms per value is not alpha's.
        window_size: values in the window; at least twice `stat_size`.
        stat_size: values in each of the two samples.
        seed: of the draws. With a seed, the draws are those of `random.Random(seed).sample`, and so are river's outcomes;
            with None, drawn from the system, only their distribution is.
        window: values with which to fill the window at the start.

    Infinities are values; NaN and null are passed over.
    """

    cdef readonly double alpha
    cdef readonly int64_t window_size, stat_size
    cdef readonly object seed
    cdef readonly int64_t n         # values since the start, or since a detection
    cdef bint seeded
    cdef Twister twister, first     # as it stands, and as the seed began it
    cdef double* ring               # window_size values in order of time; owned, with all below
    cdef Cell* ordered              # the same values in ascending order
    cdef int64_t* pool
    cdef int64_t* chosen
    cdef uint8_t* drawn             # by slot
    cdef int64_t held, oldest       # values in the window; the slot of the oldest
    cdef int64_t units              # the last statistic times stat_size; -1 before any
    cdef int64_t needed             # the units from which it is drift
    cdef int64_t pool_up_to         # CPython's choice between two ways to sample

    def __cinit__(self, double alpha=0.005, int64_t window_size=100, int64_t stat_size=30, seed=None, window=None):
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is in [0, 1], not {alpha}")
        if stat_size < 1 or not 2 * stat_size <= window_size < 2**31:
            raise ValueError(f"window_size ({window_size}) is at least twice stat_size ({stat_size}), and that at least 1")
        self.alpha, self.window_size, self.stat_size, self.seed = alpha, window_size, stat_size, seed
        self.ring = <double*> calloc(window_size, sizeof(double))
        self.ordered = <Cell*> calloc(window_size, sizeof(Cell))
        self.pool = <int64_t*> calloc(window_size, sizeof(int64_t))
        self.chosen = <int64_t*> calloc(stat_size, sizeof(int64_t))
        self.drawn = <uint8_t*> calloc(window_size, 1)
        if self.ring == NULL or self.ordered == NULL or self.pool == NULL or self.chosen == NULL or self.drawn == NULL:
            raise MemoryError
        self.pool_up_to = 21 + (4 ** ceil(log(stat_size * 3, 4)) if stat_size > 5 else 0)
        self.needed = _units_needed(alpha, stat_size)
        self.seeded, self.first = seed is not None, twister_of(seed)
        self.twister = self.first
        self._clear()
        given = [] if window is None else [float(value) for value in window]
        for value in [value for value in given if value == value][-window_size:]:  # NaN has no place in an order
            self._push(value)

    def __dealloc__(self):
        free(self.ring)
        free(self.ordered)
        free(self.pool)
        free(self.chosen)
        free(self.drawn)

    @property
    def window(self) -> list:
        """The values in the window, oldest first; after a detection only the newest `stat_size`."""
        held = [self.ring[(self.oldest + i) % self.window_size] for i in range(self.held)]
        return held[-self.stat_size:] if self._signal & DRIFT else held

    @property
    def p_value(self) -> float:
        """The last test's p-value; 0 before any test, as in river."""
        return 0.0 if self.units < 0 else ks_pvalue(self.units * self.stat_size, self.stat_size, self.stat_size)

    cdef void _clear(self) noexcept nogil:
        self.n = self.held = self.oldest = 0
        self.units = -1

    cdef int64_t _rank(self, double value) noexcept nogil:
        """Return how many values in the window are less."""
        cdef int64_t low = 0, high = self.held, middle
        while low < high:
            middle = (low + high) >> 1
            if self.ordered[middle].value < value:
                low = middle + 1
            else:
                high = middle
        return low

    cdef void _push(self, double value) noexcept nogil:
        """Add a value; where the window is full, the oldest leaves."""
        cdef int64_t at, slot = (self.oldest + self.held) % self.window_size
        if self.held == self.window_size:
            at = self._rank(self.ring[slot])
            while self.ordered[at].slot != slot:
                at += 1
            self.held -= 1
            memmove(&self.ordered[at], &self.ordered[at + 1], (self.held - at) * sizeof(Cell))
            self.oldest = (self.oldest + 1) % self.window_size
        at = self._rank(value)
        memmove(&self.ordered[at + 1], &self.ordered[at], (self.held - at) * sizeof(Cell))
        self.ordered[at] = Cell(value, slot)
        self.ring[slot] = value
        self.held += 1

    cdef int64_t _distance(self) noexcept nogil:
        """Draw from the older values; return the largest gap to the newest ones, in units of 1 / stat_size."""
        cdef int64_t i, age, gap = 0, widest = 0, newest = self.window_size - self.stat_size
        sample_range(&self.twister, newest, self.stat_size, self.pool_up_to, self.pool, self.chosen)
        memset(self.drawn, 0, self.window_size)
        for i in range(self.stat_size):
            self.drawn[(self.oldest + self.chosen[i]) % self.window_size] = 1
        for i in range(self.window_size):
            age = self.ordered[i].slot - self.oldest
            age += self.window_size if age < 0 else 0
            gap += <int64_t> (age >= newest) - <int64_t> self.drawn[self.ordered[i].slot]
            if (gap > widest or -gap > widest) and (
                i + 1 == self.window_size or self.ordered[i + 1].value != self.ordered[i].value):
                widest = gap if gap > 0 else -gap
        return widest

    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil:
        cdef bint fired = self._signal & DRIFT
        cdef int64_t i
        for i in range(n):
            if fired:
                self._clear()
                if self.seeded:
                    self.twister = self.first
            fired = False
            if x[i] == x[i]:
                self.n += 1
                self._push(x[i])
                if self.held == self.window_size:
                    self.units = self._distance()
                    fired = self.units >= self.needed
            signals[i] = DRIFT if fired else QUIET

    def _arguments(self):
        return {"alpha": self.alpha, "window_size": self.window_size, "stat_size": self.stat_size, "seed": self.seed}

    def _kept(self):
        held = [self.ring[(self.oldest + i) % self.window_size] for i in range(self.held)]
        return {"n": self.n, "units": self.units, "window": held, "generator": twister_words(&self.twister)}

    def _restore(self, kept):
        window = [float(value) for value in kept["window"]]
        if len(window) > self.window_size or any(value != value for value in window) or not -1 <= kept["units"] <= self.stat_size:
            raise ValueError("its window does not fit its arguments")
        twister_resume(&self.twister, kept["generator"])
        self._clear()
        for value in window:
            self._push(value)
        self.n, self.units = kept["n"], kept["units"]


def _units_needed(double alpha, int64_t size) -> int:
    """Return the least distance, in units of 1 / size, that is drift; the p-value falls as the distance grows."""
    cdef int64_t low = 0, high = size + 1, middle
    while low < high:
        middle = (low + high) // 2
        if <double> middle / size > LEAST_DISTANCE and ks_pvalue(middle * size, size, size) <= alpha:
            high = middle
        else:
            low = middle + 1
    return low
