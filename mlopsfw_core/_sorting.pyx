"""Put numbers in order: by NumPy's sort, or by one of our own where NumPy's is slow.

NumPy sorts with AVX-512 where the processor has it, and so with compress-stores, which AMD's Zen 4 runs from microcode: six times slower
than with AVX2. There ours is taken (docs/decisions/0147). Both give the same numbers in the same order.
"""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t

cnp.import_array()

cdef extern from "mlopsfw_core/_sorting.h":
    int SORT_SLACK, SORT_DONE, SORT_MET_NAN
    int can_sort_by_cells() noexcept nogil
    int has_slow_compress() noexcept nogil
    int sort_by_cells(const double* values, int64_t n, double* room, double* out) noexcept nogil

_SMALLEST = 256    # fewer values take NumPy a few microseconds, whatever its path
_LARGEST = (1 << 32) - 1

HAS_CELLS = bool(can_sort_by_cells())
"""Whether this processor and this build can sort by cells."""

PATH = "cells" if HAS_CELLS and has_slow_compress() else "NumPy"
"""The sort that `ascending` takes here: ours by cells, or NumPy's."""


def ascending(const double[::1] values):
    """Return the numbers in ascending order, without NaN, as a fresh array."""
    if PATH != "NumPy" and _SMALLEST <= values.shape[0] <= _LARGEST:
        return ascending_by_cells(values)
    ordered = np.sort(values)
    if ordered.size and np.isnan(ordered[-1]):  # NaN comes last
        ordered = ordered[: np.searchsorted(ordered, np.nan)]
    return ordered


def ascending_by_cells(const double[::1] values):
    """Return the same, sorted by cells whatever the processor prefers; it has AVX2, and there are fewer than 2^32 values.

    Beside the result it needs as much memory again, and that of the largest cell.
    """
    cdef int64_t n = values.shape[0]
    cdef cnp.ndarray room, out
    cdef int outcome
    if not HAS_CELLS:
        raise RuntimeError("sorting by cells needs a processor with AVX2 and a build by GCC or Clang for x86-64")
    if n == 0:
        return np.zeros(0)
    room, out = np.empty(n + SORT_SLACK), np.empty(n + SORT_SLACK)
    with nogil:
        outcome = sort_by_cells(&values[0], n, <double*> cnp.PyArray_DATA(room), <double*> cnp.PyArray_DATA(out))
    if outcome == SORT_MET_NAN:
        numbers = np.asarray(values)
        return ascending_by_cells(numbers[~np.isnan(numbers)])
    if outcome != SORT_DONE:
        raise MemoryError(f"{n} values could not be sorted: there is no memory for the largest cell")
    return out[:n]
