"""The Mersenne Twister as `random.Random` runs it, without the GIL."""

from libc.stdint cimport int64_t, uint32_t


cdef struct Twister:
    uint32_t words[624]
    int64_t at


cdef Twister twister_of(seed)
cdef list twister_words(const Twister* twister)
cdef int twister_resume(Twister* twister, words) except -1
cdef void sample_range(Twister* twister, int64_t n, int64_t k, int64_t pool_up_to, int64_t* pool, int64_t* chosen) noexcept nogil
