"""Bets against "no change", summed over every row at which the change may have come."""

from libc.stdint cimport int64_t, uint8_t

from ._detector cimport Detector


cdef class Bettor(Detector):
    cdef readonly double arl
    cdef int64_t count          # of bets
    cdef int64_t features       # thresholds; 0 where the scaled value itself is bet on
    cdef int64_t rows           # since the start, or since a detection
    cdef int64_t moved          # 1 where the last row moved a bet
    cdef double low, scale
    cdef object _buffers        # owns what the pointers below point into
    cdef const double* thresholds   # of x, one for each feature
    cdef const int64_t* first       # features + 1: where each feature's bets begin
    cdef const double* limit        # a bet's factor is 1 + slope (z - limit)
    cdef const double* slope
    cdef double* running        # each bet's e-SR statistic
    cdef double* spent          # each bet's e-process over the rows of a change, weighed
    cdef void _clear(self) noexcept nogil
    cdef double _bet(self, double x) noexcept nogil
