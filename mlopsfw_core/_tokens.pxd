"""Hashed tokens of rows of any length, one after the other, and the compressed rows that they make."""

cimport cython
cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint32_t

from ._sparse cimport slot_of


@cython.final
cdef class Tokens:
    cdef int32_t* slots
    cdef double* values
    cdef readonly int64_t used
    cdef int64_t room

    cdef int reserve(self, int64_t more) except -1
    cdef object compressed(self, cnp.ndarray ends, int64_t n_features, object dtype)

    cdef inline void put(self, uint32_t h, double value, uint32_t n_features, bint alternate_sign) noexcept nogil:
        """Add one token where room was reserved."""
        self.slots[self.used] = slot_of(h, n_features)
        self.values[self.used] = -value if alternate_sign and h >> 31 else value
        self.used += 1
