"""Count values into bins by edges: the pass over the data that PSI, Jensen-Shannon and their kin spend their time in.

Few edges are counted without a search or a scatter: for each edge, how many values lie at or above it, over blocks that stay
in the first cache. The loop is chosen at run time for the widest vectors of the machine.
"""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t

cnp.import_array()

cdef extern from "mlopsfw_core/drift/_binning.h":
    void count_at_least(const double* values, int64_t n, const double* edges, int64_t n_edges, int64_t* above) noexcept nogil

cdef int64_t _FEW_EDGES = 64


def count_bins(const double[::1] values, const double[::1] edges):
    """Count values into the bins between ascending inner edges; the outer bins are open.

    Bin 0 holds v < edges[0], bin k holds edges[k-1] <= v < edges[k], the last bin v >= edges[-1]. NaN is in no bin.

    Args:
        values: the numbers, in any order.
        edges: the inner edges, strictly ascending; none makes one bin.

    Returns:
        int64 counts, one more than there are edges.
    """
    cdef cnp.ndarray steps = np.empty(edges.shape[0] + 1)
    cdef cnp.ndarray above = np.zeros(edges.shape[0] + 2, dtype=np.int64)
    cdef int64_t n = values.shape[0], n_steps = edges.shape[0] + 1
    if n_steps > _FEW_EDGES:
        numbers = np.asarray(values)
        place = np.searchsorted(np.asarray(edges), numbers[~np.isnan(numbers)], side="right")
        return np.bincount(place, minlength=n_steps).astype(np.int64)
    np.asarray(steps)[0] = -np.inf
    np.asarray(steps)[1:] = edges
    if n:
        with nogil:
            count_at_least(
                &values[0], n, <double*> cnp.PyArray_DATA(steps), n_steps, <int64_t*> cnp.PyArray_DATA(above)
            )
    return above[:n_steps] - above[1:]
