"""MurmurHash3 x86_32, after Austin Appleby's public-domain definition. Header only.

A hash can be begun with a prefix once and finished with many texts: that is how "name=text" is hashed without being built.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef struct Murmur:
    uint32_t h        # state after the whole blocks of the prefix
    uint32_t carry    # the prefix's last bytes, fewer than four
    int spare         # how many
    int64_t size      # of the prefix, in bytes


cdef inline uint32_t _rotl(uint32_t x, int r) noexcept nogil:
    return (x << r) | (x >> (32 - r))


cdef inline uint32_t _scramble(uint32_t k) noexcept nogil:
    return _rotl(k * 0xCC9E2D51u, 15) * 0x1B873593u


cdef inline uint32_t _block(uint32_t h, uint32_t k) noexcept nogil:
    return _rotl(h ^ _scramble(k), 13) * 5 + 0xE6546B64u


cdef inline uint32_t _word(const char* data, int64_t size) noexcept nogil:
    """Read up to four bytes as a little-endian word, never past the end."""
    cdef uint32_t word = 0
    cdef int64_t i
    if size >= 4:
        memcpy(&word, data, 4)
        return word
    for i in range(size):
        word |= <uint32_t> (<const uint8_t*> data)[i] << (8 * i)
    return word


cdef inline Murmur murmur_begin(const char* prefix, int64_t size, uint32_t seed) noexcept nogil:
    """Take in a prefix."""
    cdef Murmur state
    cdef int64_t i
    state.h, state.size, state.spare = seed, size, <int> (size & 3)
    for i in range(size >> 2):
        state.h = _block(state.h, _word(prefix + 4 * i, 4))
    state.carry = _word(prefix + (size & ~3), state.spare)
    return state


cdef inline uint32_t murmur_finish(Murmur state, const char* data, int64_t size) noexcept nogil:
    """Hash the prefix followed by `size` bytes."""
    cdef uint32_t h = state.h, tail = state.carry
    cdef int64_t left = size + state.spare, i, taken
    cdef const char* at = data
    if left >= 4:
        taken = 4 - state.spare
        h = _block(h, tail | (_word(data, size) << (8 * state.spare)))
        at += taken
        left -= 4
        for i in range(left >> 2):
            h = _block(h, _word(at, 4))
            at += 4
        left &= 3
        # The last 0 to 3 bytes: where the text has four, its last word holds them, and shifting drops the others.
        tail = <uint32_t> (<uint64_t> _word(at + left - 4, 4) >> (32 - 8 * left)) if size >= 4 else _word(at, left)
    elif size > 0:
        tail |= _word(data, size) << (8 * state.spare)
    h ^= _scramble(tail)
    h ^= <uint32_t> (state.size + size)
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu
    h = (h ^ (h >> 13)) * 0xC2B2AE35u
    return h ^ (h >> 16)


cdef inline uint32_t murmur3(const char* data, int64_t size, uint32_t seed) noexcept nogil:
    """Hash `size` bytes."""
    return murmur_finish(murmur_begin(NULL, 0, seed), data, size)
