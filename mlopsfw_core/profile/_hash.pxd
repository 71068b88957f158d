"""The 64-bit hash that profiles store: of a number by its bits, of a text by its bytes. Part of the format, so it never changes.

Numbers go through the finaliser of SplitMix64 (Steele, Lea and Flood 2014, with Stafford's constants); bytes are folded eight at a time,
little-endian on every machine, and finished the same way.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy


cdef extern from "mlopsfw_core/profile/_hash.h":
    uint64_t LITTLE64(uint64_t) noexcept nogil


cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    """Spread a word over 64 bits, one to one."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu
    return x ^ (x >> 31)


cdef inline uint64_t hash_number(double value) noexcept nogil:
    """Hash a number; 0.0 and -0.0 are one number."""
    cdef uint64_t bits
    cdef double canonical = value + 0.0
    memcpy(&bits, &canonical, 8)
    return mix64(bits + 0x9E3779B97F4A7C15u)


cdef inline uint64_t hash_bytes(const char* start, int64_t size) noexcept nogil:
    """Hash a text."""
    cdef uint64_t h = (<uint64_t> size + 1) * 0x9E3779B97F4A7C15u, word
    cdef int64_t i = 0
    while i + 8 <= size:
        memcpy(&word, start + i, 8)
        h = mix64(h ^ LITTLE64(word)) + 0x9E3779B97F4A7C15u
        i += 8
    word = 0
    memcpy(&word, start + i, size - i)
    return mix64(h ^ LITTLE64(word))
