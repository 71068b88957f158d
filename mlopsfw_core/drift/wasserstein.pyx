"""The Wasserstein-1 (earth mover's) distance on the line.

W1 = integral of |F(x) - G(x)| dx (Vallender 1974), exact for two empirical distributions: one walk over both sorted
samples. Name and arguments are those of `scipy.stats.wasserstein_distance`.
"""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.math cimport fabs
from libc.stdint cimport int64_t

from ._samples import nonempty, sorted_values
from ._weights import weighted_steps

cnp.import_array()

cdef int64_t _BLOCK = 512


cdef double _walk(const double* x, int64_t m, const double* y, int64_t n) noexcept nogil:
    """Sum |i n - j m| times the length of each piece; over m n that is the distance.

    Partial sums of a block of steps keep the rounding error of millions of terms near that of a few hundred.
    """
    cdef int64_t i = 0, j = 0, gap = 0, left = _BLOCK
    cdef bint from_x, from_y
    cdef double value = min(x[0], y[0]), head, total = 0, part = 0
    while i < m and j < n:
        head = x[i] if x[i] <= y[j] else y[j]
        if head > value:  # not within a tie: infinities would give inf - inf
            part += fabs(<double> gap) * (head - value) if gap else 0.0
            value = head
        from_x, from_y = x[i] <= y[j], y[j] <= x[i]
        i += from_x
        j += from_y
        gap += (n if from_x else 0) - (m if from_y else 0)
        left -= 1
        if left == 0:
            total += part
            part, left = 0, _BLOCK
    total += part + _rest(x + i, m - i, n, gap, value) + _rest(y + j, n - j, -m, gap, value)
    return total


cdef double _rest(const double* x, int64_t count, int64_t step, int64_t gap, double value) noexcept nogil:
    """Sum over what is left of one sample once the other is spent."""
    cdef int64_t i
    cdef double total = 0
    for i in range(count):
        if x[i] > value:
            total += fabs(<double> gap) * (x[i] - value) if gap else 0.0
            value = x[i]
        gap += step
    return total


def sorted_distance(const double[::1] x, const double[::1] y) -> float:
    """Return W1 of two sorted, non-empty samples; infinite where they hold different shares of an infinity."""
    cdef double total
    cdef int64_t m = x.shape[0], n = y.shape[0]
    with nogil:
        total = _walk(&x[0], m, &y[0], n)
    return total / m / n


def wasserstein_distance(u_values, v_values, u_weights=None, v_weights=None) -> float:
    """Return the Wasserstein-1 distance of two samples, in the unit of the values.

    Args:
        u_values: the first sample; any column of numbers, in any order.
        v_values: the second sample.
        u_weights: a weight for each value of the first, not negative, or None for equal ones. Weight 0 means absent.
        v_weights: the same for the second.

    Returns:
        The distance. Nulls and NaN are left out. Equal shares of an infinity in both cost nothing, different ones make the
        distance infinite.

    Raises:
        ValueError: a sample is empty, or weights do not fit their values.
    """
    if u_weights is None and v_weights is None:
        u, v = sorted_values(u_values), sorted_values(v_values)
        nonempty("wasserstein_distance", u, v)
        return sorted_distance(u, v)
    points, gaps = weighted_steps(u_values, u_weights, v_values, v_weights, "wasserstein_distance")
    with np.errstate(invalid="ignore"):
        return float(np.sum(np.where(gaps[:-1] == 0, 0.0, np.abs(gaps[:-1]) * np.diff(points))))
