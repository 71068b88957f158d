"""One row of a hashed matrix: which slot a hash takes, and how a row's tokens are put in order and added up. Header only."""

from libc.stdint cimport int32_t, int64_t, uint32_t


cdef inline int32_t slot_of(uint32_t h, uint32_t n_features) noexcept nogil:
    """scikit-learn's index: |h| mod n_features, and |INT_MIN| as if it could be written."""
    # |h| without a branch, which a hash's sign would mispredict every other time.
    cdef uint32_t negative = <uint32_t> -(<int32_t> (h >> 31)), size = (h ^ negative) - negative
    return <int32_t> (size & (n_features - 1)) if n_features & (n_features - 1) == 0 else <int32_t> (size % n_features)


cdef extern from "mlopsfw_core/_sparse.h":
    const int NARROW
    ctypedef struct token:
        pass
    void place_any(const int32_t*, const double*, int64_t, int32_t*, double*, token*) noexcept nogil
    int place_narrow(const int32_t*, const double*, int64_t, int32_t*, double*) noexcept nogil


cdef inline void place_row(int32_t* slots, const double* values, int64_t used, int32_t* indices, double* data, token* room) noexcept nogil:
    """Write one row's tokens by slot; `slots` has room for NARROW."""
    cdef int64_t i
    if used <= NARROW:
        for i in range(used, NARROW):
            slots[i] = 0x7FFFFFFF
        if place_narrow(slots, values, used, indices, data):
            return
    place_any(slots, values, used, indices, data, room)


cdef inline int64_t sum_duplicates(int32_t* indices, double* data, int64_t used) noexcept nogil:
    """Add up neighbours of equal slot; returns how many are left."""
    cdef int64_t i, kept = 0
    for i in range(1, used):
        if indices[i] == indices[kept]:
            data[kept] += data[i]
        else:
            kept += 1
            indices[kept], data[kept] = indices[i], data[i]
    return kept + 1 if used else 0
