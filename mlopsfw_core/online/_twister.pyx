"""The Mersenne Twister as `random.Random` runs it, without the GIL, and `random.sample` of a range.

Matsumoto and Nishimura, MT19937 (1998). A detector seeded like its peer draws the same numbers, and its generator's state is
written down with it. Not a generator for general use.
"""

from __future__ import annotations

from random import Random

from libc.stdint cimport int64_t, uint32_t


cdef Twister twister_of(seed):
    """Return the generator that `random.Random(seed)` is; None draws a seed from the system."""
    cdef Twister twister
    twister_resume(&twister, Random(seed).getstate()[1])  # noqa: S311 - statistics, no secrets
    return twister


cdef list twister_words(const Twister* twister):
    """Return the state as `random.Random.getstate` has it: 624 words and the place."""
    return [twister.words[i] for i in range(624)] + [twister.at]


cdef int twister_resume(Twister* twister, words) except -1:
    """Take over a state that `twister_words` returned."""
    cdef int64_t i
    if len(words) != 625 or not 0 <= words[624] <= 624:
        raise ValueError("a generator's state is 624 words and a place among them")
    for i in range(624):
        twister.words[i] = words[i]
    twister.at = words[624]
    return 0


cdef void _turn(Twister* twister) noexcept nogil:
    cdef uint32_t* w = twister.words
    cdef uint32_t y
    cdef int i
    for i in range(624):
        y = (w[i] & <uint32_t> 0x80000000u) | (w[(i + 1) % 624] & <uint32_t> 0x7fffffffu)
        w[i] = w[(i + 397) % 624] ^ (y >> 1) ^ (<uint32_t> 0x9908b0dfu if y & 1 else 0)
    twister.at = 0


cdef inline uint32_t _next(Twister* twister) noexcept nogil:
    cdef uint32_t y
    if twister.at >= 624:
        _turn(twister)
    y = twister.words[twister.at]
    twister.at += 1
    y ^= y >> 11
    y ^= (y << 7) & <uint32_t> 0x9d2c5680u
    y ^= (y << 15) & <uint32_t> 0xefc60000u
    return y ^ (y >> 18)


cdef inline int64_t _below(Twister* twister, int64_t n) noexcept nogil:
    """Draw from 0 to n - 1 as `Random._randbelow` does: as many bits as n has, again while too large."""
    cdef int bits = 0
    cdef int64_t drawn
    while n >> bits:
        bits += 1
    while True:
        drawn = _next(twister) >> (32 - bits)
        if drawn < n:
            return drawn


cdef void sample_range(
    Twister* twister, int64_t n, int64_t k, int64_t pool_up_to, int64_t* pool, int64_t* chosen,
) noexcept nogil:
    """Draw k different numbers from 0 to n - 1 as `Random.sample(range(n), k)` does.

    Args:
        twister: the generator.
        n: below 2^31.
        k: at most n.
        pool_up_to: up to this n, CPython draws from a dwindling pool; above, it draws again what was drawn before.
        pool: scratch of n.
        chosen: receives k numbers.
    """
    cdef int64_t i, j
    for i in range(n):
        pool[i] = i if n <= pool_up_to else 0
    for i in range(k):
        if n <= pool_up_to:
            j = _below(twister, n - i)
            chosen[i] = pool[j]
            pool[j] = pool[n - i - 1]
            continue
        j = _below(twister, n)
        while pool[j]:
            j = _below(twister, n)
        pool[j] = 1
        chosen[i] = j
