"""What every detector has in common: one scan over values, two signals, a state that is written down and read back."""

from libc.stdint cimport int64_t, uint8_t


cdef enum Signal:
    QUIET = 0
    DRIFT = 1
    WARNING = 2     # may stand beside DRIFT


cdef inline bint is_finite(double x) noexcept nogil:
    return x - x == 0


cdef class Detector:
    cdef object _lock              # held while a scan runs without the GIL
    cdef bint _busy                # such a scan is running
    cdef uint8_t _signal           # of the last value
    cdef void _scan(self, const double* x, int64_t n, uint8_t* signals) noexcept nogil
    cdef int _check(self, const double* x, int64_t n) except -1
    cdef object _signals(self, values)


cdef class WarningDetector(Detector):
    pass


cdef struct Mean:
    double n
    double value


cdef inline void add_to_mean(Mean* mean, double x) noexcept nogil:
    """Add a value to a running mean (West 1979), rounding as river does."""
    mean.n += 1.0
    mean.value += (1.0 / mean.n) * (x - mean.value)


cdef int check_unit(const double* x, int64_t n) except -1
cdef int check_bits(const double* x, int64_t n) except -1
