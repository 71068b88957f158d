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

cdef extern from "mlopsfw_core/drift/_levels.h":
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
    """Return the sorted values, without NaN, where there are enough of them on few levels; else None."""
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
    kept = strays[:found]
    more, more_counts = np.unique(kept[~np.isnan(kept)], return_counts=True)
    every, every_counts = np.concatenate([levels, more]), np.concatenate([counts, more_counts])
    order = np.argsort(every)
    return np.repeat(every[order], every_counts[order])
