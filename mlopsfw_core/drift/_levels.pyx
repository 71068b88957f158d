"""Sort a sample that sits on few values by counting them: ratings, ages, rounded prices.

A look at evenly spaced values tells whether it does. Its values are then looked up by a hash of their bits and counted in one
pass; the few that the look did not meet are kept aside and sorted.
"""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t, uint64_t

cnp.import_array()

SMALLEST = 20_000
"""Fewer values than this are faster sorted at once."""

_LOOKED_AT = 1024
_MOST_LEVELS = 128      # more of them among the values looked at, and there may be many more
_MOST_STRAYS = 0.05     # share of values that may have been missed by the look

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define SLOTS 4096     /* a power of two, far above the number of levels: they seldom meet in a slot */
    #define TURNS 4        /* counts take turns, so that runs of one value need not wait for each other */

    static inline uint64_t bits_of(double v) { uint64_t bits; memcpy(&bits, &v, 8); return bits; }
    static inline uint64_t slot_of(uint64_t bits) { return (bits * UINT64_C(0x9E3779B97F4A7C15)) >> 52; }

    /* Count each level's values. Those of no level go to `strays`, room + 1 of them; returns how many, more than `room` where that
       is too little. Of two levels that meet in a slot the later one's values are strays. */
    static int64_t count_levels(const double *values, int64_t n, const double *levels, int64_t n_levels, int64_t *counts,
                                double *strays, int64_t room) {
      uint64_t keys[SLOTS];
      uint32_t seen[TURNS][SLOTS] = {{0}};
      int64_t stray = 0;
      for (int64_t s = 0; s < SLOTS; ++s) keys[s] = UINT64_MAX;    /* a NaN: no level has it */
      for (int64_t k = n_levels; k-- > 0;) keys[slot_of(bits_of(levels[k]))] = bits_of(levels[k]);
      for (int64_t i = 0; i < n && stray <= room; ++i) {
        uint64_t bits = bits_of(values[i]), slot = slot_of(bits), known = keys[slot] == bits;
        seen[i % TURNS][slot] += known;
        strays[stray] = values[i];
        stray += !known;
      }
      for (int64_t k = 0; k < n_levels; ++k) {
        uint64_t slot = slot_of(bits_of(levels[k]));
        counts[k] = 0;
        if (keys[slot] == bits_of(levels[k])) for (int t = 0; t < TURNS; ++t) counts[k] += seen[t][slot];
      }
      return stray;
    }
    """
    int64_t count_levels(
        const double* values, int64_t n, const double* levels, int64_t n_levels, int64_t* counts, double* strays, int64_t room
    ) noexcept nogil


def few_levels(const double[::1] values):
    """Return the levels that a large sample seems to sit on, ascending, without NaN; None where they seem to be many."""
    cdef int64_t n = values.shape[0]
    if not SMALLEST <= n < 1 << 32:
        return None
    look = np.asarray(values)[:: n // _LOOKED_AT]
    levels = np.unique(look[~np.isnan(look)])
    return levels if 0 < len(levels) <= _MOST_LEVELS else None


def sorted_levels(const double[::1] values):
    """Return the sorted values, NaN last, where there are enough of them on few levels; else None."""
    cdef int64_t n = values.shape[0], n_levels, found, room = <int64_t> (_MOST_STRAYS * n)
    cdef cnp.ndarray levels, counts, strays
    look = few_levels(values)
    if look is None:
        return None
    levels, n_levels = look, len(look)
    counts, strays = np.empty(n_levels, dtype=np.int64), np.empty(room + 1)
    with nogil:
        found = count_levels(
            &values[0], n, <double*> cnp.PyArray_DATA(levels), n_levels, <int64_t*> cnp.PyArray_DATA(counts),
            <double*> cnp.PyArray_DATA(strays), room
        )
    if found > room:
        return None
    more, more_counts = np.unique(strays[:found], return_counts=True)
    every, every_counts = np.concatenate([levels, more]), np.concatenate([counts, more_counts])
    order = np.argsort(every)
    return np.repeat(every[order], every_counts[order])
